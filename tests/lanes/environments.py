# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One virtual environment per Flower version, made once: the packages of a node, from the index."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

from flower_ops import profiles

from .faults import INSTALLED

ROOT = Path(__file__).resolve().parents[2]
FLOWER_OPS = ROOT / "roles/flower_runtime/files/flower_ops"
CACHE = ROOT / ".cache/lanes"
PACKAGES = ("scikit-learn==1.9.1",)


def environment(version: str) -> Path:
    """The environment of a version; made when it is missing."""
    place = CACHE / version
    wanted = f"{version} {' '.join(PACKAGES)} {sys.version_info[:2]}\n"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{version}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        mark = place / "lane.txt"
        if not mark.is_file() or mark.read_text() != wanted:
            uv = ROOT / ".venv/bin/uv"
            subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, place], check=True)
            packages = [f"flwr=={version}", *PACKAGES]
            subprocess.run([uv, "pip", "install", "--quiet", "--python", place / "bin/python", *packages], check=True)
            mark.write_text(wanted)
        (packages_folder,) = place.glob("lib/python3*/site-packages")
        # The node package as it is now. Faults are built in for good and sleep until a test names one.
        for name, text in {**INSTALLED, "flower_ops.pth": f"{FLOWER_OPS}\n"}.items():
            (packages_folder / name).write_text(text)
    assert profiles.installed(place) == version
    return place
