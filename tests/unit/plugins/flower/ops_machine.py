# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A SuperLink in a folder, with the real flower-ops and a flwr that prints what a test wants."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

FLOWER_OPS = Path(__file__).parents[4] / "roles/flower_runtime/files/flower_ops"
# What the VM's own program is, but for the root.
PROGRAM = """#!{python}
import sys
sys.path.insert(0, {package!r})
from flower_ops.cli import main
sys.exit(main([*sys.argv[1:], "--root", {root!r}]))
"""
FLWR = """#!/bin/sh
echo '{answer}'
"""


class OpsMachine:
    """`home` is its /opt/flower."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = root / "opt/flower"
        for name in ("runs", "cli", "apps", "venv/bin"):
            (self.home / name).mkdir(parents=True)
        words = {"python": sys.executable, "package": str(FLOWER_OPS), "root": str(root)}
        self._program("flower-ops", PROGRAM.format(**words))
        self.flower({"success": True, "runs": []})

    def _program(self, name: str, text: str) -> None:
        path = self.home / "venv/bin" / name
        path.write_text(text)
        path.chmod(0o755)

    def flower(self, answer: dict[str, Any]) -> None:
        """What `flwr` prints, whatever it is asked."""
        self._program("flwr", FLWR.format(answer=json.dumps(answer)))

    def install(self, version: str) -> None:
        """Be of another Flower version."""
        (self.home / f"venv/lib/python3.11/site-packages/flwr-{version}.dist-info").mkdir(parents=True)

    def contents(self) -> dict[str, bytes]:
        """All files."""
        return {str(path): path.read_bytes() for path in self.root.rglob("*") if path.is_file()}
