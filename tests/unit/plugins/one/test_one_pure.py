# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparison, merge and replace, masking, marks, permissions and states: the pure parts."""

from __future__ import annotations

import base64

import pytest
from ansible_collections.opennebula.flower.plugins.module_utils.one import errors
from ansible_collections.opennebula.flower.plugins.module_utils.one.core import pools
from ansible_collections.opennebula.flower.plugins.module_utils.one.data import compare, marks, states, xml
from ansible_collections.opennebula.flower.plugins.module_utils.one.data.template import Template


def test_lists_of_vectors_are_compared_without_order() -> None:
    one, two = {"NETWORK": "a"}, {"NETWORK": "b"}
    assert compare.same([one, two], [two, one])
    assert compare.same([one], one)
    assert not compare.same([one, one], [one])
    assert compare.same(None, [])
    assert not compare.same("", None)


def test_merge_keeps_what_is_not_mentioned_and_goes_into_vectors() -> None:
    current = {"CPU": "1", "LABELS": "x", "CONTEXT": {"TOKEN": "YES", "A": "1"}, "NIC": {"NETWORK": "a"}}
    result = compare.merged(current, {"CPU": "2", "CONTEXT": {"A": "2"}, "NIC": {"NETWORK": "b"}})
    assert result == {
        "CPU": "2",
        "LABELS": "x",
        "CONTEXT": {"TOKEN": "YES", "A": "2"},
        "NIC": {"NETWORK": "b"},
    }
    assert current["CONTEXT"] == {"TOKEN": "YES", "A": "1"}


def test_update_sends_only_the_difference_unless_something_goes() -> None:
    before = Template({"A": "1", "B": "2"})
    assert compare.update_for(before, Template({"A": "1", "B": "2"})) is None
    assert compare.update_for(before, Template({"A": "1", "B": "3"})) == ({"B": "3"}, 1)
    assert compare.update_for(before, Template({"B": "2"})) == ({"B": "2"}, 0)


def test_without_removes_attributes_and_keys_of_vectors() -> None:
    current = {"A": "1", "CONTEXT": {"X": "1", "Y": "2"}}
    assert compare.without(current, ["a", "context.x", "nope", "nope.x"]) == {"CONTEXT": {"Y": "2"}}


def test_secrets_are_masked_at_any_depth_and_a_change_stays_visible() -> None:
    before = {"attributes": {"CONTEXT": {"ROOT_PASSWORD": "one", "TOKEN": "YES", "SSH_PUBLIC_KEY": "ssh-ed25519 A"}}}
    after = {"attributes": {"CONTEXT": {"ROOT_PASSWORD": "two", "TOKEN": "YES", "SSH_PUBLIC_KEY": "ssh-ed25519 A"}}}
    shown = compare.difference(before, after)
    assert "one" not in str(shown["before"]).replace("None", "") and "two" not in str(shown)
    assert shown["before"] != shown["after"]
    assert shown["after"]["attributes"]["CONTEXT"]["TOKEN"] == "YES"
    assert shown["after"]["attributes"]["CONTEXT"]["SSH_PUBLIC_KEY"] == "ssh-ed25519 A"
    key = "-----BEGIN EC PRIVATE KEY-----\nx"
    assert compare.masked({"a": [{"ANYTHING": key, "ONEAPP_FL_TLS_KEY": "$TLS_KEY"}]}) == {
        "a": [{"ANYTHING": compare.MASK, "ONEAPP_FL_TLS_KEY": "$TLS_KEY"}]
    }


@pytest.mark.parametrize("found", [None, "other"])
def test_objects_without_the_mark_are_refused(found: str | None) -> None:
    with pytest.raises(errors.OneMarkError, match="not marked as belonging to federation mine"):
        marks.require_mark("image", "x", 7, found, "mine")


def test_marks_allow_the_owner_and_whoever_does_not_ask() -> None:
    marks.require_mark("image", "x", 7, "mine", "mine")
    marks.require_mark("image", "x", 7, "other", None)


@pytest.mark.parametrize("octal", ["600", "640", "777", "000", "124"])
def test_permissions_go_both_ways(octal: str) -> None:
    names = [f"{who}_{right}" for who in ("OWNER", "GROUP", "OTHER") for right in ("U", "M", "A")]
    bits = xml.permission_bits(octal)
    assert xml.permissions({"PERMISSIONS": dict(zip(names, map(str, bits), strict=True))}) == octal


def test_one_element_and_several_look_alike() -> None:
    one = xml.to_dict("<VM><TEMPLATE><NIC><IP>1</IP></NIC></TEMPLATE></VM>")
    two = xml.to_dict("<VM><TEMPLATE><NIC><IP>1</IP></NIC><NIC><IP>2</IP></NIC></TEMPLATE></VM>")
    none = xml.to_dict("<VM><TEMPLATE/></VM>")
    assert [nic["IP"] for nic in xml.vectors(one["TEMPLATE"], "NIC")] == ["1"]
    assert [nic["IP"] for nic in xml.vectors(two["TEMPLATE"], "NIC")] == ["1", "2"]
    assert xml.vectors(none["TEMPLATE"], "NIC") == []
    assert xml.template_of(none) == {}


def test_control_characters_in_an_answer_are_no_failure() -> None:
    assert xml.to_dict("<VM><NAME>a\x02b</NAME></VM>") == {"NAME": "ab"}
    with pytest.raises(errors.OneInternalError, match="well-formed"):
        xml.to_dict("<VM>")


def test_pool_is_sorted_by_id() -> None:
    pool = "<P><VM><ID>2</ID></VM><VM><ID>0</ID></VM></P>"
    assert [body["ID"] for body in xml.pool_to_dicts(pool, "VM")] == ["0", "2"]


def test_pick_refuses_to_guess() -> None:
    bodies = [{"ID": "0", "NAME": "x", "UNAME": "oneadmin"}, {"ID": "4", "NAME": "x", "UNAME": "alice"}]
    with pytest.raises(errors.OneUsageError, match="id 0 of oneadmin, id 4 of alice"):
        pools.pick(bodies, "image", "x")
    assert pools.pick(bodies, "image", "x", "alice") == bodies[1]
    assert pools.pick(bodies, "image", "y") is None


@pytest.mark.parametrize(
    ("table", "last"),
    [
        (states.IMAGE_STATES, (10, "LOCKED_USED_PERS")),
        (states.VM_STATES, (11, "CLONING_FAILURE")),
        (states.LCM_STATES, (71, "RESTORE")),
        (states.HOST_STATES, (8, "OFFLINE")),
        (states.SERVICE_STATES, (15, "HOLD")),
    ],
)
def test_tables_are_complete_and_open_ended(table: tuple[str, ...], last: tuple[int, str]) -> None:
    assert table.index(last[1]) == last[0] == len(table) - 1
    assert states.state_name(table, str(last[0])) == last[1]
    assert states.state_name(table, 99) == "UNKNOWN(99)"
    assert states.state_name(table, -1) == "UNKNOWN(-1)"
    assert states.state_name(table, "") == "UNKNOWN()"


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (3, "RUNNING"),
        (36, "BOOT_FAILURE"),
        (39, "PROLOG_FAILURE"),
        (47, "BOOT_UNDEPLOY_FAILURE"),
        (61, None),
        (65, None),
    ],
)
def test_numbers_of_lcm_states(number: int, name: str | None) -> None:
    expected = {61: "PROLOG_MIGRATE_UNKNOWN_FAILURE", 65: "HOTPLUG_NIC_POWEROFF"}.get(number, name)
    assert states.vm_state_name(3, number) == expected
    assert states.vm_state_name(8, number) == "POWEROFF"


@pytest.mark.parametrize(
    ("state", "goal"),
    [
        ("PENDING", "RUNNING"),
        ("BOOT", "RUNNING"),
        ("BOOT_POWEROFF", "RUNNING"),
        ("PROLOG_UNDEPLOY", "RUNNING"),
        ("SHUTDOWN_POWEROFF", "POWEROFF"),
        ("SAVE_SUSPEND", "SUSPENDED"),
        ("EPILOG_STOP", "STOPPED"),
        ("SHUTDOWN_UNDEPLOY", "UNDEPLOYED"),
        ("EPILOG", "DONE"),
        ("BOOT_FAILURE", "BOOT_FAILURE"),
        ("HOLD", "HOLD"),
    ],
)
def test_where_a_vm_is_heading(state: str, goal: str) -> None:
    assert states.vm_destination(state) == goal


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (256, "authentication"),
        (512, "authorization"),
        (1024, "not_found"),
        (2048, "action"),
        (4096, "api"),
        (8192, "internal"),
        (16384, "allocate"),
        (99, "error"),
    ],
)
def test_every_error_number_has_its_family(code: int, kind: str) -> None:
    error = errors.from_answer([False, "[one.x.y] Some text.", code, 7, -1], "one.x.y", "http://c:2633/RPC2")
    assert error.kind == kind and error.code == code and error.object_id == 7
    assert str(error).startswith("OpenNebula at http://c:2633/RPC2: one.x.y: Some text")
    assert "[one." not in str(error)


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("ONEAPP_FL_SSL_KEYFILE", "MIIEvQ", True),
        ("ONEAPP_FL_SSL_KEYFILE", "O|text64|Private key||", False),
        ("ONEAPP_FL_SSL_KEYFILE", "/opt/flower/certs/server.key", False),
        ("ANYTHING", base64.b64encode(b"-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEI" + b"x" * 60).decode(), True),
        (
            "ONEAPP_FL_SSL_CA_CERTFILE",
            base64.b64encode(b"-----BEGIN CERTIFICATE-----\nMIIB" + b"x" * 60).decode(),
            False,
        ),
        ("FL_NODE_PUBKEY", "ecdsa-sha2-nistp384 AAAA", False),
        ("USERNAME_PASSWORD_RESET", "YES", False),
        ("api_password", "hunter2", True),
        ("api_password", "$ecret", True),
        ("api_password", "/slash", True),
        ("ROOT_PASSWORD", "$USER[PASSWORD]", False),
        ("TOKEN", "YES", False),
        ("TOKENTXT", "abc", True),
    ],
)
def test_what_counts_as_a_secret(name: str, value: str, secret: bool) -> None:
    assert (compare.masked({name: value})[name] == compare.MASK) is secret
