# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of a VM: states, failures, what it holds."""

from __future__ import annotations

import threading
from typing import Any

import pyone
import pytest
from one_sandbox import Sandbox

from .conftest import Client, MakeCloud, dummy_of

TEMPLATE = """NAME="base"
CPU="0.1"
MEMORY="64"
LABELS="a"
HYPERVISOR="dummy"
DISK=[IMAGE_ID="0"]
NIC=[NETWORK="private"]
CONTEXT=[NETWORK="YES",TOKEN="YES",FOO="a b",WHO="$NAME-$VMID",KEY="$USER[SSH_PUBLIC_KEY]",
         CUSTOM="$CUSTOM",SCRIPT="echo ${HOME} $(id) [$NOPE] \\$5",GW="$NETWORK[GATEWAY]"]
"""


@pytest.fixture(scope="module", autouse=True)
def _base(one: Client) -> None:
    one("user.update", 0, 'SSH_PUBLIC_KEY="ssh-ed25519 AAAA me"', 1)
    one("image.allocate", 'NAME="os"\nTYPE="OS"\nPATH="/var/tmp/os.tar"', 1)
    one("template.allocate", TEMPLATE)


def boot(one: Client, name: str = "", extra: str = "", hold: bool = False) -> int:
    """A VM that runs."""
    oid = int(one("template.instantiate", 0, name, hold, extra, False))
    if not hold:
        one.running(oid)
    return oid


def test_a_running_vm(one: Client) -> None:
    oid = boot(one, "web", 'CUSTOM="mine"')
    vm = one.read("vm.info", oid)
    assert vm["USER_TEMPLATE"] == {"CUSTOM": "mine", "HYPERVISOR": "dummy", "LABELS": "a"}
    template, context, nic = vm["TEMPLATE"], vm["TEMPLATE"]["CONTEXT"], vm["TEMPLATE"]["NIC"]
    octets = [int(part) for part in nic["IP"].split(".")]
    assert nic["MAC"] == "02:00:" + ":".join(f"{octet:02x}" for octet in octets)
    assert (nic["NAME"], nic["NETWORK"], nic["NETWORK_ID"], nic["NIC_ID"]) == ("NIC0", "private", "0", "0")
    assert (context["ETH0_IP"], context["ETH0_MAC"], context["ETH0_GATEWAY"]) == (nic["IP"], nic["MAC"], "10.0.0.1")
    assert (context["VMID"], context["TARGET"], context["FOO"]) == (str(oid), "hda", "a b")
    assert context["ONEGATE_ENDPOINT"].startswith("http://127.0.0.1:")
    assert (context["WHO"], context["KEY"], context["CUSTOM"]) == (f"web-{oid}", "ssh-ed25519 AAAA me", "mine")
    assert context["SCRIPT"] == "echo ${HOME} $(id) [] \\$5"
    assert context["GW"] == "10.0.0.1"
    assert (template["TEMPLATE_ID"], template["VMID"], template["CREATED_BY"]) == ("0", str(oid), "0")
    assert "VCPU" not in template
    assert (template["DISK"]["IMAGE"], template["DISK"]["TARGET"]) == ("os", "sda")
    history = vm["HISTORY_RECORDS"]["HISTORY"]
    assert (history["SEQ"], history["HOSTNAME"], history["ETIME"]) == ("0", "sandbox", "0")


def test_name_and_hold(one: Client) -> None:
    oid = boot(one)
    assert one.read("vm.info", oid)["NAME"] == f"base-{oid}"
    held = boot(one, "held", hold=True)
    assert one.read("vm.info", held)["STATE"] == "2"
    one("vm.action", "release", held)
    one.running(held)


def test_extra_template_replaces_nics_and_context(one: Client) -> None:
    oid = boot(one, "x", 'NIC=[NETWORK="private",IP="10.0.9.9"]\nCONTEXT=[NETWORK="YES"]\nMEMORY="128"')
    template = one.read("vm.info", oid)["TEMPLATE"]
    assert template["NIC"]["IP"] == "10.0.9.9"
    assert "FOO" not in template["CONTEXT"] and "TOKEN" not in template["CONTEXT"]
    assert template["MEMORY"] == "128" and template["DISK"]["IMAGE"] == "os"
    taken = one.fails("template.instantiate", 0, "y", False, 'NIC=[NETWORK="private",IP="10.0.9.9"]')
    assert taken.text.endswith("Cannot get IP/MAC lease from virtual network 0.")


ROUNDS = [
    ("poweroff", "8", "resume"),
    ("poweroff-hard", "8", "resume"),
    ("suspend", "5", "resume"),
    ("stop", "4", "resume"),
    ("undeploy", "9", "resume"),
    ("undeploy-hard", "9", "resume"),
]


def test_there_and_back(one: Client) -> None:
    oid = boot(one)
    for action, state, back in ROUNDS:
        one("vm.action", action, oid)
        one.wait("vm.info", oid, STATE=state, LCM_STATE="0")
        refused = one.fails("vm.action", "reboot", oid)
        assert refused.code == 2048 and "This action is not available for state" in refused.text
        one("vm.action", back, oid)
        one.running(oid)
    one("vm.action", "reboot", oid)
    one.running(oid)
    history = one.read("vm.info", oid)["HISTORY_RECORDS"]["HISTORY"]
    assert [entry["SEQ"] for entry in history] == [str(seq) for seq in range(len(ROUNDS) + 1)]
    assert [entry["ACTION"] for entry in history] == ["19", "20", "10", "9", "5", "6", "0"]


@pytest.mark.parametrize("action", ["terminate", "terminate-hard"])
def test_the_end_gives_everything_back(one: Client, action: str) -> None:
    image_before = one.read("image.info", 0)["RUNNING_VMS"]
    leases_before = one.read("vn.info", 0)["USED_LEASES"]
    oid = boot(one)
    assert int(one.read("image.info", 0)["RUNNING_VMS"]) == int(image_before) + 1
    one("vm.action", action, oid)
    vm = one.wait("vm.info", oid, STATE="6", LCM_STATE="0")
    assert vm["ETIME"] != "0"
    assert one.read("image.info", 0)["RUNNING_VMS"] == image_before
    assert one.read("vn.info", 0)["USED_LEASES"] == leases_before
    assert one("vm.action", action, oid) == oid
    assert one("vm.update", oid, "NOTE=late", 1) == oid
    failure = one.fails("vm.updateconf", oid, 'CONTEXT=[A="1"]', 0)
    assert failure.text == "[one.vm.updateconf] configuration cannot be updated in state DONE"


def test_boot_failure_and_recovery(cloud: Sandbox, one: Client) -> None:
    dummy_of(cloud).fail_deploy["broken"] = "no such root file system"
    oid = int(one("template.instantiate", 0, "broken"))
    vm = one.wait("vm.info", oid, STATE="3", LCM_STATE="36")
    assert vm["USER_TEMPLATE"]["ERROR"].endswith(" : Error deploying virtual machine: no such root file system")
    dummy_of(cloud).fail_deploy.clear()
    one("vm.recover", oid, 2)
    assert "ERROR" not in one.running(oid)["USER_TEMPLATE"]
    one("vm.recover", oid, 4)
    one.running(oid)
    one("vm.recover", oid, 3)
    one.wait("vm.info", oid, STATE="6")


def test_monitor_sees_a_vm_that_vanished(cloud: Sandbox, one: Client) -> None:
    oid = boot(one, "vanishing")
    dummy_of(cloud).set_state(one.read("vm.info", oid)["DEPLOY_ID"], "gone")
    one.wait("vm.info", oid, STATE="8", LCM_STATE="0")
    one("vm.action", "resume", oid)
    one.running(oid)


def test_updateconf(one: Client) -> None:
    oid = boot(one)
    one("vm.updateconf", oid, 'CONTEXT=[FOO="c"]\nNAME="ignored"', 1)
    context = one.read("vm.info", oid)["TEMPLATE"]["CONTEXT"]
    assert context["FOO"] == "c" and context["NETWORK"] == "YES" and "ETH0_IP" in context
    one.running(oid)
    one("vm.updateconf", oid, 'CONTEXT=[FOO="d"]')
    context = one.read("vm.info", oid)["TEMPLATE"]["CONTEXT"]
    assert context == {"FOO": "d", "DISK_ID": "1", "TARGET": "hda", "VMID": str(oid)}
    one.running(oid)
    one("vm.updateconf", oid, 'CONTEXT=[NETWORK="YES"]', 0)
    assert "ETH0_IP" in one.read("vm.info", oid)["TEMPLATE"]["CONTEXT"]


def test_updateconf_of_other_sections(one: Client) -> None:
    """Replacing drops sections that are not given, but never BACKUP_CONFIG; names that oned has no use for are lost."""
    oid = boot(one)
    sections = 'OS=[ARCH="x86_64",BOOT="disk0"]\nRAW=[TYPE="kvm",DATA="<x/>"]\nBACKUP_CONFIG=[KEEP_LAST="2"]'
    one("vm.updateconf", oid, sections, 1)
    one("vm.updateconf", oid, 'OS=[BOOT="nic0",NONSENSE="1"]', 1)
    vm = one.read("vm.info", oid)
    left = vm["TEMPLATE"]["OS"]
    assert left == {"ARCH": "x86_64", "BOOT": "nic0", "UUID": left["UUID"]} and vm["TEMPLATE"]["RAW"]["DATA"] == "<x/>"
    one("vm.updateconf", oid, 'OS=[ARCH="aarch64"]')
    vm = one.read("vm.info", oid)
    assert vm["TEMPLATE"]["OS"] == {"ARCH": "aarch64"} and "RAW" not in vm["TEMPLATE"]
    assert vm["BACKUPS"]["BACKUP_CONFIG"] == {"KEEP_LAST": "2"}


def test_devices_and_size(one: Client, cloud: Sandbox) -> None:
    oid = boot(one)
    one("vm.attachnic", oid, 'NIC=[NETWORK="private"]')
    vm = one.running(oid)
    assert len(vm["TEMPLATE"]["NIC"]) == 2 and "ETH1_IP" in vm["TEMPLATE"]["CONTEXT"]
    one("vm.detachnic", oid, 1)
    assert "ETH1_IP" not in one.running(oid)["TEMPLATE"]["CONTEXT"]
    dummy_of(cloud).imports_go.clear()
    disk = one("image.allocate", 'NAME="data"\nTYPE="OS"\nPATH="/data"', 1)
    locked = one.fails("vm.attach", oid, 'DISK=[IMAGE="data"]')
    assert (locked.code, locked.text) == (2048, f"[one.vm.attach] Cannot acquire image {disk}, it is locked")
    dummy_of(cloud).imports_go.set()
    one.wait("image.info", disk, STATE="1")
    one("vm.attach", oid, 'DISK=[IMAGE="data"]')
    one.running(oid)
    assert one.read("image.info", disk)["STATE"] == "2"
    one("vm.resize", oid, 'CPU="0.2"\nMEMORY="128"\nVCPU="2"', True)
    template = one.running(oid)["TEMPLATE"]
    assert (template["CPU"], template["MEMORY"], template["VCPU"]) == ("0.2", "128", "2")
    one("vm.detach", oid, 1)
    one.wait("image.info", disk, STATE="1")


def test_a_vm_waits_for_its_image(one: Client, cloud: Sandbox) -> None:
    dummy_of(cloud).imports_go.clear()
    image = one("image.allocate", 'NAME="late"\nTYPE="OS"\nPATH="/late"', 1)
    oid = int(one("template.instantiate", 0, "waits", False, f'DISK=[IMAGE_ID="{image}"]'))
    assert one.read("vm.info", oid)["STATE"] == "10"
    dummy_of(cloud).imports_go.set()
    assert one.running(oid)["TEMPLATE"]["DISK"]["SIZE"] == "1024"
    dummy_of(cloud).fail_image["/broken"] = "not a tar"
    dummy_of(cloud).imports_go.clear()
    broken = one("image.allocate", 'NAME="broken"\nTYPE="OS"\nPATH="/broken"', 1)
    oid = int(one("template.instantiate", 0, "fails", False, f'DISK=[IMAGE_ID="{broken}"]'))
    dummy_of(cloud).imports_go.set()
    one.wait("vm.info", oid, STATE="11")
    assert one.read("image.info", broken)["TEMPLATE"]["ERROR"].endswith("not a tar")


def test_tokens(cloud: Sandbox) -> None:
    token = cloud.oned.tokens.issue(3)
    assert cloud.oned.tokens.check(3, token) and not cloud.oned.tokens.check(4, token)
    assert not cloud.oned.tokens.check(3, "")


def test_pyone_reads_it(cloud: Sandbox, one: Client) -> None:
    oid = boot(one, "py")
    server = pyone.OneServer(cloud.endpoints.xmlrpc, session=f"{cloud.username}:{cloud.password}")
    vm: Any = server.vm.info(oid)
    assert (vm.NAME, vm.STATE, vm.TEMPLATE["NIC"]["NETWORK"]) == ("py", 3, "private")
    pool: Any = server.vmpool.infoextended(-2, -1, -1, -1)
    assert int(pool.VM[0].ID) == oid
    assert {image.NAME for image in server.imagepool.info(-2, -1, -1).IMAGE} >= {"os"}
    assert server.hostpool.info().HOST[0].NAME == "sandbox"
    assert server.templatepool.info(-2, -1, -1).VMTEMPLATE[0].NAME == "base"
    assert server.vnpool.info(-2, -1, -1).VNET[0].NAME == "private"
    assert [ds.NAME for ds in server.datastorepool.info().DATASTORE] == ["files", "default", "system"]
    new = server.template.allocate({"TEMPLATE": {"NAME": "from-dict", "CONTEXT": {"A": 'quote " here'}}})
    assert server.template.info(new).TEMPLATE["CONTEXT"]["A"] == 'quote " here'
    with pytest.raises(pyone.OneNoExistsException):
        server.vm.info(99999)


def test_hundreds_at_once_without_a_thread_each(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    one = Client(cloud.endpoints.xmlrpc, f"{cloud.username}:{cloud.password}")
    one("template.allocate", 'NAME="t"\nCPU="0.1"\nMEMORY="64"\nNIC=[NETWORK="private"]')
    session = cloud.oned.session_for(0)
    threads = threading.active_count()
    ids = [cloud.oned.call(session, "one.template.instantiate", 0) for _turn in range(300)]
    assert threading.active_count() < threads + 10
    one.running(ids[-1])
    vms = one.read("vmpool.info", -2, -1, -1, -1)["VM"]
    assert len({vm["TEMPLATE"]["NIC"]["IP"] for vm in vms}) == 300
