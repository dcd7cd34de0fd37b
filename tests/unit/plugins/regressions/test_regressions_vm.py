# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Defects of another collection's one_vm that ours must never have. Each test fails if ours had the defect."""

from __future__ import annotations

import time

import pytest
from ansible_collections.opennebula.flower.plugins.module_utils.one.api.settings import Settings
from ansible_collections.opennebula.flower.plugins.module_utils.one.errors import OneUsageError
from module_runner import run_module
from proof_cloud import ProofCloud


def test_d22_check_mode_does_not_send_a_new_context(cloud: ProofCloud) -> None:
    """Elsewhere: a changed configuration of a VM is sent in check mode too.

    Ours: check mode predicts it, and the VM keeps what it had; the real run then does it.
    """
    name = cloud.vm(context={"GREETING": "old"})
    predicted = cloud.ok("one_vm", check=True, name=name, context={"GREETING": "new"})
    assert predicted["changed"] and cloud.calls.writes == 0
    assert cloud.ok("one_vm_info", name=name)["vms"][0]["context"]["GREETING"] == "old"
    real = cloud.ok("one_vm", name=name, context={"GREETING": "new"})
    assert real["diff"] == predicted["diff"] and real["vm"]["context"]["GREETING"] == "new"


def test_d23_a_vm_in_any_failure_state_can_be_read(cloud: ProofCloud) -> None:
    """Elsewhere: the table of life-cycle states ends at 29, so reading a VM in BOOT_FAILURE (36) ends in a traceback.

    Ours: the state is named, the reason is returned, and a number that nobody knows yet prints as it is.
    """
    name = cloud.name("vm")
    cloud.driver.fail_deploy[name] = "no such kernel"
    cloud.run("one_vm", name=name, template=cloud.vm_template(), wait=False)
    vm = cloud.wait(
        lambda: next((vm for vm in cloud.ok("one_vm_info", name=name)["vms"] if "FAILURE" in vm["state"]), None),
        "the failure of the VM",
    )
    assert vm["state"] == "BOOT_FAILURE" and vm["lcm_state_id"] == 36 and "no such kernel" in vm["error"]
    record = cloud.sandbox.oned.pools["vm"][vm["id"]]
    for number, state in ((39, "PROLOG_FAILURE"), (61, "PROLOG_MIGRATE_UNKNOWN_FAILURE"), (99, "LCM_UNKNOWN(99)")):
        with cloud.sandbox.oned.transaction():
            record.data["lcm"] = number
            cloud.sandbox.oned.touch(record)
        assert cloud.ok("one_vm", name=name, state="present")["vm"]["state"] == state


def test_d24_a_failure_ends_the_wait_at_once(cloud: ProofCloud) -> None:
    """Elsewhere: a VM that failed to boot is waited for until the time is up, and the reason is not told.

    Ours: the first look at the failure ends the wait, with the words of the driver.
    """
    name = cloud.name("vm")
    cloud.driver.fail_deploy[name] = "no such kernel"
    start = time.monotonic()
    sentence = cloud.fails("one_vm", name=name, template=cloud.vm_template(), wait_timeout=60)
    assert time.monotonic() - start < 10
    assert "BOOT_FAILURE" in sentence and "no such kernel" in sentence


def test_d25_reading_vms_takes_no_call_per_vm(cloud: ProofCloud) -> None:
    """Elsewhere: reading one VM takes four calls, and reading by attributes one more for every VM.

    Ours: one call by id; by name one for the pool and one for all that match.
    """
    name = cloud.name("vm")
    cloud.ok("one_vm", name=name, count=6, template=cloud.vm_template())
    vms = cloud.ok("one_vm_info", name=f"{name}-*")["vms"]
    assert len(vms) == 6 and cloud.calls.total == 2
    cloud.ok("one_vm", id=vms[0]["id"], state="present")
    assert cloud.calls.total == 1
    assert len(cloud.ok("one_vm_info", ids=[vm["id"] for vm in vms])["vms"]) == 6 and cloud.calls.total == 1
    cloud.ok("one_vm", name=name, count=6)
    assert cloud.calls.total == 2


def test_d26_which_vms_go_when_there_are_too_many_is_certain(cloud: ProofCloud) -> None:
    """Elsewhere: the documented order ("lowest ids first") is lost in a set, so that any VM may go.

    Ours: the highest numbers go, whatever ids and order they have in the pool; the others are the same VMs as before.
    """
    name, template = cloud.name("vm"), cloud.vm_template()
    for number in (3, 0, 2, 1):
        cloud.ok("one_vm", name=f"{name}-{number}", template=template)
    before = {vm["name"]: vm["id"] for vm in cloud.ok("one_vm_info", name=f"{name}-*")["vms"]}
    kept = cloud.ok("one_vm", name=name, count=2)["vms"]
    assert [(vm["name"], vm["id"]) for vm in kept] == [(f"{name}-{one}", before[f"{name}-{one}"]) for one in (0, 1)]


def test_d27_passwords_with_colons_and_missing_credentials(
    cloud: ProofCloud, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Elsewhere: a password is cut at its second colon, and missing credentials are a warning and then a traceback.

    Ours: only the first colon separates user and password; what is missing is said in one sentence before any call.
    """
    colon = cloud.user("colon-d27", "a:b:c")
    assert cloud.ok("one_vm_info", api=colon)["vms"] == []
    monkeypatch.setattr("os.environ", {"PATH": "/usr/bin", "HOME": "/nonexistent"})
    auth = tmp_path_factory.mktemp("auth") / "one_auth"
    auth.write_text("colon-d27:a:b:c\n", encoding="utf-8")
    settings = Settings.from_params({"api_url": colon["api_url"]}, {"ONE_AUTH": str(auth)})
    assert (settings.username, settings.password) == ("colon-d27", "a:b:c")
    cloud.calls.reset()
    result = run_module("one_vm_info", {"api_url": colon["api_url"]})
    assert result["failed"] and result["msg"].startswith("no credentials: set api_username and api_password")
    assert "Traceback" not in result["msg"] and cloud.calls.total == 0
    with pytest.raises(OneUsageError, match="api_password is missing"):
        Settings.from_params({"api_url": colon["api_url"], "api_username": "colon-d27"})


def test_d28_only_what_is_asked_for_is_sent_beside_the_template(cloud: ProofCloud) -> None:
    """Elsewhere: the whole template is sent again as an extra, so a template with an attribute that only
    administrators may set cannot be used by anybody else.

    Ours: the extra holds what the task names and nothing else.
    """
    alice = cloud.user("alice-d28")
    network = cloud.ok("one_vnet_info", name="private")["vnets"][0]["id"]
    nic = {"NETWORK_ID": str(network), "MAC": "02:00:0a:00:00:77"}
    template = cloud.vm_template(NIC=[nic])
    cloud.ok("one_template", name=template, permissions="604")
    cloud.admin.call("one.vn.chmod", network, 1, 1, 0, 1, 0, 0, 1, 0, 0)
    vm = cloud.ok("one_vm", api=alice, name=cloud.name("vm"), template=template, memory=128, context={"A": "1"})["vm"]
    assert vm["owner"]["name"] == "alice-d28" and vm["memory"] == 128 and vm["context"]["A"] == "1"
    refused = cloud.fails("one_vm", api=alice, name=cloud.name("vm"), template=template, nics=[nic])
    assert "restricted attribute MAC" in refused
