# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an audit keeps what it makes on a VM, and what it knows of the VM: endpoints and databases."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flower_ops import context
from flower_ops.audit.errors import AuditError
from flower_ops.machine.paths import Paths

UNIT = "flower-audit.service"


@dataclass(frozen=True)
class Place:
    """Below another root for tests."""

    root: Path = Path("/")

    @property
    def folder(self) -> Path:
        """For root alone; removed at the end of the audit."""
        return self.root / "var/lib/flower-audit"

    @property
    def prints(self) -> Path:
        """Fingerprints of this node's samples."""
        return self.folder / "samples.prints"

    @property
    def canary(self) -> Path:
        """Paths of samples that were made for the audit."""
        return self.folder / "canary.json"

    @property
    def others(self) -> Path:
        """Where the fingerprints of all nodes are put for a search."""
        return self.folder / "prints"

    @property
    def ready(self) -> Path:
        """What the watcher holds, written once it does."""
        return self.folder / "ready.json"

    @property
    def figures(self) -> Path:
        """What the watcher saw, written when it ends."""
        return self.folder / "figures.json"

    @property
    def begun(self) -> Path:
        """When and how the watcher was started."""
        return self.folder / "begun.json"

    @property
    def state(self) -> Path:
        """Flower's databases."""
        return self.root / "opt/flower/state"

    def make(self) -> None:
        """The folder, empty of what an audit that was cut off has left."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder.chmod(0o700)
        for path in self.folder.iterdir():
            if path.is_file() and path not in (self.prints, self.canary):
                path.unlink()

    def fleet(self) -> str:
        """Endpoint of the SuperLink that this SuperNode's service was given; empty on other VMs."""
        return _argument(self._read("opt/flower/config/supernode.env"), "--superlink")

    def gate(self) -> str:
        """Endpoint of OneGate; empty where the VM has none."""
        values = context.parse_one_env(self._read(Paths.one_env.lstrip("/")))
        parts = urlsplit(values.get("ONEGATE_ENDPOINT", ""))
        if not parts.hostname:
            return ""
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        return f"{host}:{parts.port or (443 if parts.scheme == 'https' else 80)}"

    def _read(self, name: str) -> str:
        try:
            return (self.root / name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""


def _argument(text: str, name: str) -> str:
    found = re.search(rf"{re.escape(name)}[ =]+([^\s\"']+)", text)
    return found[1] if found else ""


def load(path: Path) -> dict[str, Any]:
    """A JSON object that an earlier step has left; AuditError when it has not."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AuditError(f"There is no {path.name} in {path.parent}; begin the audit anew.") from error
    return dict(found)


def save(path: Path, content: Mapping[str, Any]) -> None:
    """In one step, for root alone."""
    temporary = path.with_name(f".new-{path.name}")
    temporary.touch(mode=0o600)
    temporary.write_text(json.dumps(content), encoding="utf-8")
    temporary.replace(path)
