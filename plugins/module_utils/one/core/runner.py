# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""State, check mode, difference and result of every module that changes something, in one place.

A resource says how to read, what to write and how to wait; the runner decides what of that happens. It knows nothing
about XML-RPC or REST.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, NoReturn, TypeVar

from ..data.compare import MASK, difference, masked
from ..data.template import normalise
from ..errors import OneError, OneTakenError, OneUsageError

S = TypeVar("S")


# What the call of a step returns when it found nothing left to do, e.g. because another run has deleted the object.
NOTHING_DONE = object()


@dataclass(frozen=True)
class Step:
    """One write: what in words ("rename image 3 to x") and the call that does it."""

    what: str
    do: Callable[[], Any]


@dataclass
class Plan(Generic[S]):
    """The writes that are needed, in order, and the state that they will lead to as far as it can be known."""

    after: S
    steps: list[Step] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add(self, what: str, do: Callable[[], Any]) -> None:
        """Append a write."""
        self.steps.append(Step(what, do))


class Resource(ABC, Generic[S]):
    """One object, or one set of objects, of the cloud. S is its state; None usually means "does not exist"."""

    @abstractmethod
    def read(self) -> S:
        """Return the present state; also decides whether the object may be touched (marks, ambiguity)."""

    @abstractmethod
    def plan(self, before: S) -> Plan[S]:
        """Compare with what is wanted. Must not write; may read what it needs (ids of names)."""

    @abstractmethod
    def settle(self, known: S | None, changed: bool) -> S:
        """Wait if the user wants that, and return the final state.

        changed: whether something was written. Without a write `known` is the state just read: return it as it is,
        or wait from there, e.g. for an image that a former run left being copied.
        """

    @abstractmethod
    def facts(self, state: S) -> dict[str, Any]:
        """Return what the module hands to the play for this state, e.g. {"image": {...}}."""

    @abstractmethod
    def view(self, state: S) -> Any:
        """Return the part of the state that is compared and shown in the difference."""

    def explain(self, error: OneError, before: S) -> OneError:
        """Return the error of a failed write, with a better hint where the state before it tells the cause."""
        return error


class PartlyDoneError(Exception):
    """A write failed after others had succeeded; `done` lists those, `cause` is the failure."""

    def __init__(self, cause: OneError, done: list[str], warnings: list[str]) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.done = done
        self.warnings = warnings


def execute(resource: Resource[S], check_mode: bool) -> dict[str, Any]:
    """Run one resource and return the module's result. In check mode nothing is written and nothing waited for."""
    try:
        return _attempt(resource, check_mode)
    except PartlyDoneError as error:
        # Between our look and our write another run created an object of that name: look again, once.
        if error.done or not isinstance(error.cause, OneTakenError):
            raise
    return _attempt(resource, check_mode)


def _attempt(resource: Resource[S], check_mode: bool) -> dict[str, Any]:
    before = resource.read()
    # The view is taken now: a resource may change its state object in place while it works.
    view_before = resource.view(before)
    plan = resource.plan(before)
    if check_mode:
        done = [step.what for step in plan.steps]
        after = plan.after
    else:
        done, after = _write(resource, plan, before)
    changed = bool(done)
    result: dict[str, Any] = {
        "changed": changed,
        # From the plan in both modes, so that check mode shows exactly the difference of the real run.
        "diff": difference(view_before, resource.view(plan.after)) if changed else {"before": {}, "after": {}},
        "steps": done,
        **masked(resource.facts(after)),
    }
    if plan.warnings:
        result["warnings"] = plan.warnings
    return result


def _write(resource: Resource[S], plan: Plan[S], before: S) -> tuple[list[str], S]:
    done: list[str] = []
    try:
        for step in plan.steps:
            try:
                outcome = step.do()
            except OneError as error:
                raise resource.explain(error, before) from None
            if outcome is not NOTHING_DONE:
                done.append(step.what)
        return done, resource.settle(None if plan.steps else before, bool(plan.steps))
    except OneError as error:
        raise PartlyDoneError(error, done, plan.warnings) from error


def run(module: Any, make: Callable[[], Resource[Any]]) -> NoReturn:
    """Build the resource, execute it, and end the module with its result or with one clear sentence."""
    try:
        result = execute(make(), bool(module.check_mode))
    except PartlyDoneError as error:
        for warning in error.warnings:
            module.warn(warning)
        _fail(module, error.cause, error.done)
    except OneError as error:
        _fail(module, error, [])
    for warning in result.pop("warnings", []):
        module.warn(warning)
    module.exit_json(**result, invocation=_invocation(module))
    raise SystemExit(0)


def run_info(module: Any, read: Callable[[], dict[str, Any]]) -> NoReturn:
    """End an info module with what `read` returns, secrets masked, or with one clear sentence."""
    try:
        facts = read()
    except OneError as error:
        _fail(module, error, [])
    module.exit_json(changed=False, **masked(facts), invocation=_invocation(module))
    raise SystemExit(0)


def reject(sentence: str, hint: str = "") -> NoReturn:
    """Refuse a request that is impossible or ambiguous."""
    raise OneUsageError(sentence, hint=hint)


def _fail(module: Any, error: OneError, done: list[str]) -> NoReturn:
    sentence = str(error)
    if done:
        sentence += f" (already done: {', '.join(done)})"
    module.fail_json(
        msg=sentence, changed=bool(done), steps=done, error=error.details(), invocation=_invocation(module)
    )
    raise SystemExit(1)


def _invocation(module: Any) -> dict[str, Any]:
    """Return what Ansible shows as the arguments of the module (-vvv, registered results), secrets masked.

    Ansible itself only hides whole options, but context variables and attributes are secrets one by one.
    """
    spec = module.argument_spec
    return {
        "module_args": {
            name: masked(_parsed(value) if spec.get(name, {}).get("type") == "raw" else value, name)
            for name, value in module.params.items()
        }
    }


def _parsed(value: Any) -> Any:
    """Return template text as a dictionary, in which secrets can be told from the rest."""
    if not isinstance(value, str):
        return value
    try:
        return dict(normalise(value))
    except OneError:
        return MASK
