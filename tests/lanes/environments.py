# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One virtual environment per Flower version and framework, made once: the packages of a node, from the index."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import yaml
from flower_ops import profiles

from .faults import INSTALLED

ROOT = Path(__file__).resolve().parents[2]
FLOWER_OPS = ROOT / "roles/flower_runtime/files/flower_ops"
CACHE = ROOT / ".cache/lanes"
PINS = ROOT / "roles/flower_runtime/defaults/main.yml"


def packages_of(framework: str) -> list[str]:
    """What the role installs for a framework."""
    pins = yaml.safe_load(PINS.read_text(encoding="utf-8"))["flower_runtime_framework_packages"]
    return [str(one) for one in pins[framework]]


def environment(version: str, framework: str = "sklearn") -> Path:
    """The environment of a version with a framework (sklearn, pytorch, tensorflow, llm); made when it is missing."""
    name = version if framework == "sklearn" else f"{version}-{framework}"
    place = CACHE / name
    packages = packages_of(framework)
    wanted = f"{version} {' '.join(packages)} {sys.version_info[:2]}\n"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        mark = place / "lane.txt"
        if not mark.is_file() or mark.read_text() != wanted:
            uv = ROOT / ".venv/bin/uv"
            subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, place], check=True)
            install = [uv, "pip", "install", "--quiet", "--python", place / "bin/python", f"flwr=={version}", *packages]
            # pip's own way to name a folder of wheels; uv has another.
            wheels = [f"--find-links={one}" for one in os.environ.get("PIP_FIND_LINKS", "").split()]
            subprocess.run([*install, *wheels], check=True)
            mark.write_text(wanted)
        (packages_folder,) = place.glob("lib/python3*/site-packages")
        # The node package as it is now. Faults are built in for good and sleep until a test names one.
        for name, text in {**INSTALLED, "flower_ops.pth": f"{FLOWER_OPS}\n"}.items():
            (packages_folder / name).write_text(text)
    assert profiles.installed(place) == version
    return place
