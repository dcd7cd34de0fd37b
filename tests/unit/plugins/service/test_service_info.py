# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules one_service_info and one_service_template_info: their filters, and how many calls they take."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from flow_cloud import Cloud

TEMPLATES, SERVICES = "one_service_template_info", "one_service_info"
DONE = 5


def document(cloud: Cloud, kind: int, name: str, **body: Any) -> int:
    """A document as OneFlow would have left it, without OneFlow."""
    text = {"name": name, "roles": [], "start_time": int(time.time()), **body}
    return int(cloud.connection.call("one.document.allocate", {"NAME": name, "BODY": json.dumps(text)}, kind))


def ids(result: dict[str, Any]) -> list[int]:
    return [item["id"] for item in result.get("services", result.get("service_templates", []))]


@pytest.mark.parametrize(("module", "kind"), [(TEMPLATES, 101), (SERVICES, 100)])
def test_filters(cloud: Cloud, module: str, kind: int) -> None:
    cloud.user("eve")
    name = cloud.name("filter")
    numbers = [document(cloud, kind, f"{name}-{part}", flower_federation=part, state=2) for part in ("a", "b", "c")]
    cloud.connection.call("one.document.chown", numbers[1], cloud.user_id("eve"), 1)
    for params, expected in (
        ({"name": f"{name}-a"}, [0]),
        ({"name": f"{name}-?"}, [0, 1, 2]),
        ({"name": f"{name}-[ab]"}, [0, 1]),
        ({"name": f"{name}*", "owner": "eve"}, [1]),
        ({"name": f"{name}*", "owner": "oneadmin"}, [0, 2]),
        ({"name": f"{name}*", "group": "users"}, [1]),
        ({"ids": [numbers[2], numbers[0], 99999]}, [0, 2]),
        ({"ids": [numbers[2]], "owner": "eve"}, []),
        ({"ids": []}, []),
        ({"mark": "b", "name": f"{name}*"}, [1]),
    ):
        cloud.sandbox.calls.reset()
        assert ids(cloud.ok(module, **params)) == [numbers[place] for place in expected], params
        assert cloud.sandbox.calls.total == (0 if params.get("ids") == [] else 1) and cloud.sandbox.calls.writes == 0


def test_states(cloud: Cloud) -> None:
    name = cloud.name("states")
    numbers = {state: document(cloud, 100, name, state=state) for state in (2, 4, DONE, 15, 42)}
    assert ids(cloud.ok(SERVICES, name=name)) == [numbers[state] for state in (2, 4, 15, 42)]
    assert ids(cloud.ok(SERVICES, name=name, states=["warning", "HOLD"])) == [numbers[4], numbers[15]]
    assert ids(cloud.ok(SERVICES, name=name, states=["DONE"])) == [numbers[DONE]]
    assert ids(cloud.ok(SERVICES, ids=[numbers[DONE]])) == [numbers[DONE]]
    found = cloud.ok(SERVICES, name=name, states=["UNKNOWN(42)"])["services"]
    assert [service["state"] for service in found] == ["UNKNOWN(42)"]


def test_a_name_with_the_signs_of_a_pattern(cloud: Cloud) -> None:
    name = f"{cloud.name('odd')}[x]*"
    number = document(cloud, 101, name)
    assert ids(cloud.ok(TEMPLATES, name=name)) == [number]


def test_documents_without_a_body_that_makes_sense(cloud: Cloud) -> None:
    """What others put into the pools does not break the reading of the rest."""
    name = cloud.name("bare")
    number = int(cloud.connection.call("one.document.allocate", {"NAME": name, "BODY": "{}"}, 100))
    found = cloud.ok(SERVICES, name=name)["services"]
    assert [service["id"] for service in found] == [number] and found[0]["roles"] == {}
    cloud.connection.call("one.document.delete", number)


def test_the_vms_of_many_services_take_one_call(cloud: Cloud) -> None:
    mark = cloud.name("many")
    for _turn in range(2):
        name = cloud.federation(cloud.name(), gate=False, nodes=4)
        cloud.ok("one_service", name=name, template=name, mark=mark)
    cloud.sandbox.calls.reset()
    found = cloud.ok(SERVICES, mark=mark)["services"]
    assert [len(service["vms"]) for service in found] == [5, 5]
    assert cloud.sandbox.calls.by_method == {"GET /service": 1, "one.vmpool.infoset": 1}
