# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures as frameworks scale and turn them, and the table of all forms that docs/privacy.md has."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from audit_support import SALT, prints_of, samples
from flower_ops.audit import arrays, control, forms, prints
from flower_ops.audit.control import npy
from flower_ops.audit.prints import Prints
from flower_ops.audit.scan import Scanner

ROOT = Path(__file__).parents[4]
COUNT, SIDE = 6, 8
SIZE = SIDE * SIDE * 3


def found(whose: Prints, data: bytes) -> dict[str, set[int]]:
    """Rows by the names of their forms."""
    rows: dict[str, set[int]] = {}
    for hit in Scanner([whose], SALT).stream(io.BytesIO(b"before" + data + bytes(99))):
        rows.setdefault(forms.FORMS[whose.forms[hit.owner]], set()).add(whose.rows[hit.owner])
    return rows


def narrow(value: float) -> float:
    """Rounded to 32 bits, as every step of a framework's arithmetic is."""
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def to_tensor(value: int) -> float:
    return narrow(value / 255)


def normalize(value: int) -> float:
    """ToTensor, then Normalize((0.5,), (0.5,)): `tensor.sub_(mean).div_(std)` in 32 bits."""
    return narrow(narrow(to_tensor(value) - 0.5) / 0.5)


def dtype_scaled(value: int) -> float:
    """torchvision's newer ToDtype(scale=True) multiplies."""
    return narrow(value * narrow(1 / 255))


def keras(value: int) -> float:
    """x / 127.5 - 1 in 32 bits, as the use cases and keras' applications do."""
    return narrow(narrow(value / 127.5) - 1)


SCALED: dict[str, tuple[str, Callable[[int], float]]] = {
    "32-bit floats, divided by 255": ("f", to_tensor),
    "32-bit floats, times 1/255": ("f", dtype_scaled),
    "64-bit floats, divided by 255": ("d", lambda value: value / 255),
    "64-bit floats, divided by 255 in 32 bits": ("d", to_tensor),
    "32-bit floats, -1 to 1": ("f", normalize),
    "32-bit floats, -1 to 1 by times 1/255": ("f", lambda value: narrow(narrow(dtype_scaled(value) - 0.5) / 0.5)),
    "32-bit floats, -1 to 1 rounded from 64 bits": ("f", lambda value: value / 127.5 - 1),
    "64-bit floats, -1 to 1": ("d", lambda value: value / 127.5 - 1),
    "64-bit floats, -1 to 1 in 32 bits": ("d", normalize),
}


def planes(picture: Sequence[int]) -> list[int]:
    """HWC to CHW, pixel by pixel."""
    return [picture[(y * SIDE + x) * 3 + c] for c in range(3) for y in range(SIDE) for x in range(SIDE)]


def pixels(picture: Sequence[int]) -> list[int]:
    """CHW to HWC."""
    return [picture[c * SIDE * SIDE + y * SIDE + x] for y in range(SIDE) for x in range(SIDE) for c in range(3)]


def as_is(picture: Sequence[int]) -> list[int]:
    return list(picture)


SHAPES = {"many, HWC": (COUNT, SIDE, SIDE, 3), "many, CHW": (COUNT, 3, SIDE, SIDE)}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("moved", [False, True])
def test_pictures_scaled_and_with_colours_moved(shape: str, moved: bool, tmp_path: Path) -> None:
    """In every way that frameworks calculate, each with the bits that it gives."""
    data = samples(5, COUNT, SIZE)
    (tmp_path / "x.npy").write_bytes(npy(data, SHAPES[shape]))
    whose = prints_of(tmp_path)
    assert whose.facts["rows"] == whose.facts["taken"] == COUNT
    turn = (planes if shape.endswith("HWC") else pixels) if moved else as_is
    pictures = [turn(data[number * SIZE : (number + 1) * SIZE]) for number in range(COUNT)]
    suffix = f", {forms.MOVED}" if moved else ""
    for name, (letter, scale) in SCALED.items():
        coded = b"".join(struct.pack(f"<{SIZE}{letter}", *map(scale, picture)) for picture in pictures)
        assert found(whose, coded).get(name + suffix) == set(range(COUNT)), name
    assert found(whose, bytes(value for picture in pictures for value in picture)) == {
        f"the bytes as stored{suffix}": set(range(COUNT))
    }


@pytest.mark.parametrize("shape", [(SIDE, SIDE, 3), (3, SIDE, SIDE)])
def test_one_picture_in_a_file(shape: tuple[int, ...], tmp_path: Path) -> None:
    data = samples(6, 1, SIZE)
    (tmp_path / "x.npy").write_bytes(npy(data, shape))
    whose = prints_of(tmp_path)
    turned = planes(data) if shape[2] == 3 else pixels(data)
    name = f"32-bit floats, -1 to 1, {forms.MOVED}"
    assert found(whose, struct.pack(f"<{SIZE}f", *map(normalize, turned)))[name] == {0}


def test_keras_and_torch_mean_the_same_bits_by_minus_one_to_one() -> None:
    assert [keras(value) for value in range(256)] == [normalize(value) for value in range(256)]
    # The others are forms of their own because they are not.
    assert len({tuple(map(scale, range(256))) for letter, scale in SCALED.values() if letter == "f"}) == 5


def test_numbers_from_0_to_1_and_by_the_greatest_go_to_minus_one_to_one(tmp_path: Path) -> None:
    data = samples(7, 4, 64)
    for folder, letter, values in (
        ("unit", "f4", [narrow(value / 300) for value in data]), ("steps", "i4", [value * 3 for value in data])
    ):  # fmt: skip
        (tmp_path / folder).mkdir()
        header = npy(data, 64)[6:128].replace(b"|u1", f"<{letter}".encode())
        (tmp_path / folder / "x.npy").write_bytes(
            arrays.MAGIC + header + struct.pack(f"<256{letter[0]}", *values)
        )  # fmt: skip
        whose = prints_of(tmp_path / folder)
        high = 1.0 if folder == "unit" else max(values)
        name = "-1 to 1" if folder == "unit" else "-1 to 1 by the greatest"
        for bits, code in ((32, "f"), (64, "d")):
            coded = struct.pack(f"<256{code}", *((value / high - 0.5) / 0.5 for value in values))
            assert set(range(4)) in found(whose, coded).values()
            assert any(name in one for one in found(whose, coded)), bits


def test_an_array_that_is_no_picture_in_colours_has_no_colours_to_move(tmp_path: Path) -> None:
    for number, shape in enumerate([(24, 64), (24, 8, 8), (24, 8, 8, 1), (2, 12, 64), (1536,)]):
        stored = arrays.read(npy(samples(2, 24), shape))
        assert stored is not None and stored.picture == 0, number


def test_pictures_cost_no_more_fingerprints_than_the_limit(tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(npy(samples(8, 200, SIZE), (200, SIDE, SIDE, 3)))
    one = prints.make("n", [tmp_path], SALT, 10**6)
    # 45 forms of 16 windows: a picture in colours costs half as much again as one without.
    assert one.facts["taken"] == 200 and one.total / 200 < 16 * 52
    limited = prints.make("n", [tmp_path], SALT, 40000)
    assert limited.total <= 44000 and limited.facts["taken"] > 40


def table_of_the_docs() -> dict[str, str]:
    """Form and whether it is looked for with colours moved, as docs/privacy.md says."""
    text = (ROOT / "docs/privacy.md").read_text(encoding="utf-8")
    part = text.split("| Form | ")[1].split("\n\n")[0]
    return {row[1]: row[2] for row in re.finditer(r"^\| `([^`]+)` \|.*\| (yes|no) \|$", part, re.MULTILINE)}


def test_the_table_of_the_docs_is_what_the_code_looks_for() -> None:
    table = table_of_the_docs()
    rows = [*table, *(f"{name}, {forms.MOVED}" for name, moved in table.items() if moved == "yes")]
    assert sorted(rows) == sorted(forms.FORMS)


def test_every_form_is_made_and_the_control_plants_it(tmp_path: Path) -> None:
    known = control.Control(SALT, [tmp_path])
    known.plant()
    planted = set(known.planted.values())
    # Of numbers that are stored in 8 bits these are the bytes as stored.
    as_stored = {"8-bit integers", f"8-bit integers, {forms.MOVED}"}
    assert set(forms.FORMS) - planted == as_stored
    known.remove()
    values = [float(value) for value in samples(1, 1, forms.ITEMS)]
    made = {forms.FORMS[one.form] for make in (forms.of_numbers, forms.of_moved) for one in make(values, b"", 8, 255.0)}
    assert as_stored <= made
