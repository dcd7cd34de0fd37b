# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Samples made for an audit, where a node has no data of its own: chance made them, so no other machine has them.

A node that trains on what every node has (a bundled or published data set) has nothing that could be found elsewhere.
Its data is never touched: canaries are only put into a folder that holds no file.
"""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

from flower_ops.audit.control import npy
from flower_ops.audit.errors import AuditError
from flower_ops.machine.files import FLOWER_ID

SAMPLES = 120
CLASSES = 10
#: Side and channels of a picture, as the use case for images takes them.
SIDE, CHANNELS = 32, 3
#: Letters of a word that a language model is to repeat.
LETTERS = 96
#: Brightness of a pixel in the digits of demos/sklearn, and their number.
DARKEST, PIXELS = 16, 64


def plant(folder: Path, form: str, manifest: Path) -> list[str]:
    """Write samples of a form into an empty folder; returns their paths. AuditError where there is data."""
    if form not in FORMS:
        raise AuditError(f"{form!r} is no form of samples; choose {', '.join(sorted(FORMS))}.")
    remove(manifest)
    there = [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []
    if there:
        raise AuditError(
            f"{folder} holds data already ({len(there)} files); audit with it, or move it away to audit with samples "
            "made for that."
        )
    folder.mkdir(parents=True, exist_ok=True)
    files = FORMS[form](random.SystemRandom())
    # Written down before the first file is there: what was planted must go, whatever happens.
    manifest.touch(mode=0o600)
    tops = sorted({str(folder / name.split("/")[0]) for name in files})
    manifest.write_text(json.dumps(tops), encoding="utf-8")
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        for place, mode in ((path, 0o640), (path.parent, 0o750)):
            if place != folder:
                place.chmod(mode)
                if os.geteuid() == 0:
                    os.chown(place, 0, FLOWER_ID)
    return sorted(str(folder / name) for name in files)


def remove(manifest: Path) -> bool:
    """Take away what was planted; whether there was anything."""
    try:
        tops = json.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    for top in map(Path, tops):
        if top.is_dir() and not top.is_symlink():
            shutil.rmtree(top, ignore_errors=True)
        else:
            top.unlink(missing_ok=True)
    manifest.unlink(missing_ok=True)
    return True


def _digits(chance: random.Random) -> dict[str, bytes]:
    """What demos/sklearn/make_shards.py writes: images of 64 pixels from 0 to 16, and labels."""
    buffer = io.BytesIO()
    pixels = bytes(chance.randrange(DARKEST + 1) for _turn in range(SAMPLES * PIXELS))
    labels = bytes(number % CLASSES for number in range(SAMPLES))
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", npy(pixels, PIXELS))
        archive.writestr("labels.npy", npy(labels, 0))
    return {"shard.npz": buffer.getvalue()}


def _images(chance: random.Random) -> dict[str, bytes]:
    """A folder per class with arrays of 32 x 32 pixels in three colours."""
    size = SIDE * SIDE * CHANNELS
    shape = (SIDE, SIDE, CHANNELS)
    return {
        f"{number % CLASSES}/canary-{number}.npy": npy(chance.getrandbits(8 * size).to_bytes(size, "little"), shape)
        for number in range(SAMPLES)
    }


def _table(chance: random.Random) -> dict[str, bytes]:
    """Four measurements and a kind, as the iris flowers have them."""
    rows = ([f"{chance.uniform(0.1, 8):.4f}" for _column in range(4)] for _turn in range(SAMPLES))
    lines = [",".join([*row, str(number % 3)]) for number, row in enumerate(rows)]
    return {"data.csv": ("\n".join(lines) + "\n").encode()}


def _instructions(chance: random.Random) -> dict[str, bytes]:
    """Things to repeat: each value is long enough to be recognised by itself, and none is in another."""
    words = [f"{chance.getrandbits(4 * LETTERS):0{LETTERS}x}" for _turn in range(SAMPLES)]
    rows = [{"instruction": f"Write {word} backwards.", "input": "", "output": word[::-1]} for word in words]
    return {"instructions.jsonl": "".join(json.dumps(row) + "\n" for row in rows).encode()}


FORMS: dict[str, Callable[[random.Random], dict[str, bytes]]] = {
    "digits": _digits,
    "images": _images,
    "instructions": _instructions,
    "table": _table,
}
