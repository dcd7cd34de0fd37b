# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""systemd as far as the agent needs it, behind a small interface that tests can replace."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import Protocol

from flower_ops.machine import processes
from flower_ops.machine.errors import NodeError


@dataclass(frozen=True)
class UnitState:
    """What systemd says about a unit."""

    loaded: bool
    active: bool
    enabled: bool
    main_pid: int = 0
    needs_reload: bool = False
    activating: bool = False


class ServiceManager(Protocol):
    """What the agent asks of a service manager."""

    available: bool

    def state(self, unit: str) -> UnitState:
        """State of a unit, of one that does not exist as well."""

    def enable(self, unit: str) -> None:
        """Start the unit at every boot."""

    def restart(self, unit: str) -> None:
        """Start the unit, or stop and start it."""

    def restart_later(self, unit: str) -> None:
        """Ask for a restart and do not wait for it."""

    def stop(self, unit: str) -> None:
        """Stop the unit."""

    def reload(self) -> None:
        """Read the unit files again."""

    def journal(self, unit: str, lines: int = 3) -> str:
        """Last lines that the unit wrote, joined by " | "."""

    def logged(self, unit: str, text: str) -> bool | None:
        """Whether the unit has logged this text since its last start; None when the journal does not tell."""

    def reaches(self, endpoint: str) -> bool:
        """Whether this machine has a living connection to `host:port`."""

    def age(self, pid: int) -> float:
        """Seconds since a process was started; infinite for one that is gone."""


class Systemd:
    """The real one."""

    available = True

    def state(self, unit: str) -> UnitState:
        """One systemctl call, about 10 ms."""
        names = "LoadState,ActiveState,UnitFileState,MainPID,NeedDaemonReload"
        text = self._call("show", "--property", names, unit)
        found = dict(line.partition("=")[::2] for line in text.splitlines())
        return UnitState(
            loaded=found.get("LoadState") == "loaded",
            active=found.get("ActiveState") == "active",
            # A oneshot that failed and is to be tried again counts as activating, too.
            activating=found.get("ActiveState") == "activating",
            enabled=found.get("UnitFileState") == "enabled",
            main_pid=int(found.get("MainPID") or 0),
            needs_reload=found.get("NeedDaemonReload") == "yes",
        )

    def enable(self, unit: str) -> None:
        """See ServiceManager."""
        self._call("enable", "--quiet", unit)

    def restart(self, unit: str) -> None:
        """A unit that failed too often is given a fresh start."""
        self._call("reset-failed", unit, may_fail=True)
        self._call("restart", unit)

    def restart_later(self, unit: str) -> None:
        """See ServiceManager."""
        self._call("reset-failed", unit, may_fail=True)
        self._call("restart", "--no-block", unit)

    def stop(self, unit: str) -> None:
        """See ServiceManager."""
        self._call("stop", unit)

    def reload(self) -> None:
        """See ServiceManager."""
        self._call("daemon-reload")

    def journal(self, unit: str, lines: int = 3) -> str:
        """Empty when the journal cannot be read."""
        text = self._journal("--lines", str(lines), "--unit", unit) or ""
        return " | ".join(line.strip() for line in text.splitlines() if line.strip())[-600:]

    def logged(self, unit: str, text: str) -> bool | None:
        """Reads all that the unit has logged since its last start, so this is for units that were started lately."""
        start = self._call("show", "--property", "InvocationID", "--value", unit).strip()
        found = self._journal(f"_SYSTEMD_INVOCATION_ID={start}") if start else ""
        return text in found if found else None

    @staticmethod
    def _journal(*args: str) -> str | None:
        try:
            done = subprocess.run(
                ["journalctl", "--no-pager", "--quiet", "--output", "cat", *args],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=10,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout if done.returncode == 0 else None

    def reaches(self, endpoint: str) -> bool:
        """Not a question to systemd, but asked together with the others."""
        return processes.connected(endpoint)

    def age(self, pid: int) -> float:
        """See ServiceManager."""
        return processes.age(pid)

    @staticmethod
    def _call(*args: str, may_fail: bool = False) -> str:
        try:
            done = subprocess.run(
                ["systemctl", "--no-pager", *args], capture_output=True, text=True, timeout=120, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NodeError(f"systemctl {' '.join(args)} did not work: {error}.", "service_start_failed") from error
        if done.returncode and not may_fail:
            detail = done.stderr.strip().replace("\n", " ")
            raise NodeError(f"systemctl {' '.join(args)} failed: {detail}", "service_start_failed")
        return done.stdout


class NoServices:
    """Stands in where a tree of files is configured that no systemd runs (`--root`): nothing is ever started."""

    available = False

    def state(self, unit: str) -> UnitState:
        """Nothing is known."""
        return UnitState(loaded=False, active=False, enabled=False)

    def enable(self, unit: str) -> None:
        """Not done."""

    def restart(self, unit: str) -> None:
        """Not done."""

    def restart_later(self, unit: str) -> None:
        """Not done."""

    def stop(self, unit: str) -> None:
        """Not done."""

    def reload(self) -> None:
        """Not done."""

    def journal(self, unit: str, lines: int = 3) -> str:
        """Nothing was written."""
        return ""

    def logged(self, unit: str, text: str) -> bool | None:
        """Nothing is known."""

    def reaches(self, endpoint: str) -> bool:
        """Nothing is known."""
        return False

    def age(self, pid: int) -> float:
        """No process is known."""
        return float("inf")
