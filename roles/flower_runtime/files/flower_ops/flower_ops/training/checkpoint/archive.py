# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A checkpoint as one file: an .npz that `numpy.load` opens, with its metadata and checksums as text inside.

    arr_0.npy, arr_1.npy …     the model, in its order (sort by number: as text, arr_10 comes before arr_2)
    state_0.npy …              arrays of the strategy's state
    checkpoint.json            everything else; says which array of the state is which
    SHA256SUMS                 one line per member before it, as `sha256sum -c` reads them

Format of the arrays: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from flower_ops.training.checkpoint.errors import UnreadableError
from flower_ops.training.checkpoint.model import Array, Checkpoint, StateValue
from flower_ops.training.checkpoint.values import from_json, to_json

FORMAT = 1
DOCUMENT, SUMS = "checkpoint.json", "SHA256SUMS"
CHUNK = 1 << 20
# Only our own headers are read, after their checksum held; records of many fields need more than NumPy's default.
HEADER = 1 << 24


class _Summed:
    """A member that is being written, with the SHA-256 of what went in."""

    def __init__(self, member: IO[bytes]) -> None:
        self._member, self.sum = member, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.sum.update(data)
        return self._member.write(data)


class _Writer:
    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive, self.lines = archive, ""

    @contextmanager
    def _member(self, name: str) -> Iterator[_Summed]:
        # A fixed date: equal content makes equal files but for the time inside the document.
        with self._archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as member:
            summed = _Summed(member)
            yield summed
        self.lines += f"{summed.sum.hexdigest()}  {name}\n"

    def array(self, name: str, value: Any) -> str:
        with self._member(name) as member:
            np.lib.format.write_array(member, np.asarray(value), allow_pickle=False)
        return name

    def text(self, name: str, text: str) -> None:
        with self._member(name) as member:
            member.write(text.encode())


def write(stream: IO[bytes], checkpoint: Checkpoint, sequence: int, timestamp: str) -> dict[str, Any]:
    """Write it, which must be without `faults`. Returns the document, with `sha256`: that of SHA256SUMS, so of all."""
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        writer = _Writer(archive)
        for number, array in enumerate(checkpoint.arrays):
            writer.array(f"arr_{number}.npy", array)
        state: dict[str, dict[str, Any]] = {}
        count = 0
        for name, value in checkpoint.state.items():
            if isinstance(value, np.ndarray):
                state[name] = {"array": writer.array(f"state_{count}.npy", value)}
                count += 1
            elif isinstance(value, list):
                names = [writer.array(f"state_{count + number}.npy", array) for number, array in enumerate(value)]
                state[name] = {"arrays": names}
                count += len(names)
            else:
                state[name] = {"value": to_json(value)}
        document = {
            "format": FORMAT,
            "round": checkpoint.round,
            "timestamp": timestamp,
            "sequence": sequence,
            "run": checkpoint.run,
            "strategy": checkpoint.strategy,
            "num_arrays": len(checkpoint.arrays),
            "shapes": [list(np.shape(array)) for array in checkpoint.arrays],
            "dtypes": [str(array.dtype) for array in checkpoint.arrays],
            "settings": to_json(checkpoint.settings),
            "metrics": to_json(checkpoint.metrics),
            "state": state,
        }
        writer.text(DOCUMENT, json.dumps(document, indent=1, allow_nan=False))
        sums = writer.lines
        writer.text(SUMS, sums)
    return {**document, "sha256": hashlib.sha256(sums.encode()).hexdigest()}


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The archive; whatever a damaged one makes its readers raise becomes UnreadableError."""
    try:
        if not path.is_file():
            raise UnreadableError("is no file")
        with zipfile.ZipFile(path) as archive:
            if not {DOCUMENT, SUMS} <= set(archive.namelist()):
                raise UnreadableError("is no checkpoint of this program")
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise UnreadableError("is damaged or was packed again by another program")
            yield archive
    # Nothing wrong with the file: a whole one would be given up for good.
    except (UnreadableError, MemoryError):
        raise
    except zipfile.BadZipFile as error:
        raise UnreadableError("is cut short, damaged or no checkpoint") from error
    except OSError as error:
        raise UnreadableError(f"cannot be read ({error.strerror or error})") from error
    # zipfile and json raise about ten kinds of errors for damaged bytes.
    except Exception as error:
        raise UnreadableError(f"is damaged ({error})") from error


def _document(archive: zipfile.ZipFile) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(archive.read(DOCUMENT))
    if document["format"] != FORMAT:
        raise UnreadableError(f"has the format {document['format']}, where {FORMAT} is the one known here")
    return document


def read_document(path: Path) -> dict[str, Any]:
    """Its metadata, without looking at the arrays. Raises UnreadableError."""
    with _opened(path) as archive:
        return _document(archive)


def _verify(archive: zipfile.ZipFile) -> None:
    """That every member is there once, and has the content that it had when it was written."""
    found = []
    for name in archive.namelist():
        if name != SUMS:
            digest = hashlib.sha256()
            with archive.open(name) as member:
                while chunk := member.read(CHUNK):
                    digest.update(chunk)
            found.append(f"{digest.hexdigest()}  {name}\n")
    if "".join(found) != archive.read(SUMS).decode():
        raise UnreadableError("is damaged (its SHA-256 checksums do not hold)")


def _array(archive: zipfile.ZipFile, name: str) -> Array:
    with archive.open(name) as member:
        array: Array = np.lib.format.read_array(member, allow_pickle=False, max_header_size=HEADER)
    return array


def read(path: Path) -> Checkpoint:
    """The whole checkpoint, every byte of it checked before it is used. Raises UnreadableError."""
    with _opened(path) as archive:
        _verify(archive)
        document = _document(archive)
        state: dict[str, StateValue] = {}
        for name, entry in document["state"].items():
            if "array" in entry:
                state[name] = _array(archive, entry["array"])
            elif "arrays" in entry:
                state[name] = [_array(archive, one) for one in entry["arrays"]]
            else:
                state[name] = from_json(entry["value"])
        return Checkpoint(
            round=document["round"],
            arrays=[_array(archive, f"arr_{number}.npy") for number in range(document["num_arrays"])],
            state=state,
            metrics=from_json(document["metrics"]),
            run=document["run"],
            strategy=document["strategy"],
            settings=from_json(document["settings"]),
        )
