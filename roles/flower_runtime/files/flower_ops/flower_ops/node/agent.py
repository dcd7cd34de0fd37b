# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent: configures this VM for its role, as often as it is asked to, and answers in plain data."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flower_ops import context as variables
from flower_ops import profiles
from flower_ops.node import superlink, supernode
from flower_ops.node.errors import NodeError, OneGateError
from flower_ops.node.files import Files
from flower_ops.node.node import Node
from flower_ops.node.onegate import OneGate
from flower_ops.node.paths import Paths
from flower_ops.node.systemd import NoServices, ServiceManager, Systemd

OK, FAILED, INVALID = 0, 1, 2
STEPS = {"superlink": superlink.STEPS, "supernode": supernode.STEPS}
# A node without OneGate must be introduced by hand, which needs its public key before it can be started.
IDENTITY = {"superlink": superlink.STEPS[:2], "supernode": supernode.STEPS[:2]}


@dataclass
class Request:
    """What is asked of the agent. `overrides` win over CONTEXT; `identity_only` stops after keys and certificates."""

    role: str
    overrides: Mapping[str, str] = field(default_factory=dict)
    check: bool = False
    root: Path = Path("/")
    timeout: float = 120.0
    identity_only: bool = False


def configure(
    request: Request,
    systemd: ServiceManager | None = None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[int, dict[str, Any]]:
    """Configure this VM.

    Returns the exit code (0 done, 1 a step failed, 2 invalid variables) and the answer:
    {changed, diff: [...], facts: {...}, errors: [{name, value, expected}], warnings: [...], message}.
    """
    paths = Paths(request.root)
    files = Files(paths, request.check)
    context = variables.parse_one_env((files.read(paths.one_env) or b"").decode(errors="replace"))
    values = variables.merge(request.role, context, request.overrides)
    gate = OneGate.from_context(context, sleep=sleep)
    answer: dict[str, Any] = {
        "changed": False,
        "diff": [],
        "errors": [],
        "warnings": [],
        "message": "",
        "facts": {"role": request.role, "vm_id": context.get("VMID", ""), "ready": False},
    }
    faults = variables.unknown({**context, **request.overrides}) + variables.validate(request.role, values)
    if faults:
        answer["errors"] = [fault.as_dict() for fault in faults]
        answer["message"] = "Invalid variables: " + "; ".join(map(str, faults)) + "."
        _report(request, gate, "config_validation_failed")
        return INVALID, answer
    try:
        profile = profiles.profile(values["ONEAPP_FLOWER_VERSION"])
    except profiles.UnknownVersionError as error:
        answer["errors"] = [
            variables.Fault("ONEAPP_FLOWER_VERSION", values["ONEAPP_FLOWER_VERSION"], str(error)).as_dict()
        ]
        answer["message"] = str(error)
        _report(request, gate, "config_validation_failed")
        return INVALID, answer
    if systemd is None:
        systemd = Systemd() if request.root == Path("/") else NoServices()
    node = Node(
        request.role,
        values,
        context,
        profile,
        paths,
        files,
        systemd,
        gate,
        request.timeout,
        sleep,
        clock,
        answer["facts"],
    )
    answer["warnings"] = node.warnings
    code = OK
    try:
        _same_as_installed(node)
        for step in (IDENTITY if request.identity_only else STEPS)[request.role]:
            step(node)
    except NodeError as error:
        answer["message"] = str(error)
        _report(request, gate, error.code)
        code = FAILED
    except OSError as error:
        answer["message"] = f"{error.filename or 'A file'} could not be handled: {error.strerror or error}."
        _report(request, gate, "configuration_failed")
        code = FAILED
    answer["diff"] = [change.as_dict() for change in files.changes]
    answer["changed"] = bool(files.changes)
    return code, answer


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


def _report(request: Request, gate: OneGate | None, code: str) -> None:
    """Publish a failure, best effort: who reads the answer of this run knows it already."""
    if gate is None or request.check or request.identity_only:
        return
    ready = "FL_READY" if request.role == "superlink" else "FL_NODE_READY"
    values = {"FL_ERROR": code, ready: "NO"}
    try:
        if gate.own().get("READY") == "YES":
            values["READY"] = "NO"
        gate.put(values)
    except OneGateError:
        return
