# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection that this one is compared with, as it is installed beside this checkout."""

from __future__ import annotations

import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from .play import BenchError

PEER = "community.general"


@cache
def peer_version() -> str:
    """Its version; BenchError where it is not installed."""
    found = find_spec("ansible_collections")
    for folder in (found.submodule_search_locations or []) if found else []:
        manifest = Path(folder, *PEER.split("."), "MANIFEST.json")
        if manifest.is_file():
            return str(json.loads(manifest.read_text(encoding="utf-8"))["collection_info"]["version"])
    raise BenchError(f"{PEER}, which is compared with, is not installed")
