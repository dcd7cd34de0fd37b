# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Python environment of a simulation: Flower and a framework, as the collection pins them for nodes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
FLOWER_OPS = ROOT / "roles/flower_runtime/files/flower_ops"
CACHE = ROOT / ".cache/local-sim"
PINS = ROOT / "roles/flower_runtime/defaults/main.yml"


def frameworks() -> dict[str, list[str]]:
    """Packages by framework."""
    found = yaml.safe_load(PINS.read_text(encoding="utf-8"))["flower_runtime_framework_packages"]
    return {str(name): [str(one) for one in packages] for name, packages in found.items()}


def environment(version: str, framework: str, more: list[str]) -> Path:
    """An environment with a version of Flower, a framework and more packages; made when it is missing."""
    packages = [f"flwr=={version}", *frameworks()[framework], *more]
    place = CACHE / f"{version}-{framework}"
    mark, wanted = place / "made.txt", " ".join([*packages, str(sys.version_info[:2])])
    if not mark.is_file() or mark.read_text(encoding="utf-8") != wanted:
        print(f"Making an environment with {', '.join(packages)} in {place}; once, it takes minutes.", flush=True)
        uv = Path(sys.executable).parent / "uv"
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, place], check=True)
        # pip's own way to name a folder of wheels; uv has another.
        wheels = [f"--find-links={one}" for one in os.environ.get("PIP_FIND_LINKS", "").split()]
        into = ["--python", str(place / "bin/python")]
        subprocess.run([str(uv), "pip", "install", "--quiet", *into, *wheels, *packages], check=True)
        mark.write_text(wanted, encoding="utf-8")
    return place
