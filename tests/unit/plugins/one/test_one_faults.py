# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The changing modules on a cloud that is slow, drops, lies, or has hosts that fail."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

import pytest
from ansible_collections.opennebula.flower.plugins.module_utils.one.api import transport
from ansible_collections.opennebula.flower.plugins.module_utils.one.api.oneflow import OneFlow
from ansible_collections.opennebula.flower.plugins.module_utils.one.api.settings import Settings

UNKNOWN = "may have taken effect all the same, so run again"


@dataclass(frozen=True)
class Case:
    """How a module creates something: its options without the name, the call, where the result stands."""

    module: str
    call: str
    options: dict[str, Any] = field(default_factory=dict)
    pool: tuple[str, str] | None = None
    flow: str = ""


CASES = [
    Case("one_image", "one.image.allocate", {"size": 1}, ("one.imagepool.info", "IMAGE")),
    Case(
        "one_template",
        "one.template.allocate",
        {"template": {"CPU": 1, "MEMORY": 64}},
        ("one.templatepool.info", "VMTEMPLATE"),
    ),
    Case("one_vm", "one.template.instantiate", {"template": "vm"}, ("one.vmpool.info", "VM")),
    Case(
        "one_service_template",
        "POST /service_template",
        {"template": {"deployment": "straight", "roles": [{"name": "web", "template": "vm", "cardinality": 1}]}},
        flow="templates",
    ),
    Case(
        "one_service",
        "POST /service_template/:id/action",
        {"template": "service", "wait_interval": 0.1},
        flow="services",
    ),
]
each = pytest.mark.parametrize("case", CASES, ids=lambda case: case.module)


@pytest.fixture(scope="module")
def broken(empty_cloud: Any) -> Any:
    """A cloud with a VM template and a service template."""
    made = empty_cloud.run("one_template", name="vm", template={"CPU": 0.1, "MEMORY": 64})
    assert made.ok, made
    made = empty_cloud.run("one_service_template", name="service", template=CASES[3].options["template"])
    assert made.ok, made
    return empty_cloud


@pytest.fixture(autouse=True)
def _mended(broken: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(transport, "PAUSES", (0.01, 0.02))
    yield
    broken.sandbox.faults.clear()


def named(cloud: Any, case: Case, name: str) -> int:
    """How many objects of that name there are."""
    if case.pool is None:
        documents = getattr(OneFlow(Settings.from_params(cloud.api)), case.flow)()
        return sum(item["NAME"] == name for item in documents)
    method, element = case.pool
    extra = (-1,) if element == "VM" else ()
    found = ElementTree.fromstring(cloud.admin.call(method, -2, -1, -1, *extra))
    return sum(item.text == name for item in found.findall(f"{element}/NAME"))


@each
def test_a_slow_cloud_ends_with_the_time_out(broken: Any, case: Case) -> None:
    broken.sandbox.faults.add("*", "slow", seconds=30)
    start = time.monotonic()
    result = broken.run(case.module, name="slow", api_timeout=1, **case.options)
    assert time.monotonic() - start < 2.5
    assert not result.ok and not result["changed"]
    assert "no answer within 1 s" in result["msg"] and "api_timeout" in result["msg"]
    assert UNKNOWN not in result["msg"] and result["error"]["kind"] == "timeout"


@each
def test_reads_survive_a_connection_that_breaks_twice(broken: Any, case: Case) -> None:
    broken.sandbox.faults.add("one.*info", "drop_before", times=2)
    broken.sandbox.faults.add("GET *", "drop_before", times=2)
    result = broken.run(case.module, name="survivor", **case.options)
    assert result.ok, result
    assert named(broken, case, "survivor") == 1


@each
@pytest.mark.parametrize("do", ["drop_after", "slow"])
def test_a_creation_without_an_answer_leads_to_one_object(broken: Any, case: Case, do: str) -> None:
    name = f"lost-{do}"
    more = {"seconds": 30, "api_timeout": 1} if do == "slow" else {}
    timeout = {"api_timeout": more.pop("api_timeout")} if more else {}
    broken.sandbox.faults.add(case.call, do, times=1, **more)
    result = broken.run(case.module, name=name, **case.options, **timeout)
    assert not result.ok
    assert UNKNOWN in result["msg"] and broken.api["api_password"] not in str(result["msg"])
    assert result["error"]["kind"] == ("timeout" if do == "slow" else "connection")
    again = broken.run(case.module, name=name, **case.options)
    assert again.ok, again
    assert named(broken, case, name) == 1
    assert not broken.run(case.module, name=name, **case.options)["changed"]


@each
def test_a_creation_that_never_reached_the_cloud(broken: Any, case: Case) -> None:
    broken.sandbox.faults.add(case.call, "drop_before", times=1)
    result = broken.run(case.module, name="unreached", **case.options)
    assert not result.ok and UNKNOWN in result["msg"]
    assert named(broken, case, "unreached") == 0
    assert broken.run(case.module, name="unreached", **case.options)["changed"]
    assert named(broken, case, "unreached") == 1


@each
@pytest.mark.parametrize("do", ["lie", "garble"])
def test_a_creation_that_is_only_claimed_is_noticed(broken: Any, case: Case, do: str) -> None:
    broken.sandbox.faults.add(case.call, do)
    started = time.monotonic()
    result = broken.run(case.module, name=f"claimed-{do}", **case.options)
    assert time.monotonic() - started < 10
    assert named(broken, case, f"claimed-{do}") == 0
    assert not result.ok and "\n" not in result["msg"]


@each
def test_a_proxy_that_has_lost_the_cloud(broken: Any, case: Case) -> None:
    broken.sandbox.faults.add("*", "http", code=503, text="Service Unavailable")
    result = broken.run(case.module, name="none", **case.options)
    assert not result.ok and "HTTP 503 Service Unavailable" in result["msg"]


# -- hosts that fail ---------------------------------------------------------------------------------------------------

FAILURES = {"boot": ("BOOT_FAILURE", "no more memory"), "prolog": ("PROLOG_FAILURE", "no space left on device")}


@pytest.mark.parametrize("stage", FAILURES)
def test_a_vm_on_a_host_that_fails_ends_the_wait_with_the_words_of_the_host(broken: Any, stage: str) -> None:
    state, text = FAILURES[stage]
    broken.sandbox.faults.hosts["*"] = {stage: text}
    start = time.monotonic()
    result = broken.run("one_vm", name=f"vm-{stage}", template="vm", wait_timeout=60)
    assert time.monotonic() - start < 10
    assert not result.ok and result["error"]["kind"] == "failed_state"
    assert text in result["msg"] and state in result["msg"]


@pytest.mark.parametrize("stage", FAILURES)
def test_a_service_on_a_host_that_fails_ends_the_wait_with_the_words_of_the_host(broken: Any, stage: str) -> None:
    _state, text = FAILURES[stage]
    broken.sandbox.faults.hosts["*"] = {stage: text}
    start = time.monotonic()
    result = broken.run("one_service", name=f"service-{stage}", template="service", wait_timeout=60, wait_interval=0.1)
    assert time.monotonic() - start < 15
    assert not result.ok and result["error"]["kind"] == "failed_state"
    assert text in result["msg"]


# -- changes that are only claimed -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    """An option of an existing object, and the call that changes it."""

    module: str
    call: str
    options: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.module}-{'-'.join(self.options)}"


CHANGES = [
    Change("one_image", "one.image.chmod", {"permissions": "644"}),
    Change("one_image", "one.image.update", {"attributes": {"STAGE": "test"}}),
    Change("one_image", "one.image.persistent", {"persistent": True}),
    Change("one_image", "one.image.rename", {"new_name": "renamed"}),
    Change("one_template", "one.template.chmod", {"permissions": "644"}),
    Change("one_template", "one.template.update", {"labels": ["a"]}),
    Change("one_template", "one.template.rename", {"new_name": "renamed"}),
    Change("one_vm", "one.vm.chmod", {"permissions": "644"}),
    Change("one_vm", "one.vm.update", {"labels": ["a"]}),
    Change("one_service_template", "POST /service_template/:id/action", {"permissions": "644"}),
    Change("one_service_template", "POST /service_template/:id/action", {"new_name": "renamed"}),
    Change("one_service", "POST /service/:id/action", {"permissions": "644"}),
    Change("one_service", "POST /service/:id/action", {"new_name": "renamed"}),
]


# one_vm spares the call that would read back what it has just written.
FACTS = {"one_image": "image", "one_template": "template"}


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_t1_a_change_that_is_only_claimed_is_not_believed(broken: Any, change: Change) -> None:
    case = next(case for case in CASES if case.module == change.module)
    name = f"t1-{change}"
    made = broken.run(change.module, name=name, **case.options)
    assert made.ok, made
    options = dict(change.options)
    if change.module == "one_service":
        options["wait_interval"] = 0.1
    with broken.sandbox.faults.during(change.call, "lie"):
        result = broken.run(change.module, name=name, **options)
    assert broken.sandbox.faults.struck, "the call was not made"
    if change.call.startswith("one."):
        # oned does not lie, so this is not looked for; what is read back is the truth all the same.
        fact = FACTS.get(change.module)
        assert not result.ok or fact is None or result[fact] == made[fact]
    else:
        # OneFlow does: it says 204 whatever happens.
        assert not result.ok, result["steps"]
    again = broken.run(change.module, name=name, **options)
    assert again.ok and again["changed"], again
