# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is refused with a word on how it is meant, before anything is sent; and VMs that exist and may not be used."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.opennebula.flower.plugins.module_utils.one.data.xml import checked_permissions
from ansible_collections.opennebula.flower.plugins.module_utils.one.errors import OneUsageError


@pytest.fixture
def web(cloud, name, vm_template) -> dict[str, Any]:
    result = cloud.run("one_vm", name=name, template=vm_template)
    assert result.ok, result
    return result["vm"]


# -- VMs that this user may not use --------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["absent", "present", "running", "poweroff"])
@pytest.mark.parametrize("check", [False, True])
def test_a_foreign_vm_by_id_is_refused_in_the_words_of_the_cloud(cloud, web, state, check) -> None:
    bob = cloud.user("bob")
    for params in ({"id": web["id"]}, {"ids": [web["id"], 99999]}):
        result = cloud.run("one_vm", check, api=bob, state=state, **params)
        assert not result.ok and f"user bob lacks the right USE on VM {web['id']}" in result["msg"], result
        assert result.calls["one.vm.info"] == 1 and cloud.calls.total == 2
    assert cloud.run("one_vm", id=web["id"], state="present")["vm"]["state"] == "RUNNING"


def test_what_never_was_and_what_is_gone_is_absent(cloud, web) -> None:
    assert cloud.run("one_vm", id=web["id"], state="absent", hard=True)["changed"]
    gone = cloud.run("one_vm", id=web["id"], state="absent")
    assert gone.ok and not gone["changed"] and cloud.calls.total == 1
    never = cloud.run("one_vm", id=99999, state="absent")
    assert never.ok and not never["changed"] and cloud.calls.total == 2
    assert not cloud.run("one_vm", ids=[], state="absent")["changed"] and cloud.calls.total == 0


# -- permissions ---------------------------------------------------------------------------------------------------


# 066 and 064 are odd, but no number begins with 0; 511 is 0777 without quotes, and makes sense as it stands.
@pytest.mark.parametrize("value", "640 600 604 644 664 660 777 755 750 700 440 400 000 066 064 511".split())
def test_permissions_that_are_meant(value) -> None:
    assert checked_permissions(value) == value


@pytest.mark.parametrize("meant", ["640", "644", "600", "660", "664", "700", "750", "755", "400", "440"])
def test_permissions_that_lost_their_quotes(meant) -> None:
    decimal = str(int(meant, 8))
    with pytest.raises(OneUsageError) as refused:
        checked_permissions(decimal)
    assert str(refused.value) == f"permissions {decimal} looks like an unquoted 0{meant}; write '{meant}' in quotes"


@pytest.mark.parametrize("value", ["", "9", "0640", "6400", "rw-", "888", "99"])
def test_permissions_that_are_none(value) -> None:
    with pytest.raises(OneUsageError, match="three octal digits in quotes, such as '640'"):
        checked_permissions(value)


@pytest.mark.parametrize("module", ["one_vm", "one_image", "one_template", "one_service", "one_service_template"])
def test_every_module_refuses_an_unquoted_number(cloud, module) -> None:
    result = cloud.run(module, name="any", permissions=0o640)
    assert "permissions 416 looks like an unquoted 0640; write '640' in quotes" in result["msg"]
    assert cloud.calls.total == 0


# -- sizes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", ["20 GB", "abc", 5000.5, 0, -1, "0x10"])
@pytest.mark.parametrize("check", [False, True])
def test_a_disk_has_a_whole_number_of_megabytes(cloud, name, vm_template, size, check) -> None:
    for which in ({"name": name, "template": vm_template}, {"id": 0}):
        result = cloud.run("one_vm", check, disks=[{"TYPE": "fs", "SIZE": size}], **which)
        assert result["msg"] == f"SIZE in disks must be a whole number of MB, such as 20480, not '{size}'"
        assert cloud.calls.total == 0


@pytest.mark.parametrize("field", ["cpu", "vcpu", "memory"])
@pytest.mark.parametrize("check", [False, True])
def test_a_size_is_more_than_nothing(cloud, name, vm_template, field, check) -> None:
    for value in (0, -1, *([float("nan")] if field == "cpu" else [])):
        for which in ({"name": name, "template": vm_template}, {"id": 0}):
            result = cloud.run("one_vm", check, **{field: value}, **which)
            assert f"{field} must be greater than 0, not {value}" in result["msg"] and cloud.calls.total == 0


# -- networks ------------------------------------------------------------------------------------------------------


def test_a_check_refuses_a_network_that_does_not_exist(cloud, web) -> None:
    nope = cloud.run("one_vm", check=True, id=web["id"], nics=[{"NETWORK": "private"}, {"NETWORK": "nope"}])
    assert "virtual network nope does not exist, or this user may not see it" in nope["msg"]
    assert cloud.calls.by_method == {"one.vmpool.infoset": 1, "one.vnpool.info": 1}
    assert not cloud.run("one_vm", id=web["id"], nics=[{"NETWORK": "nope"}]).ok
    for check in (False, True):
        same = cloud.run("one_vm", check, id=web["id"], nics=[{"NETWORK": "private"}])
        assert same.ok and not same["changed"] and cloud.calls.total == 1
    more = cloud.run("one_vm", check=True, id=web["id"], nics=[{"NETWORK": "private"}, {"NETWORK": "private"}])
    assert more.ok and more["changed"]


# -- the default state ---------------------------------------------------------------------------------------------


def test_present_leaves_a_vm_off(cloud, web) -> None:
    assert cloud.run("one_vm", id=web["id"], state="poweroff").ok
    for change in ({"labels": ["a"]}, {"context": {"B": "c"}}, {"nics": [], "detach": True}, {"lock": "use"}):
        result = cloud.converge("one_vm", id=web["id"], state="present", **change)
        assert result["changed"] and result["vm"]["state"] == "POWEROFF"
    booted = cloud.run("one_vm", check=True, id=web["id"], lock="none")
    assert booted["vm"]["state"] == "RUNNING"
