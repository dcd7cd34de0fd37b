# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One search: the disks of this VM, for samples of other nodes, with a positive control."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from flower_ops.audit import common, control, disks
from flower_ops.audit.forms import FORMS
from flower_ops.audit.prints import Prints, named
from flower_ops.audit.scan import Hit, Scanner

JOURNAL = "the journal of systemd"


@dataclass
class Place:
    """Hits in one file."""

    changed: bool
    samples: dict[int, set[tuple[int, int]]] = field(default_factory=dict)
    forms: dict[int, dict[int, int]] = field(default_factory=dict)
    first: dict[int, int] = field(default_factory=dict)

    def add(self, hit: Hit, whose: Prints) -> None:
        """Count a hit."""
        form = whose.forms[hit.owner]
        counts = self.forms.setdefault(hit.node, {})
        counts[form] = counts.get(form, 0) + 1
        self.samples.setdefault(hit.node, set()).add((whose.files[hit.owner], whose.rows[hit.owner]))
        self.first.setdefault(hit.node, hit.at)


@dataclass(frozen=True)
class Wanted:
    """What to search: folders wholly, and everything that changed since `since` (seconds since the epoch; 0: not).

    `data`: folders of samples, searched wholly like the others; but no control is planted among users' data.
    """

    root: Path = Path("/")
    folders: Sequence[str] = disks.FOLDERS
    apart: Sequence[Path] = ()
    since: float = 0.0
    journal: bool = True
    data: Sequence[str] = ()


def search(all_prints: Sequence[Prints], own: str, salt: bytes, wanted: Wanted) -> dict[str, Any]:
    """Findings and figures. `own` is the node whose disks these are: its own samples may lie there."""
    begun = time.monotonic()
    shared = common.set_apart(all_prints)
    folders = [wanted.root / name.lstrip("/") for name in wanted.folders]
    known = control.Control(salt, folders)
    looked = [one for one in all_prints if one.node != own] + [known.prints]
    scanner = Scanner(looked, salt)
    places: dict[str, Place] = {}
    count = unreadable = changed = 0
    try:
        known.plant()
        for found in disks.files(wanted.root, [*wanted.folders, *wanted.data], wanted.apart, wanted.since):
            try:
                with found.path.open("rb") as stream:
                    _look(scanner, stream, places, looked, str(found.path), found.changed)
            except FileNotFoundError:
                # Deleted since it was listed.
                continue
            except OSError:
                unreadable += 1
                continue
            count += 1
            changed += found.changed
        journal = not wanted.journal or _journal(scanner, places, looked, wanted.since)
    finally:
        missed = known.missed({path for path, place in places.items() if len(looked) - 1 in place.samples})
        known.remove()
    return {
        "findings": [row for path, place in sorted(places.items()) for row in _findings(path, place, looked)],
        "control": {"planted": len(known.planted), "missed": missed},
        "shared": [vars(one) for one in shared],
        "files": count - len(known.planted),
        "changed_files": changed,
        "unreadable": unreadable,
        "journal": journal,
        "bytes": scanner.looked,
        "unpacked_bytes": scanner.unpacked,
        "fingerprints": sum(one.total for one in looked[:-1]),
        "seconds": round(time.monotonic() - begun, 1),
    }


def _look(
    scanner: Scanner, stream: BinaryIO, places: dict[str, Place], looked: Sequence[Prints], path: str, changed: bool
) -> None:
    for hit in scanner.file(stream):
        places.setdefault(path, Place(changed)).add(hit, looked[hit.node])


def _journal(scanner: Scanner, places: dict[str, Place], looked: Sequence[Prints], since: float) -> bool:
    """Long entries are packed in the journal's files: they are read as journalctl tells them. Whether that worked."""
    command = ["journalctl", "--quiet", "--no-pager", "--output=cat", "--all", f"--since=@{int(since)}"]
    try:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout is not None
            for hit in scanner.stream(process.stdout):
                places.setdefault(JOURNAL, Place(True)).add(hit, looked[hit.node])
    except OSError:
        return False
    return process.returncode == 0


def _findings(path: str, place: Place, looked: Sequence[Prints]) -> list[dict[str, Any]]:
    """One row per node whose samples are in the file; the control is none."""
    rows = []
    for node, samples in place.samples.items():
        if node == len(looked) - 1:
            continue
        forms = sorted(place.forms[node].items(), key=lambda pair: -pair[1])
        rows.append(
            {
                "node": looked[node].node,
                "path": path,
                "offset": place.first[node],
                "changed": place.changed,
                "samples": len(samples),
                "forms": [FORMS[form] for form, _count in forms],
                "named": named(samples),
            }
        )
    return rows
