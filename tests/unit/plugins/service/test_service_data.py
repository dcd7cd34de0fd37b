# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is sent to start a service, the bounds of roles, and a service's own words."""

from __future__ import annotations

import time
from typing import Any

import pytest
from ansible_collections.opennebula.flower.plugins.module_utils.one.document import find as service_find
from ansible_collections.opennebula.flower.plugins.module_utils.one.document.find import pick_document
from ansible_collections.opennebula.flower.plugins.module_utils.one.errors import OneMarkError, OneUsageError
from ansible_collections.opennebula.flower.plugins.module_utils.one.service.request import (
    merge_template,
    network_values,
)
from ansible_collections.opennebula.flower.plugins.module_utils.one.service.roles import (
    check_action,
    needs_action,
    power_words,
)
from ansible_collections.opennebula.flower.plugins.module_utils.one.service.service import (
    check_cardinalities,
    input_drift,
    last_messages,
    service_view,
)

BODY: dict[str, Any] = {
    "name": "t",
    "user_inputs": {
        "MUST": "M|text|needed| |",
        "PRESET": "M|number|with a default||7",
        "MAY": "O|text|optional||",
        "SECRET": "O|password|a secret||",
    },
    "networks": {"Private": "M|network|net||id:0", "Public": "M|network|net||"},
    "roles": [
        {"name": "sl", "cardinality": 1, "min_vms": 1, "max_vms": 1},
        {"name": "sn", "cardinality": 2, "user_inputs": {"SITE": "M|text|site||here"}},
    ],
}


def merge(**changes: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "name": "s",
        "mark": None,
        "inputs": {"MUST": "x"},
        "networks": {"Public": {"id": "4"}},
        "roles": [],
        **changes,
    }
    return merge_template(BODY, **arguments)


def test_every_input_and_network_gets_a_value() -> None:
    assert merge(mark="fed") == {
        "name": "s",
        "flower_federation": "fed",
        "user_inputs_values": {"MUST": "x", "PRESET": "7", "MAY": "", "SECRET": ""},
        "networks_values": [{"Private": {"id": "0"}}, {"Public": {"id": "4"}}],
        "roles": [{"name": "sn", "user_inputs_values": {"SITE": "here"}}],
    }


def test_what_is_wrong_is_said_in_one_sentence() -> None:
    with pytest.raises(OneUsageError) as error:
        merge(inputs={}, networks={"Nowhere": {"id": "1"}}, roles=[{"name": "ghost", "cardinality": 1}])
    text = str(error.value)
    for part in ("input MUST needs a value", "network Public needs a value", "no network Nowhere", "no role ghost"):
        assert part in text


def test_overrides_of_a_role_are_sent_as_the_server_wants_them() -> None:
    roles = [
        {"name": "sn", "cardinality": "3", "template_contents": {"memory": 512}, "user_inputs_values": {"SITE": True}},
        {"name": "sl", "cardinality": None},
    ]
    assert merge(roles=roles)["roles"] == [
        {
            "name": "sn",
            "cardinality": 3,
            "template_contents": {"MEMORY": "512"},
            "user_inputs_values": {"SITE": "YES"},
        }
    ]


def test_networks_by_name_id_or_as_the_servers_own_list() -> None:
    ids = {"private": 3}
    given = {"A": "private", "B": 0, "C": "12", "D": {"template_id": 4}, "E": {"name": "private"}}
    assert network_values(given, ids.__getitem__) == {
        "A": {"id": "3"},
        "B": {"id": "0"},
        "C": {"id": "12"},
        "D": {"template_id": "4"},
        "E": {"id": "3"},
    }
    assert network_values([{"A": "private"}, {"B": {"id": 1}}], ids.__getitem__) == {"A": {"id": "3"}, "B": {"id": "1"}}
    assert network_values(None, ids.__getitem__) == {}


def test_bounds_of_all_roles_are_checked_at_once() -> None:
    roles = {"sl": {"min_vms": 1, "max_vms": 1}, "sn": {"min_vms": 2, "max_vms": None}}
    check_cardinalities("s", roles, {"sl": 1, "sn": 500})
    with pytest.raises(OneUsageError) as error:
        check_cardinalities("s", roles, {"sl": 2, "sn": 1, "ghost": 1})
    assert "role sl takes at most 1 VMs, not 2" in str(error.value)
    assert "role sn needs at least 2 VMs, not 1" in str(error.value)
    assert "no role ghost (it has sl, sn)" in str(error.value)


def document(number: int, name: str = "s", mark: str | None = None, **body: Any) -> dict[str, Any]:
    if mark:
        body["flower_federation"] = mark
    return {
        "ID": str(number),
        "NAME": name,
        "UID": "0",
        "GID": "0",
        "UNAME": f"user{number}",
        "GNAME": "g",
        "PERMISSIONS": {"OWNER_U": "1", "OWNER_M": "1", "GROUP_U": "1", "OTHER_A": "1"},
        "TEMPLATE": {"BODY": {"name": name, **body}},
    }


def test_names_that_mean_several_are_refused_and_marks_decide() -> None:
    several = [document(0), document(4), document(5, mark="fed"), document(6, name="other")]
    with pytest.raises(OneUsageError, match="id 0 of user0, id 4 of user4, id 5 of user5"):
        pick_document("service", several, "s", None)
    found = pick_document("service", several, "s", "fed")
    assert found is not None and found["ID"] == "5"
    assert pick_document("service", several, "absent", "fed") is None
    with pytest.raises(OneMarkError, match="not marked as belonging to federation fed"):
        pick_document("service", several, "other", "fed")


def test_a_service_document_becomes_a_view() -> None:
    found = service_view(
        document(
            7,
            state=10,
            ready_status_gate=True,
            roles=[
                {"name": "sl", "cardinality": 1, "state": 2, "nodes": [{"deploy_id": 5}], "max_vms": 1},
                {"name": "sn", "cardinality": 2, "state": 11},
            ],
            user_inputs={"S": "M|password|x", "P": "M|text|x"},
            user_inputs_values={"S": "hidden", "P": "shown"},
            networks_values=[{"N": {"id": "0"}}],
        )
    )
    assert (found["id"], found["state"], found["permissions"], found["ready_gate"]) == (7, "COOLDOWN", "641", True)
    assert found["roles"]["sl"]["vms"] == [5] and found["roles"]["sl"]["max_vms"] == 1
    assert found["roles"]["sn"]["vms"] == [] and found["roles"]["sn"]["state"] == "HOLD"
    assert found["user_inputs_values"] == {"S": "********", "P": "shown"}
    assert found["networks_values"] == {"N": {"id": "0"}}


def test_states_that_nobody_knows_are_numbers_and_not_a_crash() -> None:
    assert service_view(document(1, state=99))["state"] == "UNKNOWN(99)"


def test_the_log_is_told_without_the_states_and_errors_come_first() -> None:
    log = [
        {"severity": "I", "message": "New state: DEPLOYING"},
        {"severity": "I", "message": "some news"},
        {"severity": "E", "message": "Instantiate failed for template 3; no such image"},
        {"severity": "I", "message": "New state: FAILED_DEPLOYING"},
    ]
    assert last_messages({"log": log}) == "Instantiate failed for template 3; no such image"
    assert last_messages({"log": log[:2]}) == "some news"
    assert last_messages({"log": log[:1]}) == ""


def test_inputs_that_no_longer_fit_are_a_warning() -> None:
    body: dict[str, Any] = {"user_inputs_values": {"A": "1", "B": "YES", "C": "x"}}
    assert input_drift(body, {"A": 1, "B": True}, "s") == []
    assert "values of A, C;" in input_drift(body, {"A": 2, "C": "y"}, "s")[0]
    body["roles"] = [{"name": "web", "user_inputs_values": {"D": "1"}}, {"name": "db"}]
    assert input_drift(body, {}, "s", {"web": {"D": 1, "E": 2}, "db": {"D": 2}, "none": {"D": 2}}) == []
    assert "values of A, D;" in input_drift(body, {"A": 2}, "s", {"web": {"D": 2}})[0]


def test_networks_by_name_inside_oneflows_choices() -> None:
    ids = {"private": 4}
    given = [{"A": {"id": "private"}}, {"B": {"reserve_from": "private", "extra": "SIZE=2"}}, {"C": {"id": 7}}]
    assert network_values(given, ids.__getitem__) == {
        "A": {"id": "4"}, "B": {"reserve_from": "4", "extra": "SIZE=2"}, "C": {"id": "7"},
    }  # fmt: skip


def test_whose_document_is_meant() -> None:
    several = [{"ID": "1", "NAME": "s", "UNAME": "ann"}, {"ID": "2", "NAME": "s", "UNAME": "me"}]
    assert (pick_document("service", several, "s", None, "ann", "me") or {})["ID"] == "1"
    assert (pick_document("service", several, "s", None, "ben", "me") or {})["ID"] == "2"
    assert pick_document("service", several, "s", None, "ben") is None
    with pytest.raises(OneUsageError, match="id 1 of ann, id 2 of me; give the id, or the owner"):
        pick_document("service", several, "s", None)


@pytest.mark.parametrize(("age", "owner", "looks"), [(0, "ann", 3), (1000, "ann", 1), (0, "ben", 1)])
def test_young_twins_are_looked_at_again(monkeypatch: pytest.MonkeyPatch, age: int, owner: str, looks: int) -> None:
    monkeypatch.setattr(service_find, "PATIENCE", (0.01, 0.01))
    made = {"BODY": {"registration_time": int(time.time()) - age}}
    several = [
        {"ID": str(number), "NAME": "s", "UNAME": user, "TEMPLATE": made} for number, user in ((1, "ann"), (2, owner))
    ]
    seen: list[int] = []

    def look() -> list[dict[str, Any]]:
        seen.append(1)
        return several

    with pytest.raises(service_find.AmbiguousNameError, match="id 1 of ann, id 2"):
        service_find.look_patiently(look, lambda documents: pick_document("service", documents, "s", None))
    assert len(seen) == looks
    if looks > 1:
        later = iter([several, several[:1]])
        found, documents = service_find.look_patiently(
            lambda: next(later), lambda documents: pick_document("service", documents, "s", None)
        )
        assert (found or {})["ID"] == "1" and len(documents) == 1


def test_what_a_service_does_with_its_vms_in_words() -> None:
    vms = [{"id": 1, "state": "BOOT", "attributes": {}}, {"id": 2, "state": "POWEROFF", "attributes": {}}]
    assert power_words(vms) == "poweroff, running" and power_words([]) == ""
    assert needs_action("poweroff", vms) and not needs_action("poweroff", vms[1:]) and not needs_action("rebooted", [])
    failed = [{"id": 3, "state": "BOOT_FAILURE", "attributes": {"ERROR": "no image"}}]
    with pytest.raises(OneUsageError, match="VM 3 is BOOT_FAILURE, no image; use state recovered"):
        check_action("s", "web", "running", failed)
