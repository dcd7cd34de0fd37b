# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fingerprints of a node's samples: made there, kept in one file, and looked up elsewhere."""

from __future__ import annotations

import hashlib
import json
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO

from flower_ops.audit.errors import AuditError
from flower_ops.audit.samples import Piece, Reader, Seen
from flower_ops.audit.windows import STEP, WIDTHS, hashes, needed

VERSION = 3
#: Samples named in a finding; there may be many more, which are counted.
NAMED = 5
#: Forms of a sample, about: what a limit on fingerprints is divided by.
FORMS_OF_A_SAMPLE = 34


@dataclass
class Table:
    """Windows of one width: sorted hashes, and for each the number of what it belongs to."""

    keys: array[int] = field(default_factory=lambda: array("Q"))
    owners: array[int] = field(default_factory=lambda: array("I"))

    def find(self, key: int) -> int | None:
        """Number of what the hash belongs to."""
        at = bisect_left(self.keys, key)
        return self.owners[at] if at < len(self.keys) and self.keys[at] == key else None

    def without(self, unwanted: set[int]) -> Table:
        """The same without some hashes."""
        kept = [at for at, key in enumerate(self.keys) if key not in unwanted]
        return Table(array("Q", (self.keys[at] for at in kept)), array("I", (self.owners[at] for at in kept)))


@dataclass
class Prints:
    """All of one node. An owner is a form of a sample: parallel arrays say which form, of which file, which row.

    `wholes`: a keyed hash of the whole sample, 0 for labels and the like. `contents`: one of each file, 0 for those
    that were not read.
    """

    node: str
    facts: dict[str, Any]
    tables: dict[int, Table] = field(default_factory=dict)
    forms: array[int] = field(default_factory=lambda: array("B"))
    files: array[int] = field(default_factory=lambda: array("I"))
    rows: array[int] = field(default_factory=lambda: array("I"))
    wholes: array[int] = field(default_factory=lambda: array("Q"))
    contents: array[int] = field(default_factory=lambda: array("Q"))

    @property
    def total(self) -> int:
        """Number of fingerprints."""
        return sum(len(table.keys) for table in self.tables.values())


def make(node: str, folders: Sequence[Path], salt: bytes, limit: int) -> Prints:
    """Fingerprints of the samples in some folders, about `limit` of them at most."""
    reader = Reader(folders, salt, max(8, limit // (STEP * FORMS_OF_A_SAMPLE)))
    prints = Prints(node, {})
    rows: dict[int, list[tuple[int, int]]] = {width: [] for width in WIDTHS}
    # By owner: whether it is a sample once more. By sample: how many it counts for.
    again: list[bool] = []
    weights: dict[tuple[int, int], int] = {}
    for piece in reader.pieces():
        _add(prints, rows, piece, salt)
        again += [piece.again] * (len(prints.forms) - len(again))
        if piece.weight and piece.coded:
            weights[piece.file, piece.row] = piece.weight
    for width, pairs in rows.items():
        # What occurs in several samples tells none of them: "the same words at every beginning".
        table = Table()
        pairs.sort()
        for key, group in groupby(pairs, key=lambda pair: pair[0]):
            owners = [owner for _key, owner in group]
            first = [owner for owner in owners if not again[owner]] or owners
            if len({_sample(prints, owner) for owner in first}) == 1:
                table.keys.append(key)
                table.owners.append(first[0])
        prints.tables[width] = table
    _lost(prints, reader.seen, weights)
    prints.contents.extend(reader.contents.get(number, 0) for number in range(reader.seen.files))
    prints.facts = {**asdict(reader.seen), "fingerprints": prints.total, "salt": _mark(salt)}
    return prints


def _add(prints: Prints, rows: dict[int, list[tuple[int, int]]], piece: Piece, salt: bytes) -> None:
    for coded in piece.coded:
        if len(coded.data) < needed(coded.width):
            continue
        owner = len(prints.forms)
        prints.forms.append(coded.form)
        prints.files.append(piece.file)
        prints.rows.append(piece.row)
        prints.wholes.append(piece.whole)
        rows[coded.width] += [(key, owner) for key in hashes(coded.data, coded.width, salt)]


def _lost(prints: Prints, seen: Seen, weights: Mapping[tuple[int, int], int]) -> None:
    """Samples without a fingerprint of their own, because all of theirs are those of others too, are not looked for."""
    left = {_sample(prints, owner) for table in prints.tables.values() for owner in table.owners}
    lost = sum(weight for sample, weight in weights.items() if sample not in left)
    seen.taken -= lost
    seen.blank += lost


def _sample(prints: Prints, owner: int) -> tuple[int, int]:
    return prints.files[owner], prints.rows[owner]


def _mark(salt: bytes) -> str:
    """By which fingerprints of two audits are told apart; says nothing of the salt."""
    return hashlib.sha256(b"mark" + salt).hexdigest()[:16]


def save(prints: Prints, stream: BinaryIO) -> None:
    """One line of JSON, then the arrays in the order that it names."""
    sizes = {str(width): len(table.keys) for width, table in prints.tables.items()}
    head = {"version": VERSION, "node": prints.node, "facts": prints.facts, "owners": len(prints.forms), "keys": sizes}
    head["contents"] = len(prints.contents)
    stream.write(json.dumps(head).encode() + b"\n")
    parts = [prints.forms, prints.files, prints.rows, prints.wholes, prints.contents]
    for table in prints.tables.values():
        parts += [table.keys, table.owners]
    for part in parts:
        if sys.byteorder == "big":
            part = array(part.typecode, part)
            part.byteswap()
        stream.write(part.tobytes())


def load(stream: BinaryIO, salt: bytes, name: str) -> Prints:
    """What save() wrote; AuditError for anything else, and for fingerprints of another audit."""
    try:
        head = json.loads(stream.readline(1 << 20))
        if head["version"] != VERSION or head["facts"]["salt"] != _mark(salt):
            raise AuditError(f"The fingerprints in {name} belong to another audit; begin the audit anew.")
        prints = Prints(str(head["node"]), dict(head["facts"]))
        owners = int(head["owners"])
        prints.forms, prints.files, prints.rows = (
            _read(stream, "B", owners), _read(stream, "I", owners), _read(stream, "I", owners)
        )  # fmt: skip
        prints.wholes, prints.contents = _read(stream, "Q", owners), _read(stream, "Q", int(head["contents"]))
        for width, count in head["keys"].items():
            prints.tables[int(width)] = Table(_read(stream, "Q", int(count)), _read(stream, "I", int(count)))
    except (ValueError, KeyError, TypeError, EOFError) as error:
        raise AuditError(f"{name} holds no fingerprints of this audit ({error}); begin the audit anew.") from error
    return prints


def _read(stream: BinaryIO, code: str, count: int) -> array[int]:
    found: array[int] = array(code)
    data = stream.read(count * found.itemsize)
    if len(data) != count * found.itemsize:
        raise EOFError("it is cut off")
    found.frombytes(data)
    if sys.byteorder == "big":
        found.byteswap()
    return found


def named(samples: Iterable[tuple[int, int]]) -> list[dict[str, int]]:
    """A few of them by the numbers of file and row, from 1, as a person counts."""
    return [{"file": file + 1, "row": row + 1} for file, row in sorted(samples)[:NAMED]]
