# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Context and other configuration of VMs, what new VMs are made of, and one_vm_info."""

from __future__ import annotations

from typing import Any

import pytest

SCRIPT = "#!/bin/sh\necho \"$HOME\" 'x' [a] , b=1\n"
KEPT = ("TOKEN", "NETWORK", "START_SCRIPT", "SSH_PUBLIC_KEY", "ONEGATE_ENDPOINT", "ETH0_IP", "ETH0_MAC")


@pytest.fixture
def rich(cloud, name) -> str:
    """The name of a template with everything in CONTEXT that an update may lose, and with other sections."""
    key = "ssh-ed25519 AAAA me@there"
    cloud.admin.call("one.user.update", 0, f'SSH_PUBLIC_KEY="{key}"', 1)
    template = {
        "CPU": 0.1, "MEMORY": 32, "NIC": {"NETWORK": "private"}, "OS": {"ARCH": "x86_64", "BOOT": "disk0"},
        "GRAPHICS": {"TYPE": "VNC", "LISTEN": "0.0.0.0"},
        "CONTEXT": {"NETWORK": True, "TOKEN": True, "START_SCRIPT": SCRIPT, "SSH_PUBLIC_KEY": "$USER[SSH_PUBLIC_KEY]"},
    }  # fmt: skip
    assert cloud.run("one_template", name=f"{name}-rich", template=template).ok
    return f"{name}-rich"


def kept(result: dict[str, Any]) -> dict[str, str]:
    assert result.ok, result
    return {key: result["vm"]["context"].get(key) for key in KEPT}


def test_context_keeps_what_it_does_not_mention(cloud, name, rich) -> None:
    plain = cloud.run("one_vm", name=f"{name}-plain", template=rich)
    made = cloud.converge("one_vm", name=name, template=rich, context={"A": "1", "B": 'x, "y" ]'})
    address = {"ETH0_IP": made["vm"]["ip"], "ETH0_MAC": made["vm"]["nics"][0]["mac"]}
    assert kept(made) == {**kept(plain), **address}
    assert made["vm"]["context"]["SSH_PUBLIC_KEY"] == "ssh-ed25519 AAAA me@there"
    assert made["vm"]["context"]["TOKEN"] == "YES"
    for state in ("running", "poweroff"):
        changed = cloud.converge("one_vm", name=name, state=state, context={"A": state, "C": "3"})
        assert kept(changed) == kept(made) and changed["vm"]["context"]["A"] == state
        assert changed["vm"]["context"]["B"] == 'x, "y" ]'
        removed = cloud.converge("one_vm", name=name, state=state, context={"A": "2"}, remove_context=["c", "GONE"])
        assert kept(removed) == kept(made) and "C" not in removed["vm"]["context"]
        assert removed["vm"]["context"]["A"] == "2"
    assert len([step for step in removed["steps"] if "context" in step]) == 1


def test_context_without_network_loses_its_addresses(cloud, name, rich) -> None:
    assert cloud.run("one_vm", name=name, template=rich).ok
    result = cloud.converge("one_vm", name=name, remove_context=["NETWORK"])
    assert "NETWORK" not in result["vm"]["context"] and "ETH0_IP" not in result["vm"]["context"]
    both = cloud.run("one_vm", name=name, context={"A": "1"}, remove_context=["A"])
    assert "A is both in context and in remove_context" in both["msg"]


def test_updateconf_merges_sections(cloud, name, rich) -> None:
    made = cloud.converge("one_vm", name=name, template=rich, updateconf={"OS": {"BOOT": ""}, "raw": {"TYPE": "kvm"}})
    assert made["vm"]["updateconf"]["OS"]["ARCH"] == "x86_64" and made["vm"]["updateconf"]["OS"]["BOOT"] == ""
    result = cloud.converge(
        "one_vm", name=name, updateconf={"GRAPHICS": {"LISTEN": "127.0.0.1"}, "CPU_MODEL": {"MODEL": "host"}}
    )
    assert result["vm"]["updateconf"]["GRAPHICS"] == {"TYPE": "VNC", "LISTEN": "127.0.0.1"}
    assert kept(result) == kept(made)
    for given, words in (({"CONTEXT": {"A": "b"}}, "use the option context"), ({"NIC": {}}, "knows the sections")):
        assert words in cloud.run("one_vm", name=name, updateconf=given)["msg"]


def test_removing_a_variable_keeps_all_other_configuration(cloud, name, rich) -> None:
    wanted = {"RAW": {"TYPE": "kvm", "DATA": "<x/>"}, "BACKUP_CONFIG": {"KEEP_LAST": 2}}
    made = cloud.run("one_vm", name=name, template=rich, context={"A": "1", "B": "2"}, updateconf=wanted)
    assert set(made["vm"]["updateconf"]) == {"OS", "GRAPHICS", "RAW", "BACKUP_CONFIG"}
    result = cloud.converge("one_vm", name=name, remove_context=["A"])
    assert result["vm"]["updateconf"] == made["vm"]["updateconf"]
    news = {"OS": {"ARCH": "aarch64"}, "BACKUP_CONFIG": {"KEEP_LAST": 3}}
    both = cloud.converge("one_vm", name=name, remove_context=["B"], updateconf=news)
    expected = {name: {**section, **news.get(name, {})} for name, section in made["vm"]["updateconf"].items()}
    expected["BACKUP_CONFIG"]["KEEP_LAST"] = "3"
    assert both["vm"]["updateconf"] == expected and "B" not in both["vm"]["context"]


def test_configuration_that_the_cloud_does_not_know_is_no_success(cloud, name, rich) -> None:
    assert cloud.run("one_vm", name=name, template=rich).ok
    result = cloud.run("one_vm", name=name, updateconf={"OS": {"BOOTS": "disk0", "MACHINE": "q35"}})
    assert not result.ok and f"OpenNebula did not take OS.BOOTS for VM {name}" in result["msg"]
    assert result["changed"]


def test_what_is_no_user_attribute_is_for_new_vms_or_refused(cloud, name, vm_template) -> None:
    given = {"TOPOLOGY": {"SOCKETS": 1, "CORES": 1, "THREADS": 1}, "MEMORY_MAX": 256, "MINE": "1"}
    made = cloud.converge("one_vm", name=name, template=vm_template, attributes=given)
    assert made["vm"]["attributes"].get("MINE") == "1" and "TOPOLOGY" not in made["vm"]["attributes"]
    body = str(cloud.admin.call("one.vm.info", made["vm"]["id"]))
    assert "<MEMORY_MAX><![CDATA[256]]></MEMORY_MAX>" in body or "<MEMORY_MAX>256</MEMORY_MAX>" in body
    refused = cloud.run("one_vm", name=name, attributes={"OS": {"BOOT": "disk0"}})
    assert "OS cannot be given as an attribute; use the option updateconf" in refused["msg"]


def test_a_password_that_the_cloud_encrypts(cloud, name, rich) -> None:
    made = cloud.run("one_vm", name=name, template=rich, context={"PASSWORD": "first"})
    assert made.ok and made["vm"]["context"]["PASSWORD"] == "********"
    number = made["vm"]["id"]
    assert cloud.converge("one_vm", id=number, context={"PASSWORD": "second"}, remove_context=["FOO"])["changed"]
    kept_ = cloud.converge("one_vm", id=number, context={"A": "1"}, remove_context=["START_SCRIPT"])
    assert "START_SCRIPT" not in kept_["vm"]["context"]
    assert not cloud.run("one_vm", id=number, context={"PASSWORD": "second"})["changed"] and cloud.calls.total == 2
    assert "second" not in str(cloud.run("one_vm", id=number, context={"PASSWORD": "third"}, check=True)["diff"])


def test_backups_are_configured(cloud, name, rich) -> None:
    backup = {"BACKUP_CONFIG": {"KEEP_LAST": 3, "MODE": "FULL"}}
    made = cloud.converge("one_vm", name=name, template=rich, updateconf=backup)
    assert made["vm"]["updateconf"]["BACKUP_CONFIG"] == {"KEEP_LAST": "3", "MODE": "FULL"}
    more = cloud.converge("one_vm", name=name, updateconf={"BACKUP_CONFIG": {"KEEP_LAST": 4}})
    assert more["vm"]["updateconf"]["BACKUP_CONFIG"] == {"KEEP_LAST": "4", "MODE": "FULL"}


def test_new_vms_on_a_datastore_and_as_a_private_copy(cloud, name, image, vm_template) -> None:
    disks = [{"IMAGE": image, "SIZE": 30}]
    made = cloud.converge("one_vm", name=name, template=vm_template, datastore="system", disks=disks, persistent=True)
    copies = cloud.run("one_image_info", name=f"{name}-disk-0")["images"]
    assert [one["persistent"] for one in copies] == [True]
    assert made["vm"]["disks"][0]["image"] == f"{name}-disk-0"
    assert made["vm"]["attributes"]["SCHED_DS_REQUIREMENTS"] == 'ID = "0"'
    assert cloud.run("one_template_info", name=name)["templates"]
    again = {"template": vm_template, "persistent": True}
    assert cloud.run("one_vm", name=name, state="absent").ok
    assert "that of a former VM is still there" in cloud.run("one_vm", name=name, **again)["msg"]
    assert cloud.run("one_template", name=name, state="absent", recursive=True).ok
    # The storage takes its time with the images, and their names are taken until it is done.
    assert cloud.run("one_image", name=f"{name}-disk-0", state="absent").ok
    assert cloud.run("one_vm", name=name, disks=disks, **again).ok
    assert "datastore nope does not exist" in cloud.run("one_vm", name="x", template="0", datastore="nope")["msg"]


def test_calls(cloud, name, vm_template) -> None:
    """The budget: polls come on top, which is what waiting costs; the second look at names is the first of them."""
    made = cloud.run("one_vm", name=name, template=vm_template, wait=False)["vm"]
    writes = {"one.template.instantiate"}
    assert cloud.calls.total <= 5 and {call for call in cloud.calls.by_method if "pool" not in call} == writes
    assert cloud.run("one_vm", id=made["id"]).ok

    def calls(**params: Any) -> tuple[int, int]:
        assert cloud.run("one_vm", **params).ok
        return cloud.calls.total, cloud.calls.writes

    assert calls(id=made["id"]) == (1, 0)
    assert calls(name=name) == (2, 0)
    assert calls(id=made["id"], attributes={"A": "1"}) == (2, 1)
    assert calls(name=name, attributes={"A": "2"}, labels=["x"]) == (3, 1)
    assert calls(name=name, permissions="640") == (3, 1)
    assert calls(name=name, lock="use") == (3, 1)
    assert calls(name=name, lock="none") == (3, 1)
    assert calls(name=name, new_name=f"{name}-b") == (3, 1)
    assert calls(name=name, new_name=f"{name}-b") == (2, 0)
    assert calls(id=made["id"], state="poweroff", wait=False) == (3, 1)
    assert calls(id=made["id"], state="absent")[1] == 1
    assert calls(id=made["id"], state="absent") == (1, 0)


def test_the_words_of_the_scheduler_are_no_difference(cloud, name, vm_template) -> None:
    assert cloud.run("one_vm", name=name, template=vm_template, state="present", memory=10**9).ok
    cloud.admin.call("one.vm.update", cloud.run("one_vm_info", name=name)["vms"][0]["id"], 'SCHED_MESSAGE="later"', 1)
    result = cloud.run("one_vm", name=name, state="present", attributes={"A": "1"}, wait=False)
    assert result["vm"]["attributes"]["SCHED_MESSAGE"] and "SCHED_MESSAGE" not in str(result["diff"])


def test_present_does_not_wait_for_a_vm_that_cannot_be_placed(cloud, name, vm_template) -> None:
    big = cloud.run("one_vm", name=name, template=vm_template, state="present", memory=10**9, lock="use")
    assert big.ok and big["vm"]["state"] == "PENDING" and big["vm"]["lock"] == "use"
    wanted = {"name": name, "state": "present", "lock": "none", "wait_timeout": 5}
    result = cloud.converge("one_vm", attributes={"A": "1"}, context={"B": "2"}, vcpu=2, **wanted)
    assert result["vm"]["vcpu"] == 2 and result["vm"]["context"]["B"] == "2" and result["vm"]["state"] == "PENDING"
    smaller = cloud.converge("one_vm", name=name, memory=64)
    assert smaller["vm"]["state"] == "RUNNING"


def test_info_filters(cloud, name, vm_template) -> None:
    for index in range(2):
        params = {"labels": ["web/front", "b"], "attributes": {"STAGE": f"s{index}", "ONLY": name}, "mark": f"m{index}"}
        assert cloud.run("one_vm", name=f"{name}-{index}", template=vm_template, **params).ok
    first, second = (one["id"] for one in cloud.run("one_vm_info", name=f"{name}-?")["vms"])

    def found(total: int, **filters: Any) -> list[int]:
        result = cloud.run("one_vm_info", **filters)
        assert result.ok and cloud.calls.total == total and cloud.calls.writes == 0, (result, cloud.calls.by_method)
        return [one["id"] for one in result["vms"] if one["name"].startswith(name)]

    assert found(1, ids=[second, first, 99999]) == [first, second]
    assert found(1, attributes={"only": name}) == [first, second]
    assert found(1, attributes={"STAGE": "s1", "ONLY": None}) == [second]
    assert found(2, name=f"{name}*", attributes={"STAGE": "s0"}) == [first]
    assert found(2, labels=["web"], host="sandbox") == found(2, labels=["web/front", "b"]) == [first, second]
    assert found(2, owner="oneadmin", group="oneadmin", mark="m1") == [second]
    assert found(3, cluster="default", name=f"{name}*") == [first, second]
    assert found(1, name=f"{name}*", host="nope") == []
    assert found(2, states=["running"]) == found(2, states=["active"]) == [first, second]
    assert "states: VMs have no state RUNING" in cloud.run("one_vm_info", states=["RUNING"])["msg"]
    for module, what in (("image", "images"), ("host", "hosts"), ("vnet", "virtual networks")):
        wrong = cloud.run(f"one_{module}_info", states=["READY", "ready_"] if module != "host" else ["READY_"])
        assert f"states: {what} have no state READY_" in wrong["msg"] and cloud.calls.total == 0
    assert cloud.run("one_vm", id=first, state="absent").ok
    assert found(2, name=f"{name}*") == [second]
    assert found(2, name=f"{name}*", states=["DONE"]) == [first]
    assert found(2, name=f"{name}*", states=["done", "RUNNING"]) == [first, second]
    assert "cluster nope does not exist" in cloud.run("one_vm_info", cluster="nope")["msg"]


def test_vm_zero(empty_cloud) -> None:
    assert empty_cloud.run("one_template", name="zero", template={"CPU": 0.1, "MEMORY": 16}).ok
    made = empty_cloud.run("one_vm", name="zero", template="0")
    assert made.ok and made["vm"]["id"] == 0
    assert empty_cloud.run("one_vm", id=0, attributes={"A": "1"})["vm"]["attributes"]["A"] == "1"
    assert [one["id"] for one in empty_cloud.run("one_vm_info", ids=[0])["vms"]] == [0]
    assert empty_cloud.run("one_vm", ids=[0], state="absent")["changed"]
    assert not empty_cloud.run("one_vm", id=0, state="absent")["changed"]
