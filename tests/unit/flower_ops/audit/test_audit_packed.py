# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is packed is found however much lies before it, in files, in rows of a database and in its log."""

from __future__ import annotations

import gzip
import io
import os
import random
import shutil
import sqlite3
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from audit_support import LINK, NODE, SALT, node_with, rows_found, tcp
from flower_ops.audit import pcap, wire
from flower_ops.audit.control import Control
from flower_ops.audit.packets import IPV4
from flower_ops.audit.pages import Pages
from flower_ops.audit.prints import Prints
from flower_ops.audit.scan import BLOCK, Flow, Scanner
from flower_ops.audit.unpack import HELD, LIVE, OVERLAP, TAKEN, Packed

COLUMNS = 64
EVERY = set(range(20))


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Prints]:
    return node_with(tmp_path_factory.mktemp("node"), 1, "node-1")


def in_file(whose: Prints, path: Path) -> set[int]:
    with path.open("rb") as stream:
        return {whose.rows[hit.owner] for hit in Scanner([whose], SALT).file(stream)}


def wide(data: bytes) -> bytes:
    """As numbers of 64 bits, which get smaller: what does not lies in a packed stream as it is."""
    return struct.pack(f"<{len(data)}d", *data)


def archive(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as stream:
        stream.writestr("arr_0.npy", data)
    return buffer.getvalue()


PACKERS: dict[str, Callable[[bytes], bytes]] = {"zlib": zlib.compress, "gzip": gzip.compress, "zip": archive}


@pytest.mark.parametrize("before", [20_000, 80_000, 3 * BLOCK + 5])
@pytest.mark.parametrize("packer", PACKERS)
def test_samples_are_found_behind_a_model_in_a_packed_stream(
    node: tuple[bytes, Prints], packer: str, before: int, tmp_path: Path
) -> None:
    """Random bytes do not get smaller, so the samples lie as far behind the beginning."""
    data, whose = node
    model = random.Random(2).randbytes(before - before % COLUMNS)
    for at in (0, 3, BLOCK - 5):
        path = tmp_path / "file"
        path.write_bytes(bytes(at) + PACKERS[packer](model + wide(data) + model[:999]) + b"after")
        assert in_file(whose, path) == EVERY, at


def test_a_packed_stream_that_is_cut_gives_what_is_there(node: tuple[bytes, Prints]) -> None:
    data, whose = node
    packed = zlib.compress(random.Random(3).randbytes(90_000) + wide(data) + os.urandom(90_000))
    # All but a little of what was packed before it is cut; then bytes of something else, or nothing.
    assert rows_found(whose, packed[: len(packed) - 89_000]) >= EVERY - {19}
    assert rows_found(whose, packed[: len(packed) - 89_000] + os.urandom(5000)) >= EVERY - {19}


def test_a_stream_that_breaks_after_much_of_the_same_takes_no_time(node: tuple[bytes, Prints]) -> None:
    data, whose = node
    packed = zlib.compress(wide(data) + bytes(60 * TAKEN))
    assert rows_found(whose, packed[:50_000] + os.urandom(90_000)) == EVERY


def test_of_a_bomb_no_more_is_unpacked_than_there_is_room() -> None:
    bomb = zlib.compress(bytes(50 * TAKEN))
    packed = Packed(5 * TAKEN)
    out = sum(len(block) for _at, block in [*packed.begin(bomb, 0, len(bomb)), *packed.end()])
    assert 3 * TAKEN < out < 6 * TAKEN
    assert not list(packed.begin(bomb, 0, len(bomb)))


#: Streams that go on for 130 kB and begin every seven bytes; and such that never give anything.
NESTED, EMPTY = b"\x78\x01\x00\xff\xff\x00\x00", b"\x78\x01" + b"\x00\x00\x00\xff\xff" * 9
MEMBERS = b"PK\x03\x04" + b"\x00\x00\x00\x00\x08\x00" + b"\xff" * 20


@pytest.mark.parametrize("many", [NESTED * 6000, EMPTY + NESTED * 3000, MEMBERS * 2000])
def test_streams_that_begin_all_over_hold_little(many: bytes) -> None:
    """Nothing of what zlib, the streams and their blocks hold is left out."""
    packed = Packed(1 << 28)
    tracemalloc.start()
    try:
        for turn in range(2):
            list(packed.go_on(many[:3000]))
            list(packed.begin(many, turn * len(many), len(many) - 3000))
        held, _peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < LIVE * (HELD + (1 << 17))


def test_room_is_taken_by_what_comes_out_although_nothing_was_looked_at_yet() -> None:
    packed = Packed(1 << 20)
    stream = zlib.compress(random.Random(5).randbytes(40_000))[:30_000]
    assert not list(packed.begin(stream, 0, 1))
    assert (1 << 20) - 31_000 < packed.room < (1 << 20) - 29_000
    # And by what only goes in.
    before, empty = packed.room, EMPTY[:2] + EMPTY[2:] * 1000
    assert not list(packed.begin(empty, 0, 1))
    assert before - packed.room == len(empty)
    (_cut,) = packed.end()


def test_what_came_out_before_the_room_was_full_is_looked_at() -> None:
    packed = Packed(50_000)
    streams = [zlib.compress(random.Random(seed).randbytes(40_000))[:30_000] for seed in (1, 2)]
    out = [block for stream in streams for _at, block in packed.begin(stream, 0, 1)]
    out += [block for _at, block in packed.go_on(b"x" * 10_000)]
    assert packed.room <= 0 and [len(block) // 1000 for block in out] == [29, 29]


def test_samples_are_found_among_streams_that_never_end(node: tuple[bytes, Prints], tmp_path: Path) -> None:
    """Fewer than may go on at once before the end of the samples, and any number before they begin."""
    data, whose = node
    path = tmp_path / "file"
    behind = zlib.compress(random.Random(2).randbytes(100_032) + wide(data))
    for before, after in ((NESTED * 100, b""), (b"", NESTED * 100), (NESTED * 40, NESTED * 20)):
        path.write_bytes(before + behind + after)
        assert in_file(whose, path) == EVERY


def test_blocks_that_come_out_overlap_so_that_no_sample_is_cut() -> None:
    data = random.Random(4).randbytes(3 * TAKEN)
    packed = Packed(10 * TAKEN)
    content = zlib.compress(data)
    half = len(content) // 2
    blocks = [block for _at, block in packed.begin(content[:half], 0, half)]
    blocks += [block for _at, block in packed.go_on(content[half:])]
    assert blocks[0] + b"".join(block[OVERLAP:] for block in blocks[1:]) == data
    assert all(one[-OVERLAP:] == other[:OVERLAP] for one, other in zip(blocks, blocks[1:], strict=False))


def database(path: Path, rows: list[bytes], page: int = 4096, more: str = "") -> sqlite3.Connection:
    base = sqlite3.connect(path)
    base.execute(f"PRAGMA page_size = {page}")
    base.execute("PRAGMA journal_mode = WAL")
    base.execute(f"CREATE TABLE objects (id TEXT PRIMARY KEY, content BLOB){more}")
    for number, row in enumerate(rows):
        base.execute("INSERT INTO objects VALUES (?, ?)", (f"object {number}", row))
        base.commit()
    return base


@pytest.mark.parametrize("page", [512, 4096, 65536])
@pytest.mark.parametrize("more", ["", " WITHOUT ROWID"])
def test_packed_rows_of_a_database(node: tuple[bytes, Prints], page: int, more: str, tmp_path: Path) -> None:
    data, whose = node
    chance = random.Random(6)
    # As Flower stores it: the packed array among other bytes of a message.
    message = b"\x0a\x05arr_0\x12" + archive(chance.randbytes(80_000 // COLUMNS * COLUMNS) + wide(data)) + b"\x03"
    rows = [chance.randbytes(chance.randrange(9000)) for _row in range(20)]
    path = tmp_path / "state.db"
    database(path, [*rows, message, *rows], page, more).close()
    assert in_file(whose, path) == EVERY


def test_a_packed_row_that_was_deleted_is_found_in_the_log(node: tuple[bytes, Prints], tmp_path: Path) -> None:
    """The log has each page several times, and the room of the row is taken by others at once."""
    data, whose = node
    chance = random.Random(7)
    leaked = zlib.compress(chance.randbytes(80_000) + wide(data))
    path, log = tmp_path / "state.db", tmp_path / "kept"
    base = database(path, [chance.randbytes(30_000), leaked])
    for number in range(5):
        base.execute("DELETE FROM objects")
        base.execute("INSERT INTO objects VALUES (?, ?)", (f"later {number}", chance.randbytes(100_000)))
        base.commit()
    shutil.copy(tmp_path / "state.db-wal", log)
    base.close()
    assert in_file(whose, log) == EVERY


def test_no_sample_is_cut_by_a_page(node: tuple[bytes, Prints], tmp_path: Path) -> None:
    data, whose = node
    for before in range(0, 4096, 512):
        path = tmp_path / f"{before}.db"
        database(path, [os.urandom(before) + wide(data)]).close()
        assert in_file(whose, path) == EVERY


def test_a_database_that_is_damaged_ends_the_search_of_no_file(node: tuple[bytes, Prints], tmp_path: Path) -> None:
    data, whose = node
    path = tmp_path / "state.db"
    database(path, [os.urandom(50_000) for _row in range(9)]).close()
    content = path.read_bytes()
    chance = random.Random(8)
    for turn in range(60):
        broken = bytearray(content)
        for _byte in range(400):
            at = 4096 * chance.randrange(len(content) // 4096) + chance.choice([0, 3, 7, 8, 9, chance.randrange(4096)])
            broken[max(16, at)] = chance.randrange(20)
        path.write_bytes(bytes(broken[: chance.randrange(100, len(broken))] if turn % 3 == 0 else broken) + data)
        assert in_file(whose, path)


def test_a_row_that_goes_round_in_a_circle_ends() -> None:
    page = bytearray(4096)
    page[:16] = b"SQLite format 3\0"
    struct.pack_into(">H", page, 16, 4096)
    leaf, circle = bytearray(4096), bytearray(4096)
    # A row of 2**40 bytes, which goes on at page 3, which goes on at itself.
    struct.pack_into(">BHHHB", leaf, 0, 0x0D, 0, 1, 100, 0)
    struct.pack_into(">H", leaf, 8, 100)
    leaf[100:108] = bytes([0xA0, 0x80, 0x80, 0x80, 0x80, 0x00, 1, 0])
    least = (4096 - 12) * 32 // 255 - 23
    local = least + (2**40 - least) % 4092
    struct.pack_into(">I", leaf, 107 + (local if local <= 4096 - 35 else least), 3)
    struct.pack_into(">I", circle, 0, 3)
    found = Pages.of(io.BytesIO(bytes(page + leaf + circle)), bytes(page[:16]))
    assert found is not None
    (row,) = found.rows()
    assert [len(part) for part in row.parts][1:] == [4092]


def test_a_long_packed_stream_that_leaves_in_plain(node: tuple[bytes, Prints], tmp_path: Path) -> None:
    data, whose = node
    packed = zlib.compress(random.Random(9).randbytes(700_000) + wide(data))
    ring = pcap.Ring(tmp_path, 1 << 22)
    for at in range(0, len(packed), 1400):
        segment = tcp(NODE, 5000, LINK, 80, packed[at : at + 1400], at)
        ring.add(True, IPV4, segment, len(segment))
    ring.close()
    (row,) = wire.search(tmp_path, whose, SALT)
    assert row["samples"] == len(EVERY)


def test_what_the_control_packs_is_found_by_unpacking_alone(tmp_path: Path) -> None:
    control = Control(SALT, [tmp_path])
    control.plant()
    packed = [path for path, what in control.planted.items() if "pack" in what or "archive" in what]
    assert len(packed) == 6
    for path in packed:
        assert not list(Flow(Scanner([control.prints], SALT)).feed(Path(path).read_bytes())), control.planted[path]
        assert in_file(control.prints, Path(path)), control.planted[path]
    control.remove()
