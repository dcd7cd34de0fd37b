# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting and the runner: what is written when, what is reported, and that failures end a wait at once."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.opennebula.flower.plugins.module_utils.one.core.runner import (
    NOTHING_DONE,
    PartlyDoneError,
    Plan,
    Resource,
    execute,
    run,
)
from ansible_collections.opennebula.flower.plugins.module_utils.one.core.wait import wait_for
from ansible_collections.opennebula.flower.plugins.module_utils.one.errors import (
    OneActionError,
    OneError,
    OneFailedStateError,
    OneTakenError,
    OneTimeoutError,
)


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sleeps: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds


def waiting(states: list[str], timeout: float = 60, **more: Any) -> tuple[str, Clock]:
    clock = Clock()
    left = iter(states)
    last = [states[-1]]
    result = wait_for(
        lambda: next(left, last[0]),
        lambda state: state == "READY",
        lambda state: "no space" if state == "ERROR" else None,
        what="image x becoming READY",
        timeout=timeout,
        interval=2,
        describe=lambda state: f"state {state}",
        sleep=clock.sleep,
        clock=clock,
        **more,
    )
    return result, clock


def test_polls_are_quick_first_and_slow_down_to_the_interval() -> None:
    _state, clock = waiting(["LOCKED"] * 12 + ["READY"])
    assert clock.sleeps[0] == 0.2
    assert clock.sleeps == sorted(clock.sleeps)
    assert clock.sleeps[-1] == 2


def test_a_failure_state_ends_the_wait_at_once() -> None:
    with pytest.raises(OneFailedStateError, match="image x becoming READY failed: no space") as caught:
        waiting(["LOCKED", "ERROR", "READY"])
    assert caught.value.last == "ERROR"


def test_a_timeout_names_the_last_state() -> None:
    with pytest.raises(OneTimeoutError, match=r"longer than 5 s \(state LOCKED\)") as caught:
        waiting(["LOCKED"], timeout=5)
    assert caught.value.last == "LOCKED"


def test_a_known_state_needs_no_poll() -> None:
    state, clock = waiting(["never"], known="READY")
    assert (state, clock.sleeps) == ("READY", [])


class Lamp(Resource[str]):
    """A resource with one bit."""

    def __init__(self, state: str, wanted: str, broken: bool = False) -> None:
        self.state, self.wanted, self.broken = state, wanted, broken
        self.log: list[str] = []

    def read(self) -> str:
        self.log.append("read")
        return self.state

    def plan(self, before: str) -> Plan[str]:
        plan = Plan(after=self.wanted, warnings=["hot"] if before == "on" else [])
        if before != self.wanted:
            plan.add("unlock", lambda: self.log.append("unlock"))
            plan.add(f"switch {self.wanted}", self.switch)
        return plan

    def switch(self) -> None:
        if self.broken:
            raise OneActionError("the switch is stuck")
        self.log.append("switch")
        self.state = self.wanted

    def settle(self, known: str | None, changed: bool) -> str:
        self.log.append("settle")
        return known if known is not None else self.state

    def facts(self, state: str) -> dict[str, Any]:
        return {"lamp": {"state": state, "password": "hidden"}}

    def view(self, state: str) -> Any:
        return {"state": state}


def test_check_mode_writes_nothing_and_predicts_the_real_run() -> None:
    dry, real = Lamp("off", "on"), Lamp("off", "on")
    predicted, result = execute(dry, check_mode=True), execute(real, check_mode=False)
    assert dry.log == ["read"]
    assert real.log == ["read", "unlock", "switch", "settle"]
    assert predicted == result
    assert result["diff"] == {"before": {"state": "off"}, "after": {"state": "on"}}
    assert result["lamp"] == {"state": "on", "password": "********"}


def test_no_change_is_no_write() -> None:
    lamp = Lamp("on", "on")
    result = execute(lamp, check_mode=False)
    assert lamp.log == ["read", "settle"]
    assert (result["changed"], result["steps"], result["warnings"]) == (False, [], ["hot"])


def test_a_failure_half_way_tells_what_was_done() -> None:
    with pytest.raises(PartlyDoneError) as caught:
        execute(Lamp("off", "on", broken=True), check_mode=False)
    assert caught.value.done == ["unlock"]


class FakeModule:
    """What the runner needs of AnsibleModule."""

    check_mode = False
    argument_spec: dict[str, dict[str, Any]] = {}
    params: dict[str, Any] = {}

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.result: dict[str, Any] = {}

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def exit_json(self, **result: Any) -> None:
        self.result = result
        raise SystemExit(0)

    def fail_json(self, **result: Any) -> None:
        self.result = result
        raise SystemExit(1)


def test_the_module_ends_with_one_sentence_and_the_steps_done() -> None:
    module = FakeModule()
    with pytest.raises(SystemExit):
        run(module, lambda: Lamp("off", "on", broken=True))
    assert module.result["msg"] == "the switch is stuck (already done: unlock)"
    assert module.result["changed"] is True
    assert module.result["error"]["kind"] == "action"


def test_warnings_reach_the_user() -> None:
    module = FakeModule()
    with pytest.raises(SystemExit):
        run(module, lambda: Lamp("on", "off"))
    assert module.warnings == ["hot"]
    assert module.result["changed"] is True


class Contested(Lamp):
    """A lamp that somebody else makes first; `times` is how often the name turns out to be taken."""

    def __init__(self, times: int, first_step: bool = True) -> None:
        super().__init__("off", "on")
        self.times, self.first_step = times, first_step

    def plan(self, before: str) -> Plan[str]:
        plan = Plan(after=self.wanted)
        if before != self.wanted:
            if not self.first_step:
                plan.add("unlock", lambda: self.log.append("unlock"))
            plan.add("make", self.make)
        return plan

    def make(self) -> None:
        if self.times:
            self.times -= 1
            # The other run has made it, unless the name belongs to something else for good.
            self.state = "on" if not self.times else "off"
            raise OneTakenError("NAME is already taken by LAMP 1.")
        self.state = "on"


def test_a_taken_name_is_looked_at_again_once() -> None:
    lamp = Contested(times=1)
    result = execute(lamp, check_mode=False)
    assert lamp.log == ["read", "read", "settle"]
    assert (result["changed"], result["steps"], result["diff"]) == (False, [], {"before": {}, "after": {}})


def test_a_name_that_stays_taken_fails_the_second_time() -> None:
    lamp = Contested(times=3)
    with pytest.raises(PartlyDoneError, match="already taken") as caught:
        execute(lamp, check_mode=False)
    assert lamp.log == ["read", "read"] and caught.value.done == []


def test_nothing_starts_over_after_a_first_write() -> None:
    lamp = Contested(times=1, first_step=False)
    with pytest.raises(PartlyDoneError) as caught:
        execute(lamp, check_mode=False)
    assert lamp.log == ["read", "unlock"] and caught.value.done == ["unlock"]


def test_a_step_that_found_nothing_to_do_is_no_change() -> None:
    class Gone(Lamp):
        def plan(self, before: str) -> Plan[str]:
            plan = Plan(after="gone")
            plan.add("remove", lambda: NOTHING_DONE)
            return plan

    result = execute(Gone("off", "gone"), check_mode=False)
    assert (result["changed"], result["steps"], result["diff"]) == (False, [], {"before": {}, "after": {}})


def test_a_resource_may_explain_a_refusal() -> None:
    class Locked(Lamp):
        def explain(self, error: OneError, before: str) -> OneError:
            error.hint = f"it was {before}"
            return error

    with pytest.raises(PartlyDoneError, match="the switch is stuck; it was off"):
        execute(Locked("off", "on", broken=True), check_mode=False)


def test_the_arguments_that_ansible_shows_hold_no_secrets(cloud: Any, name: str, vm_template: str) -> None:
    context = {"PASSWORD": "my-password", "PIN_TOKEN": 4711, "GREETING": "hello"}
    made = cloud.run("one_vm", name=name, template=vm_template, context=context, attributes={"API_KEY": "my-key"})
    text = 'CPU = "1"\nCONTEXT = [ PASSWORD = "my-password", GREETING = "hello" ]'
    results = [
        made,
        cloud.run("one_vm", id=made["vm"]["id"], context=context, state="hold"),
        cloud.run("one_template", name=f"{name}-text", template=text),
        cloud.run("one_template", name=f"{name}-bad", template=f"{text} ="),
        cloud.run("one_vm_info", attributes={"API_KEY": "my-key"}),
    ]
    assert [result.ok for result in results] == [True, False, True, False, True]
    for result in results:
        told = str(result)
        assert not [secret for secret in ("my-password", "4711", "my-key") if secret in told], told
    shown = [result["invocation"]["module_args"] for result in results]
    assert shown[0]["name"] == name and shown[0]["context"]["GREETING"] == "hello"
    assert shown[2]["template"]["CONTEXT"] == {"PASSWORD": "********", "GREETING": "hello"}
