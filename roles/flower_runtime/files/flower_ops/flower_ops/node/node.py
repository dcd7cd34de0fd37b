# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One configuration run of one VM: what the steps share, and the few actions that both roles have in common."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from flower_ops.machine import addresses
from flower_ops.machine.errors import NodeError, OneGateError
from flower_ops.machine.files import Files
from flower_ops.machine.known import Known
from flower_ops.machine.onegate import OneGate
from flower_ops.machine.paths import Paths
from flower_ops.machine.patience import WaitedInVainError, patiently
from flower_ops.machine.systemd import ServiceManager
from flower_ops.profiles import Profile

#: Seconds that a check looks for a healthy service at most.
CHECK_LIMIT = 5.0
T = TypeVar("T")
_WORD = re.compile(r"[A-Za-z0-9._:/\[\],=@+-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_DIST = re.compile(r"flwr-([0-9][^-]*)\.dist-info")


@dataclass
class Node:
    """Inputs, tools and findings of a run. `values` are merged and valid; `context` is the raw CONTEXT."""

    role: str
    values: Mapping[str, str]
    context: Mapping[str, str]
    profile: Profile
    paths: Paths
    files: Files
    systemd: ServiceManager
    gate: OneGate | None
    timeout: float = 120.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    facts: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    say: Callable[[str], None] = lambda line: None
    #: Folder of the environment that the service runs in; a SuperNode's depends on its framework.
    runtime: str = Paths.venv
    #: What this run learnt of the SuperLink, on a SuperNode.
    known: Known = Known()
    #: Signature by the former key of a SuperNode over the one that replaces it in this run.
    key_proof: str = ""
    _own: dict[str, str] | None = None

    @property
    def check(self) -> bool:
        """Nothing may be changed, only predicted."""
        return self.files.check

    def value(self, name: str) -> str:
        """A variable by the part of its name after ONEAPP_FL_."""
        return self.values[f"ONEAPP_FL_{name}"]

    def is_on(self, name: str) -> bool:
        """Whether a YES/NO variable is YES."""
        return self.value(name) == "YES"

    # -- the machine ---------------------------------------------------------------------------------------------

    def installed_version(self, environment: str = Paths.venv) -> str:
        """Version of Flower in a virtual environment, read from its metadata; empty when there is none."""
        for folder in sorted(self.paths.at(environment).glob("lib/python3*/site-packages/flwr-*.dist-info")):
            match = _DIST.fullmatch(folder.name)
            if match:
                return match.group(1)
        return ""

    def addresses(self) -> list[str]:
        """Addresses of this VM, the one others reach it by first."""
        return addresses.own(self.context)

    # -- services ------------------------------------------------------------------------------------------------

    def start(self, unit: str, inputs: list[str], wait: bool = True, runtime: str = Paths.venv) -> bool:
        """Enable a unit, and (re)start it when it is down or when one of its input files differs from its last start.

        `runtime` is the environment that the service runs in. `wait` False only asks for the start, for a unit that
        waits for this run itself.
        Returns whether it was (or in check mode: would be) started. The record of the inputs is written only after
        the start, so an interrupted run is completed by the next one.
        """
        if not self.systemd.available:
            self.warnings.append(f"{unit} was not started because this tree is not the running system")
            return False
        state = self.systemd.state(unit)
        record = self.paths.applied(unit.removesuffix(".service"))
        digest = self._digest([*inputs, f"{self.paths.units}/{unit}"], runtime)
        if not state.loaded and not self.check:
            raise NodeError(
                f"There is no unit {unit} on this VM; apply the role {self.role} first.", "service_start_failed"
            )
        stale = (self.files.read(record) or b"").decode().strip() != digest or state.needs_reload
        # In check mode a changed input is only recorded, not written.
        stale = stale or any(change.header in inputs for change in self.files.changes)
        if not state.enabled:
            self.files.record(unit, "not enabled\n", "enabled\n")
        if stale or not state.active:
            before = "running\n" if state.active else "stopped\n"
            self.files.record(unit, before, "restarted with new settings\n" if state.active else "running\n")
        if self.check:
            return stale or not state.active
        if state.needs_reload:
            self.systemd.reload()
        if not state.enabled:
            self.systemd.enable(unit)
        if stale or not state.active:
            if wait:
                self.systemd.restart(unit)
            else:
                self.systemd.restart_later(unit)
            self.files.store(record, f"{digest}\n".encode())
            return True
        return False

    def _digest(self, inputs: list[str], runtime: str) -> str:
        # A runtime of its own folder is another runtime, also where Flower's version is the same.
        environment = self.paths.at(runtime).resolve().name
        total = hashlib.sha256(f"{self.profile.version} {environment}\n".encode())
        for path in inputs:
            total.update(f"{path}\n".encode() + hashlib.sha256(self.files.read(path) or b"").digest())
        return total.hexdigest()

    @property
    def settled(self) -> bool:
        """Whether the services run as this run wants them: in check mode only if there is nothing to change."""
        return not (self.check and self.files.changes)

    def wait(self, what: str, probe: Callable[[], str], code: str, limit: float | None = None) -> None:
        """Call `probe` until it returns an empty reason; NodeError with the last reason when the time is over."""
        end = self.clock() + (self.timeout if limit is None else limit)
        if self.check:
            # Nothing was started, so nothing is on its way to becoming healthy.
            end = min(end, self.clock() + CHECK_LIMIT)
        pause = 0.25
        while True:
            reason = probe()
            if not reason:
                return
            if self.clock() >= end:
                raise NodeError(f"{what}: {reason}.", code)
            self.sleep(pause)
            pause = min(pause * 1.5, 2.0)

    # -- OneGate -------------------------------------------------------------------------------------------------

    def own_attributes(self, fresh: bool = False) -> dict[str, str]:
        """User template of this VM; read once in a run unless asked for afresh. Empty without OneGate.

        The first read waits for OneGate as long as discovery waits for the SuperLink.
        """
        gate = self.gate
        if gate is None:
            return {}
        if self._own is None or fresh:
            self._own = self._patiently(lambda: (gate.own(), ""))
        return self._own

    def knows(self, own: dict[str, str]) -> None:
        """Take over a user template that was read already."""
        self._own = own

    def publish(self, wanted: Mapping[str, str]) -> bool:
        """Set attributes of this VM that differ. Returns whether any did."""
        gate = self.gate
        if gate is None:
            return False
        present = self.own_attributes()
        differing = {key: value for key, value in wanted.items() if present.get(key) != value}
        if not differing:
            return False
        self.files.record(
            f"OneGate VM {gate.vm_id}",
            "".join(f"{key}={present[key]}\n" for key in differing if key in present),
            "".join(f"{key}={value}\n" for key, value in differing.items()),
        )
        if not self.check:

            def put() -> tuple[bool, str]:
                gate.put(differing)
                return True, ""

            self._patiently(put)
            present.update(differing)
        return True

    def _patiently(self, attempt: Callable[[], tuple[T, str]]) -> T:
        try:
            return patiently(attempt, self.sleep, self.clock, self.say, once=self.check)
        except (OneGateError, WaitedInVainError) as error:
            raise NodeError(f"{error}. Check ONEGATE_ENDPOINT and the token of this VM.", "onegate_failed") from error

    def publish_ready(self) -> None:
        """Say READY, as the very last thing of a run that found the service healthy."""
        for name in ("FL_ERROR", "FL_ERROR_TEXT"):
            if self.gate is not None and not self.check and name in self.own_attributes():
                try:
                    self.gate.delete(name)
                except OneGateError as error:
                    raise NodeError(f"{error}.", "onegate_failed") from error
                self.own_attributes().pop(name, None)
        self.publish({"READY": "YES"})
        self.facts["ready"] = self.settled


def arguments(words: Sequence[str]) -> str:
    """Arguments as one variable that systemd splits into the same words again (a bare $FLOWER_ARGS).

    Rules and profiles let nothing else through; NodeError where a word would become two words or another one.
    """
    for word in words:
        if not _WORD.fullmatch(word):
            raise NodeError(
                f"The argument {word!r} cannot be handed to a service; only letters, digits and . _ : / [ ] , = @ + - "
                "may be in it.",
                "config_validation_failed",
            )
    return " ".join(words)


def env_file(values: Mapping[str, str]) -> bytes:
    """An EnvironmentFile of systemd: every value quoted, with the escapes that systemd undoes.

    NodeError for a value with a line end or another control character, which no value of ours has.
    """
    lines = []
    for key, value in values.items():
        if _CONTROL.search(value):
            raise NodeError(f"The value of {key} has control characters; remove them.", "config_validation_failed")
        escaped = re.sub(r'(["\\$`])', r"\\\1", value)
        lines.append(f'{key}="{escaped}"\n')
    return "".join(lines).encode()
