# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images, networks, permissions, hosts: what changes and what is refused."""

from __future__ import annotations

import threading
import time

import pytest
from one_sandbox import Sandbox

from .conftest import Client, dummy_of


def new_image(one: Client, name: str, more: str = "") -> int:
    """A data block that is READY."""
    oid = int(one("image.allocate", f'NAME="{name}"\nTYPE="DATABLOCK"\nSIZE="8"\n{more}', 1))
    one.wait("image.info", oid, STATE="1")
    return oid


def test_image_switches(one: Client) -> None:
    oid = new_image(one, "i1")
    for method, args, field, value in [
        ("persistent", (True,), "PERSISTENT", "1"),
        ("persistent", (False,), "PERSISTENT", "0"),
        ("enable", (False,), "STATE", "3"),
        ("enable", (True,), "STATE", "1"),
        ("chtype", ("OS",), "TYPE", "0"),
        ("rename", ("i1b",), "NAME", "i1b"),
    ]:
        assert one(f"image.{method}", oid, *args) == oid
        assert one.read("image.info", oid)[field] == value
    one("image.update", oid, 'FOO="bar"', 1)
    assert one.read("image.info", oid)["TEMPLATE"] == {"DEV_PREFIX": "sd", "FOO": "bar"}
    one("image.update", oid, 'DESCRIPTION="new"', 0)
    assert one.read("image.info", oid)["TEMPLATE"] == {"DESCRIPTION": "new"}
    copy = one("image.clone", oid, "copy")
    one.wait("image.info", copy, STATE="1")
    for gone in (oid, copy):
        one("image.delete", gone)


def test_image_begins_locked_and_goes_away(one: Client, cloud: Sandbox) -> None:
    dummy_of(cloud).imports_go.clear()
    oid = one("image.allocate", 'NAME="slow"\nTYPE="OS"\nPATH="/x"', 1)
    assert one.read("image.info", oid)["STATE"] == "4"
    locked = one.fails("image.delete", oid)
    assert locked.code == 8192 and locked.text.startswith("[one.image.delete] Image locked, use --force flag")
    dummy_of(cloud).imports_go.set()
    one.wait("image.info", oid, STATE="1")
    one("image.delete", oid)
    deadline = time.monotonic() + 5
    while f"<ID>{oid}</ID>" in one("imagepool.info", -2, -1, -1):
        assert time.monotonic() < deadline, "the image never went away"
    assert one.fails("image.info", oid).code == 1024


def test_image_that_cannot_be_had(cloud: Sandbox, one: Client) -> None:
    dummy_of(cloud).fail_image["/no/such.tar"] = "There is no file /no/such.tar on the cloud's host."
    oid = one("image.allocate", 'NAME="missing"\nTYPE="OS"\nPATH="/no/such.tar"', 1)
    image = one.wait("image.info", oid, STATE="5")
    assert image["TEMPLATE"]["ERROR"].endswith("There is no file /no/such.tar on the cloud's host.")
    one("template.allocate", f'NAME="m"\nCPU=1\nMEMORY=64\nDISK=[IMAGE_ID="{oid}"]')
    failure = one.fails("template.instantiate", 0, "x")
    assert failure.text.endswith(f"DISK 0: Cannot acquire image {oid}, it is in state: ERROR")
    one("template.delete", 0)


def test_persistent_image_has_one_user(one: Client) -> None:
    oid = new_image(one, "pers", 'PERSISTENT="YES"')
    template = one("template.allocate", f'NAME="p"\nCPU=1\nMEMORY=64\nDISK=[IMAGE_ID="{oid}"]\nNIC=[NETWORK="private"]')
    vm = one("template.instantiate", template, "first")
    one.running(vm)
    assert one.read("image.info", oid)["STATE"] == "8"
    before = one.read("vn.info", 0)["USED_LEASES"]
    failure = one.fails("template.instantiate", template, "second")
    assert failure.text.endswith(f"Cannot acquire image {oid}, it is persistent and already in use")
    assert one.read("vn.info", 0)["USED_LEASES"] == before
    refused = one.fails("image.persistent", oid, False)
    assert refused.text.endswith("Could not make image non-persistent: Image cannot be in state USED_PERS.")
    one("vm.action", "terminate-hard", vm)
    one.wait("image.info", oid, STATE="1")


def test_address_ranges(one: Client) -> None:
    oid = one("vn.allocate", 'NAME="n"\nVN_MAD="dummy"\nBRIDGE="b"\nAR=[TYPE="IP4",IP="10.9.0.10",SIZE="2"]', -1)
    one.wait("vn.info", oid, STATE="1")
    one("vn.add_ar", oid, 'AR=[TYPE="IP4",IP="10.9.0.100",SIZE="5"]')
    one("vn.update_ar", oid, 'AR=[AR_ID="1",SIZE="8"]')
    assert [ar["SIZE"] for ar in one.read("vn.info", oid)["AR_POOL"]["AR"]] == ["2", "8"]
    one("vn.rm_ar", oid, 1)
    one("vn.hold", oid, 'LEASES=[IP="10.9.0.11"]')
    assert one.fails("vn.hold", oid, 'LEASES=[IP="10.9.0.11"]').code == 2048
    template = one("template.allocate", f'NAME="nt"\nCPU=0.1\nMEMORY=64\nNIC=[NETWORK_ID="{oid}"]')
    vm = one("template.instantiate", template)
    assert one.read("vm.info", vm)["TEMPLATE"]["NIC"]["IP"] == "10.9.0.10"
    full = one.fails("template.instantiate", template)
    assert full.code == 16384 and full.text.endswith(f"Cannot get IP/MAC lease from virtual network {oid}.")
    in_use = "Cannot delete virtual network. Can not remove a virtual network with leases in use"
    assert one.fails("vn.delete", oid).answer == [False, f"[one.vn.delete] {in_use}", 2048, -1, -1]
    one("vn.release", oid, 'LEASES=[IP="10.9.0.11"]')
    # In its prolog no VM can be terminated.
    one.wait("vm.info", vm, LCM_STATE="3")
    one("vm.action", "terminate-hard", vm)
    one.wait("vm.info", vm, STATE="6")
    one("vn.update", oid, 'DNS="9.9.9.9"', 1)
    assert one.read("vn.info", oid)["TEMPLATE"]["BRIDGE"] == "b"
    assert one("vn.delete", oid) == oid


def test_a_network_has_no_addresses_before_it_is_made(
    cloud: Sandbox, one: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()
    monkeypatch.setattr(dummy_of(cloud), "prepare_network", lambda vnet: go.wait(5))
    oid = one("vn.allocate", 'NAME="slow"\nVN_MAD="dummy"\nBRIDGE="b"\nAR=[TYPE="IP4",IP="10.9.0.10",SIZE="2"]', -1)
    body = one.read("vn.info", oid)
    assert (body["STATE"], body["AR_POOL"]) == ("2", "")
    assert body["TEMPLATE"]["AR"] == {"IP": "10.9.0.10", "SIZE": "2", "TYPE": "IP4"}
    go.set()
    body = one.wait("vn.info", oid, STATE="1")
    assert "AR" not in body["TEMPLATE"] and body["AR_POOL"]["AR"]["SIZE"] == "2"
    one("vn.delete", oid)


def test_reservations(one: Client, alice: Client) -> None:
    parent = one("vn.allocate", 'NAME="big"\nVN_MAD="dummy"\nBRIDGE="b"\nAR=[TYPE="IP4",IP="10.9.0.10",SIZE="4"]', -1)
    one.wait("vn.info", parent, STATE="1")
    one("vn.hold", parent, 'LEASES=[IP="10.9.0.10"]')
    part = one("vn.reserve", parent, 'SIZE="3"\nNAME="part"')
    body = one.read("vn.info", part)
    assert (body["PARENT_NETWORK_ID"], body["STATE"]) == (str(parent), "1")
    ar = body["AR_POOL"]["AR"]
    assert (ar["IP"], ar["SIZE"], ar["PARENT_NETWORK_AR_ID"]) == ("10.9.0.11", "3", "0")
    pool = {network["ID"]: network for network in one.read("vnpool.info", -2, -1, -1)["VNET"]}
    packed = "".join(f" {offset} {(1 << 38) + part}" for offset in (1, 2, 3))
    assert pool[str(parent)]["AR_POOL"]["AR"]["ALLOCATED"] == f" 0 {(1 << 36) + 0xFFFFFFFF}{packed}"
    leases = one.read("vn.info", parent)["AR_POOL"]["AR"]["LEASES"]["LEASE"]
    assert [lease.get("VNET", lease.get("VM")) for lease in leases] == ["-1", *[str(part)] * 3]
    assert "<VM>" not in alice("vn.info", parent), "the address on hold belongs to nobody that she could look at"
    for text, message in (
        ('SIZE="1"\nNAME="more"', "Not enough free addresses in an address range"),
        ('NAME="more"', "Reservation SIZE must be a greater than 0"),
        ('SIZE="1"', "NAME for reservation has to be set"),
    ):
        assert one.fails("vn.reserve", parent, text).answer[1:3] == [f"[one.vn.reserve] {message}", 2048]
    refused = one.fails("vn.reserve", part, 'SIZE="1"\nNAME="more"')
    assert refused.text.endswith("Cannot reserve addresses from a reserved VNET")
    assert one.fails("vn.delete", parent).code == 2048
    one("vn.delete", part)
    one("vn.release", parent, 'LEASES=[IP="10.9.0.10"]')
    assert one("vn.delete", parent) == parent


def test_permissions(one: Client, alice: Client) -> None:
    oid = one("template.allocate", 'NAME="shared"\nCPU="1"\nMEMORY="64"')
    assert alice.fails("template.info", oid).code == 512
    one("template.chmod", oid, -1, -1, -1, -1, -1, -1, 1, -1, -1)
    assert alice.read("template.info", oid)["PERMISSIONS"]["OTHER_U"] == "1"
    assert alice.fails("template.update", oid, "A=1", 1).code == 512
    one("template.chown", oid, -1, 1)
    one("template.chmod", oid, -1, -1, -1, 1, 1, -1, 0, -1, -1)
    assert alice("template.update", oid, "A=1", 1) == oid
    assert alice.fails("template.chown", oid, 2, -1).code == 512
    one("template.chown", oid, 2, -1)
    assert alice.read("template.info", oid)["UNAME"] == "alice"
    assert alice.fails("user.allocate", "bob", "x", "core", []).code == 512
    alice("template.delete", oid)


@pytest.fixture
def quiet_host(one: Client) -> None:
    """The cloud's own host gets no VMs during the test."""
    one("host.status", 0, 1)


def test_scheduling(one: Client, quiet_host: None) -> None:
    template = one("template.allocate", 'NAME="big"\nCPU="6"\nMEMORY="64"')
    vm = one("template.instantiate", template, "nowhere")
    message = _scheduler_message(one, vm)
    assert message.endswith(" : Cannot dispatch VM: No hosts enabled to run VMs")
    hosts = [one("host.allocate", name, "dummy", "dummy", -1) for name in ("h1", "h2")]
    vm_body = one.running(vm)
    assert "SCHED_MESSAGE" not in vm_body["USER_TEMPLATE"]
    second = one("template.instantiate", template, "second")
    placed = {vm_body["HISTORY_RECORDS"]["HISTORY"]["HID"], one.running(second)["HISTORY_RECORDS"]["HISTORY"]["HID"]}
    assert placed == {str(host) for host in hosts}
    third = one("template.instantiate", template, "third")
    assert _scheduler_message(one, third).endswith("No host with enough capacity to deploy the VM")
    assert one.read("vm.info", third)["STATE"] == "1"
    assert one.fails("host.delete", hosts[0]).code == 2048
    one("vm.action", "terminate-hard", vm)
    one.running(third)
    chosen = one(
        "template.instantiate", template, "choosy", False, 'CPU="1"\nSCHED_REQUIREMENTS="NAME = \\"h2\\" & !(ID = 0)"'
    )
    assert one.running(chosen)["HISTORY_RECORDS"]["HISTORY"]["HOSTNAME"] == "h2"
    nobody = one("template.instantiate", template, "n", False, 'CPU="1"\nSCHED_REQUIREMENTS="NAME = h9*"')
    assert _scheduler_message(one, nobody).endswith("No host meets SCHED_REQUIREMENTS")
    one("host.status", 0, 0)


def _scheduler_message(one: Client, vm: int) -> str:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        user_template = one.read("vm.info", vm)["USER_TEMPLATE"]
        if user_template and "SCHED_MESSAGE" in user_template:
            return str(user_template["SCHED_MESSAGE"])
    raise AssertionError("the scheduler said nothing")


def test_documents(one: Client, alice: Client) -> None:
    oid = one("document.allocate", '<TEMPLATE><NAME>svc</NAME><BODY><![CDATA[{"a": "]"}]]></BODY></TEMPLATE>', 101)
    same = one("document.allocate", "<TEMPLATE><NAME>svc</NAME></TEMPLATE>", 101)
    document = one.read("document.info", oid)
    assert (document["TYPE"], document["TEMPLATE"]["BODY"]) == ("101", '{"a": "]"}')
    assert [d["ID"] for d in one.read("documentpool.info", -2, -1, -1, 101)["DOCUMENT"]] == [str(same), str(oid)]
    assert one("documentpool.info", -2, -1, -1, 100) == "<DOCUMENT_POOL></DOCUMENT_POOL>"
    assert alice.fails("document.delete", oid).text.endswith(f"perform MANAGE DOCUMENT [{oid}].")
    clone = one("document.clone", oid, "svc2")
    one("document.lock", clone, 4, False)
    assert one.fails("document.delete", clone).text.endswith(f"DOCUMENT is locked. [{clone}].")
    one("document.unlock", clone)
    for gone in (oid, same, clone):
        assert one("document.delete", gone) == gone
