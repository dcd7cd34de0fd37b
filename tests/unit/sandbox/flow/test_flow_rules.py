# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Service templates: validation and conversion, without a cloud."""

from __future__ import annotations

from typing import Any

import pytest
from one_sandbox.flow.rules import parse_time, upgrade_contents, validate
from one_sandbox.flow.validator import ValidationError


def template(**role: Any) -> dict[str, Any]:
    return {"name": "s", "roles": [{"name": "a", "type": "vm", "template_id": 0, **role}]}


def test_defaults_and_coercion() -> None:
    body = validate(template(cardinality="2", min_vms="1", mark="x"))
    assert body["deployment"] == "none"
    assert body["description"] == ""
    assert body["roles"][0] == {
        "name": "a", "type": "vm", "template_id": 0, "cardinality": 2, "min_vms": 1, "mark": "x",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ([], "KEY: '' must be an Object;"),
        ({"name": 1, "roles": []}, "KEY: 'name' must be a String;"),
        ({"name": "x", "roles": {}}, "KEY: 'roles' must be an Array;"),
        (template(type="x"), 'Unsupported role type "x"'),
        (template(parents="a"), "KEY: 'parents' must be an Array;"),
        (template(on_hold="yes"), "KEY: 'on_hold' is not allowed in {:type=>:boolean};"),
        (template(shutdown_action="kill"), "KEY: 'shutdown_action' must be one of terminate, terminate-hard, shutdown, "
         "shutdown-hard;"),
        (template(cardinality=1, min_vms=0, max_vms=2, scheduled_policies=[
            {"type": "CHANGE", "adjust": 1, "start_time": "soon"}]),
         "Role 'a', scheduled policy #0 'start_time' is not a valid Time. Try with YYYY-MM-DD hh:mm:ss or "
         "0YYY-MM-DDThh:mm:ssZ"),
    ],
)  # fmt: skip
def test_refused(body: Any, text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        validate(body)
    assert str(caught.value) == text


def test_conversion_needs_every_role_to_be_old() -> None:
    mixed = {"name": "x", "roles": [
        {"name": "a", "vm_template": 3}, {"name": "b", "type": "vm", "template_id": 1}]}  # fmt: skip
    with pytest.raises(ValidationError, match="Mandatory document key 'type"):
        validate(mixed)


def test_conversion() -> None:
    old = {
        "name": "x", "custom_attrs": {"A": "M|text|a| |"}, "custom_attrs_values": {"A": "1"},
        "roles": [{"name": "a", "vm_template": "3", "vm_template_contents": "", "custom_attrs": {"B": "x"}}],
    }  # fmt: skip
    body = validate(old)
    assert body["user_inputs"] == {"A": "M|text|a| |"}
    assert body["user_inputs_values"] == {"A": "1"}
    assert body["roles"][0]["template_id"] == 3
    assert body["roles"][0]["user_inputs"] == {"B": "x"}
    assert "custom_attrs" not in body


def test_contents_of_6() -> None:
    text = 'MEMORY = "65"\nNIC = [ NETWORK = "a",\n  MODEL = "virtio" ]\nNIC=[NETWORK="b"]\nnonsense'
    assert upgrade_contents(text) == {
        "MEMORY": "65", "NIC": [{"NETWORK": "a", "MODEL": "virtio"}, {"NETWORK": "b"}],
    }  # fmt: skip


def test_times() -> None:
    assert parse_time("1700000000") == 1700000000
    assert parse_time("1970-01-02T00:00:00Z") == 86400
    assert parse_time("whenever") is None
