# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lies in a folder of data: files of one kind, and what else is there when nothing of that kind is."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

#: Files that data sets bring along, by their names without an ending; and the shards of demos/sklearn, which were not
#: put there to be trained on by others.
ABOUT_DATA = ("readme", "license", "licence")
#: Files and folders that file systems and file managers make.
MADE_FILES = ("thumbs.db", "desktop.ini")
MADE_FOLDERS = ("lost+found", "$recycle.bin", "system volume information")
SHARDS = ("shard.npz", "test.npz")
#: Endings that may be told. Any other may be a part of a name.
KNOWN = frozenset(
    ".arrow .avi .bmp .csv .dcm .doc .docx .feather .gif .gz .h5 .hdf5 .jpeg .jpg .json .jsonl .mat .mp4 .npy .npz .ods"
    " .orc .parquet .pdf .pgm .pickle .pkl .png .ppm .pt .rar .sqlite .tar .tgz .tif .tiff .tsv .txt .webp .xls .xlsx"
    " .xml .yaml .yml .zip .7z".split()
)
MOST_KINDS = 5


def no_folder(name: str) -> bool:
    """Whether a folder of this name has none of the operator's data: it is hidden, or the file system's."""
    return name.startswith(".") or name.lower() in MADE_FOLDERS


def _no_file(name: str) -> bool:
    if name.startswith(".") or name in SHARDS:
        return True
    return name.lower() in MADE_FILES or name.lower().partition(".")[0] in ABOUT_DATA


def files_ending(folder: Path, suffix: str) -> list[Path]:
    """Files in the folder itself with that ending, in small or capital letters, in one order on all machines."""
    found = [file for file in folder.iterdir() if file.suffix.lower() == suffix and not file.name.startswith(".")]
    return sorted(file for file in found if file.is_file())


def _has_any(folder: Path) -> bool:
    """Whether something lies in the folder that may be data."""
    return any(not no_folder(name) and not _no_file(name) for name in os.listdir(folder))


def lying(folder: Path) -> str:
    """How many files of which kinds lie in the folder and below; empty when there are none.

    Links count, too: one that leads nowhere may be data on a disk that is not mounted. Those to folders are not gone
    down, for they may lead round in a circle; they count unless the folder is empty.

    The text leaves the node, so it has no names of files: they may tell a person's. Raises OSError for a folder that
    cannot be read, since nobody knows what is in it.
    """

    def fail(error: OSError) -> None:
        raise error

    counts: Counter[str] = Counter()
    for at, folders, names in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not no_folder(name)]
        links = [Path(at, name) for name in folders if Path(at, name).is_symlink()]
        counts["as a link to a folder"] += sum(map(_has_any, links))
        for name in names:
            if not _no_file(name) and Path(at, name).is_file():
                suffix = Path(name).suffix.lower()
                counts[suffix if suffix in KNOWN else "of another kind"] += 1
            elif not _no_file(name) and Path(at, name).is_symlink():
                counts["as a link that leads to no file"] += 1
    kinds = sorted(+counts, key=lambda kind: (-counts[kind], kind))
    told = [f"{counts[kind]} {kind}" for kind in kinds[:MOST_KINDS]]
    rest = sum(counts[kind] for kind in kinds[MOST_KINDS:])
    return ", ".join(told + [f"{rest} more"] * bool(rest))
