# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Odd files in a data folder: told as unreadable, or read as far as they can be; none ends the audit."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import random
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
from audit_support import forms_found, prints_of, rows_found, samples
from flower_ops.audit import documents, texts
from flower_ops.audit.control import npy
from flower_ops.audit.pages import FRAME, LOG, Pages

TEXT = f"{random.Random(1).getrandbits(3000):x}"


def archive(method: int, flags: int = 0, named: int | None = None) -> bytes:
    """An archive of an array whose headers are changed: `flags` of its member, and its method as it is `named`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as stream:
        stream.writestr("a.npy", npy(samples(1), 64))
    content = bytearray(buffer.getvalue())
    for head, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        begin = content.index(head) + at
        struct.pack_into("<HH", content, begin, flags, method if named is None else named)
    return bytes(content)


def damaged(method: int) -> bytes:
    content = bytearray(archive(method))
    content[45:61] = b"\xff" * 16
    return bytes(content)


def array(header: str, data: bytes = bytes(800)) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data


ODD = {
    "password.npz": archive(zipfile.ZIP_STORED, flags=1),
    "deflate64.npz": archive(zipfile.ZIP_DEFLATED, named=9),
    "lzma.npz": damaged(zipfile.ZIP_LZMA),
    "bzip2.npz": damaged(zipfile.ZIP_BZIP2),
    "deflate.npz": damaged(zipfile.ZIP_DEFLATED),
    "no-end.npz": archive(zipfile.ZIP_DEFLATED)[:200],
    "cut.csv.gz": gzip.compress(b"1,2,3\n" * 99)[:-9],
    "broken.csv.gz": gzip.compress(random.Random(1).randbytes(999))[:500] + bytes(99),
    "greatest.npy": array(
        "{'descr': '<f8', 'shape': (100,)}", struct.pack("<100d", *[*range(47), float("inf"), 8, 9] * 2)
    ),
    "shape.npy": array("{'descr': '<f8', 'shape': (1e999,)}"),
    "header.npy": array("-" * 20_000 + "1"),
}


@pytest.mark.parametrize("name", ODD)
def test_what_cannot_be_read_is_told(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(ODD[name])
    (tmp_path / "z.txt").write_text(TEXT, encoding="ascii")
    whose = prints_of(tmp_path)
    assert (whose.facts["files"], whose.facts["unreadable"]) == (2, 1)
    # What comes after it is read.
    assert rows_found(whose, TEXT.encode())


@pytest.mark.parametrize("error", [MemoryError, RecursionError, RuntimeError, lzma.LZMAError, struct.error])
def test_every_error_of_a_reader_is_told(
    error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What zipfile raises for a method that it does not know is a RuntimeError too: see deflate64.npz above."""

    def fails(_content: bytes, whole: bool) -> texts.Read:
        raise error(whole)

    monkeypatch.setattr(texts, "of_json", fails)
    (tmp_path / "a.json").write_text("[]", encoding="ascii")
    assert prints_of(tmp_path).facts["unreadable"] == 1


def nested(depth: int) -> list[Any]:
    value: list[Any] = [TEXT, 7]
    for _turn in range(depth - 1):
        value = [value]
    return value


@pytest.mark.parametrize("depth", [documents.DEEPEST + 2, 1100, 20_000])
def test_what_is_too_deep_is_read_as_text(depth: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python 3.12 and later read JSON that is deeper than a function may call itself."""
    content = "[" * depth + json.dumps(TEXT) + "]" * depth
    for name in ("x.json", "y.jsonl"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / name).write_text(content, encoding="ascii")
        for parse in (documents.parse, lambda _raw: nested(depth)):
            monkeypatch.setattr(documents, "parse", parse)
            whose = prints_of(folder)
            assert [whose.facts[key] for key in ("unreadable", "rows", "taken", "blank")] == [0, 1, 1, 0]
            assert forms_found(whose, content.encode()) == {"the text itself"}


def test_what_is_deep_is_taken_apart() -> None:
    value = nested(documents.DEEPEST)
    assert (list(documents.strings(value)), list(documents.numbers(value))) == ([TEXT], [7.0])
    for read in (documents.strings, documents.numbers):
        with pytest.raises(ValueError, match="too many brackets"):
            list(read([value]))


@pytest.mark.parametrize("packed", [False, True])
def test_a_large_document_is_one_file_as_it_is(packed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told as one sample, not as the rows that nobody has looked for."""
    content = json.dumps([{"text": f"{random.Random(row).getrandbits(900):x}"} for row in range(99)], indent=1).encode()
    path = tmp_path / ("x.json.gz" if packed else "x.json")
    path.write_bytes(gzip.compress(content) if packed else content)
    assert prints_of(tmp_path).facts["rows"] == 99
    monkeypatch.setattr(texts, "LARGEST", len(content) - 1)
    whose = prints_of(tmp_path)
    assert [whose.facts[key] for key in ("unreadable", "rows", "taken", "blank")] == [0, 1, 1, 0]
    assert forms_found(whose, b"a copy" + content) == {"the file as it is"}


def test_a_large_row_is_read_as_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [json.dumps({"text": f"{random.Random(row).getrandbits(900 + 9000 * row):x}"}) for row in range(3)]
    (tmp_path / "x.jsonl").write_text("\n".join(rows), encoding="ascii")
    monkeypatch.setattr(texts, "LARGEST", len(rows[1]) + 1)
    whose = prints_of(tmp_path)
    assert [whose.facts[key] for key in ("rows", "taken", "blank")] == [3, 3, 0]
    assert forms_found(whose, rows[2].encode()) == {"the text itself"}
    assert "a string of JSON" in forms_found(whose, rows[1].encode())


def test_a_log_that_is_cut_while_it_is_read() -> None:
    class Cut(io.BytesIO):
        """Long when its length is asked, and empty behind the number of its first page."""

        def read(self, size: int | None = -1, /) -> bytes:
            return b"" if self.tell() > LOG + 8 else super().read(size)

    log = b"\x37\x7f\x06\x82" + struct.pack(">II", 3007000, 4096) + bytes(LOG - 12)
    log += struct.pack(">II", 1, 1) + bytes(FRAME - 8 + 4096)
    pages = Pages.of(Cut(log), log[:16])
    assert pages is not None and pages.places == {1: [LOG + FRAME]} and list(pages.rows()) == []
