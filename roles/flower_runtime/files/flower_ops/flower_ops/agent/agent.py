# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent: configures this VM for its role, as often as it is asked to, and answers in plain data."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flower_ops import context as variables
from flower_ops import profiles
from flower_ops.agent import superlink, supernode
from flower_ops.machine.errors import NodeError, OneGateError
from flower_ops.machine.files import Files
from flower_ops.machine.given import Given, alone, recall, remember
from flower_ops.machine.onegate import OneGate
from flower_ops.machine.paths import Paths
from flower_ops.machine.patience import WaitedInVainError, patiently
from flower_ops.machine.systemd import NoServices, ServiceManager, Systemd
from flower_ops.node import notice
from flower_ops.node.node import Node

OK, FAILED, INVALID = 0, 1, 2
STEPS = {"superlink": superlink.STEPS, "supernode": supernode.STEPS}
# A node without OneGate must be introduced by hand, which needs its public key before it can be started.
IDENTITY = {"superlink": superlink.IDENTITY, "supernode": supernode.IDENTITY}
UNITS = {"superlink": superlink.UNIT, "supernode": supernode.UNIT}
# Steps that judge what was asked for and this VM's disk, never whether the service is well.
_JUDGING = (superlink.folders, supernode.folders, supernode.environment)
Answer = dict[str, Any]


@dataclass
class Request:
    """What is asked of the agent.

    `role` "auto" asks the VM itself. `overrides` win over CONTEXT; None takes those of the last run that had any.
    `identity_only` stops after keys and certificates.
    """

    role: str
    overrides: Mapping[str, str] | None = None
    check: bool = False
    root: Path = Path("/")
    timeout: float = 120.0
    identity_only: bool = False


class _InvalidError(Exception):
    """The variables cannot be used; `errors` are the single faults."""

    def __init__(self, message: str, errors: list[variables.Fault]) -> None:
        super().__init__(message)
        self.errors = errors


def configure(
    request: Request,
    systemd: ServiceManager | None = None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[int, Answer]:
    """Configure this VM; `say` gets a line for each step, and one for whatever has to be waited for.

    Returns the exit code (0 done, 1 a step failed, 2 invalid variables) and the answer:
    {changed, diff: [...], facts: {...}, errors: [{name, value, expected}], warnings: [...], message, sentence}.
    `sentence` is what of `message` was published: without the last words of a service.
    """
    paths = Paths(request.root)
    if systemd is None:
        systemd = Systemd() if request.root == Path("/") else NoServices()
    with nullcontext() if request.check else alone(paths):
        return _Run(request, paths, systemd, sleep, clock, say).all()


class _Run:
    def __init__(
        self,
        request: Request,
        paths: Paths,
        systemd: ServiceManager,
        sleep: Callable[[float], None],
        clock: Callable[[], float],
        say: Callable[[str], None],
    ) -> None:
        self.request, self.paths, self.systemd = request, paths, systemd
        self.sleep, self.clock, self.say = sleep, clock, say
        self.files = Files(paths, request.check)
        self.context = variables.parse_one_env((self.files.read(paths.one_env) or b"").decode(errors="replace"))
        self.gate = OneGate.from_context(self.context, sleep=sleep)
        self.given = recall(self.files)
        self.overrides = self.given.variables if request.overrides is None else request.overrides
        self.role = "" if request.role == "auto" else request.role
        self.own: dict[str, str] | None = None
        #: Whether a failure now would be a refusal of what was asked for.
        self.judging = True
        self.answer: Answer = {
            "changed": False,
            "diff": [],
            "errors": [],
            "warnings": [],
            "message": "",
            "sentence": "",
            "facts": {"role": self.role, "vm_id": self.context.get("VMID", ""), "ready": False},
        }

    def all(self) -> tuple[int, Answer]:
        """The run, with every failure turned into an answer."""
        code, error_code, refused = FAILED, "", False
        try:
            self._walk(self._node())
            code = OK
        except _InvalidError as error:
            self.answer.update(message=str(error), errors=[fault.as_dict() for fault in error.errors])
            code, error_code, refused = INVALID, "config_validation_failed", True
        except NodeError as error:
            self.answer.update(message=error.full, sentence=str(error))
            error_code, refused = error.code, self.judging
        except OSError as error:
            self.answer["message"] = f"{error.filename or 'A file'} could not be handled: {error.strerror or error}."
            error_code = "configuration_failed"
        except Exception as error:
            # Nobody reads a traceback in OneGate, and what it quotes may be a secret: the journal alone gets it.
            traceback.print_exc()
            self.answer["message"] = (
                f"The agent met something that it does not know ({type(error).__name__}), such as a damaged file in "
                f"{self.paths.private}; what it prints when it is run by hand (flower-ops configure --role "
                f"{self.role or 'auto'}) says where."
            )
            error_code = "configuration_failed"
        self.answer["sentence"] = self.answer["sentence"] or self.answer["message"]
        if error_code and self.gate is not None and not (self.request.check or self.request.identity_only):
            goes_on = refused and not self.files.changes and self._serves()
            notice.failure(self.gate, self.role, error_code, self.answer["sentence"], goes_on)
        self.answer["diff"] = [change.as_dict() for change in self.files.changes]
        self.answer["changed"] = bool(self.files.changes)
        return code, self.answer

    def _node(self) -> Node:
        """Role, variables and profile; _InvalidError where they are of no use."""
        self.role = self.answer["facts"]["role"] = self.role or self._own_role()
        values = variables.merge(self.role, self.context, self.overrides)
        faults = variables.unknown({**self.context, **self.overrides}) + variables.validate(self.role, values)
        if faults:
            raise _InvalidError("Invalid variables: " + "; ".join(map(str, faults)) + ".", faults)
        version = values["ONEAPP_FLOWER_VERSION"]
        try:
            profile = profiles.profile(version)
        except profiles.UnknownVersionError as error:
            fault = variables.Fault("ONEAPP_FLOWER_VERSION", version, str(error))
            raise _InvalidError(str(error), [fault]) from error
        node = Node(
            self.role,
            values,
            self.context,
            profile,
            self.paths,
            self.files,
            self.systemd,
            self.gate,
            self.request.timeout,
            self.sleep,
            self.clock,
            self.answer["facts"],
            self.answer["warnings"],
            self.say,
        )
        if self.own is not None:
            node.knows(self.own)
        return node

    def _serves(self) -> bool:
        """Whether the service that an earlier run configured runs, and an agent has seen to it since the VM started."""
        unit = UNITS.get(self.given.role)
        if unit is None or not self.systemd.available or self.files.read(self.paths.booted) is None:
            return False
        try:
            return self.systemd.state(unit).active
        except NodeError:
            return False

    def _remember(self) -> None:
        """Keep what was asked for: later runs without variables are asked for the same."""
        if not self.request.identity_only:
            remember(self.files, Given(self.role, self.overrides))

    def _own_role(self) -> str:
        """The role that this VM was made for: by variable, else by OneFlow, else as it was configured before."""
        name = "ONEAPP_FL_ROLE"
        role = self.overrides.get(name, "").strip() or self.context.get(name, "").strip()
        if role and role not in STEPS:
            fault = variables.Fault(name, role[:60], f"expected one of {', '.join(STEPS)}")
            raise _InvalidError(f"Invalid variables: {fault}.", [fault])
        if not role and self.gate is not None:
            role = self._role_in_service(self.gate)
        role = role or self.given.role
        if role not in STEPS:
            fault = variables.Fault(name, "", "needed on a VM that is in no OneFlow role superlink or supernode")
            raise _InvalidError(
                "This VM does not know whether it is to be SuperLink or SuperNode; set ONEAPP_FL_ROLE, or make it part "
                "of a OneFlow role of the name superlink or supernode.",
                [fault],
            )
        return role

    def _role_in_service(self, gate: OneGate) -> str:
        try:
            self.own = patiently(lambda: (gate.own(), ""), self.sleep, self.clock, self.say, once=self.request.check)
        except (OneGateError, WaitedInVainError) as error:
            raise NodeError(f"{error}. Set ONEAPP_FL_ROLE, or check OneGate.", "onegate_failed") from error
        role = self.own.get("ROLE_NAME", "")
        return role if role in STEPS else ""

    def _walk(self, node: Node) -> None:
        steps = (IDENTITY if self.request.identity_only else STEPS)[self.role]
        names = ["variables", "runtime", *(step.__name__.replace("_", " ") for step in steps)]
        head = [f"[{number}/{len(names)}] {name}" for number, name in enumerate(names, 1)]
        self.say(f"{head[0]} … valid; this VM is the {self.role}")
        _same_as_installed(node)
        self.say(f"{head[1]} … Flower {node.profile.version}")
        if not self.request.identity_only:
            notice.unready_after_reboot(node)
        for line, step in zip(head[2:], steps, strict=True):
            before = len(self.files.changes)
            self.judging = self.judging and step in _JUDGING
            try:
                step(node)
            except (NodeError, OSError) as error:
                self.say(f"{line} … failed: {error.full if isinstance(error, NodeError) else error}")
                raise
            finally:
                # At once, for a later step may take minutes; what ends before any change leaves all as it was.
                if len(self.files.changes) > before:
                    self._remember()
            self.say(f"{line} … {'done' if len(self.files.changes) > before else 'kept'}")
        self._remember()


def _same_as_installed(node: Node) -> None:
    installed = node.installed_version()
    if node.check and not installed:
        node.warnings.append("Flower is not installed yet")
    elif not installed:
        raise NodeError(
            f"Flower is not installed in {node.paths.venv}; apply the role flower_runtime first.", "version_mismatch"
        )
    elif installed != node.profile.version:
        raise NodeError(
            f"Flower {installed} is installed in {node.paths.venv}, but ONEAPP_FLOWER_VERSION asks for "
            f"{node.profile.version}; apply the role flower_runtime with that version, or change the variable.",
            "version_mismatch",
        )
