# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Samples are found wherever and however they lie, and nothing else is."""

from __future__ import annotations

import base64
import gzip
import io
import json
import random
import struct
import zipfile
import zlib
from pathlib import Path

import pytest
from audit_support import SALT, forms_found, node_with, prints_of, rows_found, samples
from flower_ops.audit import arrays, common, forms, prints
from flower_ops.audit.control import Control, npy
from flower_ops.audit.errors import AuditError
from flower_ops.audit.prints import Prints
from flower_ops.audit.scan import BLOCK, Scanner
from flower_ops.audit.windows import STEP, WIDTHS, needed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

COLUMNS = 64
FLOATS = [value / 16 for value in samples(3, count=1)]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Prints]:
    return node_with(tmp_path_factory.mktemp("node"), 1, "node-1")


@given(before=st.integers(0, 3 * STEP), row=st.integers(0, 19), seed=st.integers(0, 2**32))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
def test_a_sample_in_anything_is_found_at_any_offset(
    node: tuple[bytes, Prints], before: int, row: int, seed: int
) -> None:
    data, whose = node
    noise = random.Random(seed).randbytes
    sample = data[row * COLUMNS : (row + 1) * COLUMNS]
    for coded in (
        sample,
        struct.pack("<64f", *sample),
        struct.pack("<64d", *sample),
        struct.pack("<64d", *(value / 255 for value in sample)),
        struct.pack("<64q", *sample),
        json.dumps(list(sample)).encode(),
        ",".join(map(str, sample)).encode(),
        json.dumps([float(value) for value in sample]).encode(),
        base64.b64encode(noise(before % 3) + sample),
        b"".join(map(forms.zigzag, sample)),
    ):
        assert row in rows_found(whose, noise(before) + coded + noise(40))


@given(seed=st.integers(0, 2**32))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=20)
def test_nothing_is_found_in_what_holds_no_sample(node: tuple[bytes, Prints], seed: int) -> None:
    _data, whose = node
    chance = random.Random(seed)
    others = samples(seed + 10, count=30)
    assert not rows_found(whose, chance.randbytes(20000) + others + struct.pack(f"<{len(others)}d", *others))


def test_how_often_chance_would_find_something() -> None:
    """A hash has 64 bits: a million fingerprints in a terabyte, looked at at every 16th byte, in all widths."""
    looks = 10**12 / STEP * len(WIDTHS)
    assert looks * 10**6 / 2**64 < 0.02


def test_similar_digits_are_not_taken_for_each_other(tmp_path: Path) -> None:
    """Pixels from 0 to 16, half of them 0 or 16, as in the digits of demos/sklearn."""
    chance = random.Random(4)
    shades = [0] * 5 + [16] * 3 + list(range(1, 9))
    rows = [bytes(chance.choice(shades) for _pixel in range(64)) for _row in range(600)]
    for name, part in (("a", rows[:300]), ("b", rows[300:])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.npy").write_bytes(npy(b"".join(part), 64))
    first = prints_of(tmp_path / "a")
    assert first.facts["taken"] >= 270
    other = b"".join(rows[300:])
    assert not rows_found(first, other + struct.pack(f"<{len(other)}d", *other))


def test_a_sample_across_the_border_of_two_blocks(node: tuple[bytes, Prints]) -> None:
    data, whose = node
    for before in range(BLOCK - 80, BLOCK + 10, 7):
        assert 5 in rows_found(whose, bytes(before) + data[5 * COLUMNS : 6 * COLUMNS] + bytes(100))


def test_pages_of_a_database_cut_arrays_and_do_not_hide_them(node: tuple[bytes, Prints]) -> None:
    data, whose = node
    array = struct.pack(f"<{len(data)}d", *data)
    pages = b"".join(b"\x00\x00\x01\x07" + array[at : at + 4092] for at in range(0, len(array), 4092))
    assert len(rows_found(whose, pages)) >= 17


def test_packed_samples_are_found(node: tuple[bytes, Prints], tmp_path: Path) -> None:
    data, whose = node
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as stream:
        stream.writestr("arr_0.npy", npy(data, COLUMNS))
    inside = b"\x01\x02" + zlib.compress(data) + b"\x03"
    # As an app puts it into a message, which lies in a database.
    message = b"\x0a\x05arr_0\x12" + archive.getvalue() + b"\x03"
    for number, content in enumerate((archive.getvalue(), gzip.compress(data), inside, message)):
        path = tmp_path / str(number)
        path.write_bytes(content)
        with path.open("rb") as opened:
            assert {whose.rows[hit.owner] for hit in Scanner([whose], SALT).file(opened)} == set(range(20))


def test_a_file_that_says_it_is_an_archive_and_is_none(node: tuple[bytes, Prints], tmp_path: Path) -> None:
    path = tmp_path / "broken"
    for head in (b"PK\x03\x04", b"\x1f\x8b\x08"):
        path.write_bytes(head + random.Random(1).randbytes(5000) + node[0])
        with path.open("rb") as opened:
            assert list(Scanner([node[1]], SALT).file(opened))


def test_a_damaged_member_ends_no_search(node: tuple[bytes, Prints], tmp_path: Path) -> None:
    """Each method of packing has errors of its own."""
    data, whose = node
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w", method) as stream:
            stream.writestr("a", bytes(5000))
            begin = stream.getinfo("a").header_offset + 31
        broken = bytearray(archive.getvalue())
        broken[begin + 9 : begin + 25] = b"\xff" * 16
        path = tmp_path / str(method)
        path.write_bytes(bytes(broken) + data)
        with path.open("rb") as opened:
            assert list(Scanner([whose], SALT).file(opened))


def test_every_kind_of_data_is_read(tmp_path: Path) -> None:
    chance = random.Random(8)
    table = [[round(chance.uniform(0, 8), 1) for _column in range(4)] for _row in range(40)]
    lines = [",".join(map(str, [*row, "setosa"])) for row in table]
    (tmp_path / "data.csv").write_text("\n".join(lines) + "\n", encoding="ascii")
    words = [{"instruction": f"Repeat {chance.getrandbits(300):x}."} for _row in range(9)]
    (tmp_path / "instructions.jsonl").write_text("\n".join(map(json.dumps, words)), encoding="ascii")
    picture = b"\x89PNG" + chance.randbytes(9000)
    (tmp_path / "picture.png").write_bytes(picture)
    with gzip.open(tmp_path / "more.csv.gz", "wt", encoding="ascii") as stream:
        stream.writelines(f"{chance.random()},{chance.random()}\n" for _row in range(50))
    whose = prints_of(tmp_path)
    assert whose.facts["files"] == 4 and whose.facts["unreadable"] == 0 and whose.facts["rows"] == 40 + 9 + 1 + 50
    flat = [value for row in table for value in row]
    assert forms_found(whose, struct.pack(f"<{len(flat)}d", *flat)) == {"64-bit floats"}
    assert "the text itself" in forms_found(whose, lines[3].encode() + b"\n" + "\n".join(lines[4:9]).encode())
    assert "a string of JSON" in forms_found(whose, words[4]["instruction"].encode() + b" and no more")
    assert forms_found(whose, b"a copy" + picture) == {"the file as it is"}
    assert forms_found(whose, base64.b64encode(picture)) == {"base64 of the file"}


@pytest.mark.parametrize("letter", "BbHhIiQqfd")
def test_arrays_of_every_type_of_numbers(letter: str, tmp_path: Path) -> None:
    chance = random.Random(6)
    floats = letter in "fd"
    high = 2 ** (8 * struct.calcsize(letter) - 1) - 1
    values = [chance.uniform(-3, 3) if floats else chance.randrange(high) for _turn in range(200)]
    kind = "f" if floats else "u" if letter.isupper() else "i"
    header = f"{{'descr': '<{kind}{struct.calcsize(letter)}', 'fortran_order': False, 'shape': (4, 50), }}"
    text = (header + " " * (-(11 + len(header)) % 64) + "\n").encode()
    data = struct.pack(f"<200{letter}", *values)
    (tmp_path / "x.npy").write_bytes(arrays.MAGIC + b"\x01\x00" + struct.pack("<H", len(text)) + text + data)
    whose = prints_of(tmp_path)
    assert whose.facts["rows"] == whose.facts["taken"] == 4
    assert rows_found(whose, b"?" + data[50 * struct.calcsize(letter) :]) == {1, 2, 3}
    if not floats and high < 2**60:
        assert rows_found(whose, struct.pack("<200q", *values)) == {0, 1, 2, 3}


def test_what_is_no_array_of_numbers_is_read_as_a_file(tmp_path: Path) -> None:
    for number, content in enumerate((b"", b"\x93NUMPY", b"\x93NUMPY\x01\x00\xff\xff{", npy(b"", 3)[:70], bytes(5000))):
        (tmp_path / f"{number}.npy").write_bytes(content)
    whose = prints_of(tmp_path)
    assert whose.facts["files"] == 5 and whose.total == 0


def test_of_more_samples_than_the_limit_some_are_taken_by_the_salt(tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(npy(samples(2, count=400), COLUMNS))
    limited = prints.make("n", [tmp_path], SALT, 40000)
    again = prints.make("n", [tmp_path], SALT, 40000)
    other = prints.make("n", [tmp_path], bytes(16), 40000)
    assert 0 < limited.facts["taken"] < 400 and limited.total <= 60000
    assert set(limited.rows) == set(again.rows) != set(other.rows)


def test_fingerprints_survive_the_way_and_belong_to_one_audit(node: tuple[bytes, Prints]) -> None:
    stream = io.BytesIO()
    prints.save(node[1], stream)
    content = stream.getvalue()
    read = prints.load(io.BytesIO(content), SALT, "a file")
    assert read == node[1]
    assert len(content) < 13 * read.total + 12 * len(read.forms)
    with pytest.raises(AuditError, match="another audit"):
        prints.load(io.BytesIO(content), bytes(16), "a file")
    for cut in (0, 40, len(content) - 5):
        with pytest.raises(AuditError, match="begin the audit anew"):
            prints.load(io.BytesIO(content[:cut]), SALT, "a file")


def test_a_fingerprint_does_not_hold_its_sample(node: tuple[bytes, Prints]) -> None:
    data, whose = node
    stream = io.BytesIO()
    prints.save(whose, stream)
    assert not any(data[at : at + 8] in stream.getvalue() for at in range(0, len(data) - 8))


def common_nodes(folder: Path, nodes: dict[str, dict[str, bytes]]) -> list[Prints]:
    """Nodes with files of samples."""
    found = []
    for name, files in nodes.items():
        (folder / name).mkdir()
        for file, data in files.items():
            (folder / name / file).write_bytes(npy(data, COLUMNS))
        found.append(prints_of(folder / name, name))
    return found


def test_what_every_node_has_byte_for_byte_is_nobodys_secret(tmp_path: Path) -> None:
    bundled = samples(1, count=10)
    nodes = common_nodes(
        tmp_path, {name: {"x.npy": bundled, "y.npy": samples(seed, count=10)} for name, seed in (("a", 2), ("b", 3))}
    )
    shared = common.set_apart(nodes)
    assert [(one.node, one.other) for one in shared] == [("a", "b"), ("b", "a")]
    assert all(0.4 < one.share < 0.6 for one in shared)
    assert rows_found(nodes[0], bundled) == set()
    assert len(rows_found(nodes[0], samples(2, count=10))) == 10


def test_a_sample_that_another_node_has_among_its_own_is_still_looked_for(tmp_path: Path) -> None:
    """However few there are, and although both had them from the start."""
    one = samples(1, count=1)
    nodes = common_nodes(tmp_path, {"a": {"x.npy": one + samples(2)}, "b": {"x.npy": samples(3) + one}})
    (share, _other) = common.set_apart(nodes)
    assert 0.03 < share.share < 0.07
    assert rows_found(nodes[0], samples(3) + one) == {0} and rows_found(nodes[1], one) == {20}


def test_a_bundle_that_only_some_nodes_have_is_no_bundle(tmp_path: Path) -> None:
    part = samples(1, count=10)
    nodes = common_nodes(tmp_path, {"a": {"x.npy": part}, "b": {"x.npy": part}, "c": {"x.npy": samples(2)}})
    common.set_apart(nodes)
    assert len(rows_found(nodes[0], part)) == len(rows_found(nodes[1], part)) == 10


def test_stretches_of_different_samples_and_labels_say_nothing(tmp_path: Path) -> None:
    stretch, labels = samples(1, count=1)[:56], bytes(number * 7 % 10 for number in range(60))
    nodes = []
    for name, seed in (("a", 2), ("b", 3)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.npy").write_bytes(npy(stretch + samples(seed, count=1)[:8] + samples(seed), COLUMNS))
        (tmp_path / name / "y.npy").write_bytes(npy(labels + bytes([seed]), 0))
        nodes.append(prints_of(tmp_path / name, name))
    assert rows_found(nodes[0], stretch + bytes(99)) == {0} and rows_found(nodes[0], labels)
    common.set_apart(nodes)
    assert not rows_found(nodes[0], stretch + bytes(99)) and not rows_found(nodes[0], labels)


def test_a_whole_sample_is_the_same_however_wide_its_numbers_are(tmp_path: Path) -> None:
    data = samples(1, count=4)
    nodes = common_nodes(tmp_path, {"a": {"x.npy": data}, "b": {"y.npy": samples(2)}})
    header = arrays.MAGIC + npy(data, COLUMNS)[6:128].replace(b"|u1", b"<f8")
    (tmp_path / "b/x.npy").write_bytes(header + struct.pack(f"<{len(data)}d", *data))
    nodes[1] = prints_of(tmp_path / "b", "b")
    assert common.set_apart(nodes) and len(rows_found(nodes[0], struct.pack(f"<{len(data)}f", *data))) == 4


def test_pieces_have_the_bytes_that_their_windows_need() -> None:
    values = list(samples(3, count=1, greatest=16))[: forms.ITEMS]
    coded = list(forms.of_numbers([int(value > 8) for value in values], bytes(values), 1, 1.0))
    coded += list(forms.of_numbers(values, bytes(values), 1, 16.0))
    assert all(len(one.data) >= needed(one.width) for one in coded)


def test_the_control_knows_what_it_has_planted(tmp_path: Path) -> None:
    control = Control(SALT, [tmp_path, tmp_path / "missing"])
    control.plant()
    planted = set(control.planted)
    assert len(planted) > 25 and not control.missed(planted)
    one = sorted(planted)[0]
    assert control.missed(planted - {one}) in ([control.planted[one]], [])
    control.remove()
    assert not any(tmp_path.iterdir())
