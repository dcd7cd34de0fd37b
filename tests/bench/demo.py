# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make demo` twice, from a fresh clone whose home, caches and sandbox are all its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from .figures import Figure
from .place import ROOT, Place
from .play import play

REUSED = "fresh clone, HOME, base image, wheelhouse and sandbox; system packages and the container engine are reused"
# Where to install from is a setting of the machine, not something that an earlier run left behind.
SETTINGS = (".config/pip", ".config/uv", ".pip")
# What tools/env set for this checkout, and caches that would be shared with it.
OURS = (
    *("ANSIBLE_COLLECTIONS_PATH", "ANSIBLE_HOME", "PYTHONPATH", "VIRTUAL_ENV", "XDG_CACHE_HOME", "XDG_DATA_HOME"),
    *("PIP_CACHE_DIR", "UV_CACHE_DIR"),
)


def demo(place: Place) -> list[Figure]:
    """Seconds of the first `make demo` and of the second."""
    clone, home = place.folder / "clone", place.folder / "home"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(clone)], check=True)
    home.mkdir()
    for name in SETTINGS:
        if (Path.home() / name).is_dir():
            shutil.copytree(Path.home() / name, home / name)
    variables = place.folder / "sandbox.json"
    variables.write_text(json.dumps(place.sandbox_variables), encoding="utf-8")
    path = [part for part in os.environ["PATH"].split(os.pathsep) if not part.startswith(str(ROOT))]
    environment = {
        **{name: value for name, value in os.environ.items() if name not in OURS},
        "PATH": os.pathsep.join(path),
        "HOME": str(home),
        "DEMO_INVENTORY": str(place.inventory),
        "DEMO_SANDBOX_ARGS": f"-e @{variables}",
    }
    seconds = [
        play(["make", "demo"], clone, place.logs / f"demo-{number}.log", environment).seconds for number in (1, 2)
    ]
    return [
        Figure("make demo, first", "s", (seconds[0],), 480, REUSED),
        Figure("make demo, second", "s", (seconds[1],), 180),
    ]
