# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Service templates as data: what the server makes of them counts as the same, and names become ids."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.opennebula.flower.plugins.module_utils.one.errors import OneUsageError
from ansible_collections.opennebula.flower.plugins.module_utils.one.service_template.body import comparable, normalise
from ansible_collections.opennebula.flower.plugins.module_utils.one.service_template.names import resolve_names
from ansible_collections.opennebula.flower.plugins.module_utils.one.service_template.wanted import desired_body


def no_lookup(name: Any) -> int:
    raise AssertionError(f"no look-up of {name} expected")


# What was sent and what OneFlow 7.4 stored for it, as recorded on a running server.
LEGACY_SENT = {
    "name": "oldfmt",
    "deployment": "straight",
    "ready_status_gate": True,
    "description": "two roles",
    "roles": [
        {
            "name": "a",
            "cardinality": 1,
            "vm_template": 0,
            "vm_template_contents": 'MEMORY="65"\nNIC=[NETWORK="net0"]',
        }
    ],
}
LEGACY_STORED = {
    "name": "oldfmt",
    "deployment": "straight",
    "ready_status_gate": True,
    "description": "two roles",
    "roles": [
        {
            "name": "a",
            "cardinality": 1,
            "template_id": 0,
            "type": "vm",
            "template_contents": {"MEMORY": "65", "NIC": [{"NETWORK": "net0"}]},
        }
    ],
    "registration_time": 1795301599,
}


def test_a_template_of_6_x_equals_what_the_server_stores_for_it() -> None:
    assert comparable(LEGACY_SENT) == comparable(LEGACY_STORED)
    assert normalise(LEGACY_SENT)["roles"] == LEGACY_STORED["roles"]


def test_one_role_in_the_keys_of_7_x_keeps_the_body_as_it_is() -> None:
    """The server converts only where every role is old; half of a conversion would compare things it never stores."""
    mixed = {"name": "m", "roles": [{"name": "a", "vm_template": 0}, {"name": "b", "type": "vm", "template_id": 1}]}
    assert normalise(mixed)["roles"][0]["vm_template"] == 0


def test_repeated_attributes_and_brackets_over_lines_survive_the_conversion() -> None:
    text = 'NIC=[\n  NETWORK="a",\n  MODEL="virtio" ]\nNIC=[NETWORK="b"]\nMEMORY=64'
    body = {"name": "x", "roles": [{"name": "a", "vm_template": 3, "vm_template_contents": text}]}
    role = normalise(body)["roles"][0]
    assert role["template_contents"] == {
        "NIC": [{"NETWORK": "a", "MODEL": "virtio"}, {"NETWORK": "b"}],
        "MEMORY": "64",
    }


@pytest.mark.parametrize(
    ("asked", "stored"),
    [
        ({"roles": []}, {"roles": [], "deployment": "none", "description": "", "registration_time": 1}),
        ({"roles": [{"name": "a", "cardinality": "2"}]}, {"roles": [{"name": "a", "cardinality": 2}]}),
        ({"roles": [{"name": "a"}]}, {"roles": [{"name": "a", "cardinality": 0}]}),
        ({"roles": [{"name": "a"}, {"name": "b"}]}, {"roles": [{"name": "b"}, {"name": "a"}]}),
        (
            {"roles": [{"name": "a", "parents": ["x", "y"]}]},
            {"roles": [{"name": "a", "parents": ["y", "x"], "scheduled_policies": [], "template_contents": {}}]},
        ),
        (
            {"roles": [{"name": "a", "template_contents": {"memory": 512, "CONTEXT": {"TOKEN": True}}}]},
            {"roles": [{"name": "a", "template_contents": {"MEMORY": "512", "CONTEXT": {"TOKEN": "YES"}}}]},
        ),
        (
            {"roles": [{"name": "a", "template_contents": {"NIC": {"NETWORK": "n"}}}]},
            {"roles": [{"name": "a", "template_contents": {"NIC": [{"NETWORK": "n"}]}}]},
        ),
        (
            {"roles": [{"name": "a", "elasticity_policies": [{"type": "CHANGE", "adjust": "1", "expression": "A>1"}]}]},
            {"roles": [{"name": "a", "elasticity_policies": [{"type": "CHANGE", "adjust": 1, "expression": "A>1"}]}]},
        ),
        ({"ready_status_gate": "yes"}, {"ready_status_gate": True}),
        ({"on_hold": False}, {}),
        ({"user_inputs_values": {"A": 1, "B": False}}, {"user_inputs_values": {"A": "1", "B": "NO"}}),
        ({"networks_values": [{"N": {"id": 0}}]}, {"networks_values": [{"N": {"id": "0"}}]}),
    ],
)
def test_what_means_the_same_compares_equal(asked: dict[str, Any], stored: dict[str, Any]) -> None:
    assert comparable({"name": "s", **asked}) == comparable({"name": "s", **stored})


@pytest.mark.parametrize(
    ("asked", "stored"),
    [
        ({"roles": [{"name": "a", "cardinality": 1}]}, {"roles": [{"name": "a", "cardinality": 2}]}),
        ({"roles": [{"name": "a"}]}, {"roles": [{"name": "a"}, {"name": "b"}]}),
        ({"deployment": "straight"}, {"deployment": "none"}),
        ({"ready_status_gate": True}, {}),
        (
            {"roles": [{"name": "a", "template_contents": {"NIC": [{"NETWORK": "n"}, {"NETWORK": "m"}]}}]},
            {"roles": [{"name": "a", "template_contents": {"NIC": [{"NETWORK": "m"}, {"NETWORK": "n"}]}}]},
        ),
        ({"user_inputs": {"A": "M|text|a"}}, {"user_inputs": {"A": "O|text|a"}}),
    ],
)
def test_what_means_something_else_differs(asked: dict[str, Any], stored: dict[str, Any]) -> None:
    """The order of NICs decides which of them is the first, so it counts."""
    assert comparable({"name": "s", **asked}) != comparable({"name": "s", **stored})


def test_normalise_is_idempotent_and_leaves_its_argument_alone() -> None:
    before = repr(LEGACY_SENT)
    once = normalise(LEGACY_SENT)
    assert normalise(once) == once
    assert repr(LEGACY_SENT) == before


def test_names_become_ids_and_types_are_filled_in() -> None:
    body = {
        "roles": [
            {"name": "a", "template": "img"},
            {"name": "b", "template_id": "7"},
            {"name": "c", "template_id": "t"},
        ],
        "networks": {
            "Own": "M|network|text||id:3",
            "ByName": "private",
            "Maybe": {"name": "private", "description": "the lab", "mandatory": False},
            "Fresh": {"template_id": 4},
            "Part": {"reserve_from": 5},
            "Number": {"id": 0},
        },
    }
    ids = {"img": 11, "t": 12, "private": 0}
    resolved = resolve_names(body, ids.__getitem__, ids.__getitem__)
    assert resolved["roles"] == [
        {"name": "a", "template_id": 11}, {"name": "b", "template_id": 7}, {"name": "c", "template_id": 12},
    ]  # fmt: skip
    assert [role["type"] for role in desired_body(resolved, "n", None)["roles"]] == ["vm", "vm", "vm"]
    assert resolved["networks"] == {
        "Own": "M|network|text||id:3",
        "ByName": "M|network|ByName||id:0",
        "Maybe": "O|network|the lab||id:0",
        "Fresh": "M|network|Fresh||template_id:4",
        "Part": "M|network|Part||reserve_from:5",
        "Number": "M|network|Number||id:0",
    }


def test_ids_need_no_look_up() -> None:
    body = {"roles": [{"name": "a", "template": 0}], "networks": {"N": "M|network|x||id:0"}}
    assert resolve_names(body, no_lookup, no_lookup)["roles"][0]["template_id"] == 0


def test_the_mark_is_set_and_kept() -> None:
    assert desired_body({"roles": []}, "n", "fed")["flower_federation"] == "fed"
    assert desired_body({"roles": []}, "n", None, {"flower_federation": "fed"})["flower_federation"] == "fed"
    assert "flower_federation" not in desired_body({"roles": []}, "n", None)
    assert desired_body({"name": "other", "roles": []}, "n", None)["name"] == "n"


def test_contents_that_opennebula_cannot_store_are_refused_but_foreign_ones_still_compare() -> None:
    deep = {"name": "s", "roles": [{"name": "a", "template_contents": {"X": {"Y": {"Z": 1}}}}]}
    with pytest.raises(OneUsageError, match="X.Y"):
        desired_body(deep, "s", None)
    assert comparable(deep) == comparable(deep)


def test_the_order_of_policies_counts() -> None:
    """OneFlow takes the first one that applies."""
    one, two = ({"type": "CHANGE", "adjust": adjust, "expression": "CPU > 1"} for adjust in (1, 2))
    first, second = (
        comparable({"roles": [{"name": "a", "elasticity_policies": policies}]}) for policies in ([one, two], [two, one])
    )
    assert first != second
