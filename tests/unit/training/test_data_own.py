# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator's own data: what is taken, how it is numbered, and what is refused, with all faults at once."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flower_ops.training.data import DataError, Dataset, Share, images, instructions, table


def put(folder: Path, **files: str) -> Path:
    """Text files, by name without the dot."""
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


def rows(data: Dataset[Any]) -> list[Any]:
    return data.samples.tolist() if isinstance(data.samples, np.ndarray) else data.samples


def test_a_table_with_the_label_last(tmp_path: Path) -> None:
    put(tmp_path, data__csv="\ufefflength,width,kind\r\n1,2.5,b\r\n\r\n-3,4e2, a \r\n5,6,b\r\n")
    data = table(folder=tmp_path, split="all")
    assert rows(data) == [[1, 2.5], [-3, 400], [5, 6]]
    assert (data.labels.tolist(), data.classes) == ([1, 0, 1], ("a", "b"))
    assert data.samples.dtype == np.float64 and data.private
    assert str(tmp_path / "data.csv") in data.origin


def test_a_table_without_a_header_and_with_numbers_for_labels(tmp_path: Path) -> None:
    data = table(folder=put(tmp_path, data__csv="1,2,0\n3,4,3\n"), split="all")
    assert (data.labels.tolist(), data.classes) == ([0, 3], ("0", "1", "2", "3"))


def test_nodes_that_lack_a_class_count_like_the_others(tmp_path: Path) -> None:
    data = table(folder=put(tmp_path, data__csv="1,c\n2,b\n"), split="all", classes=["a", "b", "c"])
    assert (data.labels.tolist(), data.classes) == ([2, 1], ("a", "b", "c"))
    with pytest.raises(DataError, match=r"none of the classes a, b: c; correct the data or give all classes\.$"):
        table(folder=tmp_path, split="all", classes=["a", "b"])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "1,2,a\n1,x,a\n,2,b\n",
            "column 2 of line 2 of data.csv is no number; column 1 of line 3 of data.csv is no number; correct",
        ),
        ("1,2,a\n1,nan,a\n1,inf,b", "line 2 of data.csv is no number; column 2 of line 3 of data.csv is no number"),
        ("1,2,a\n1,2,3,a\n", "line 2 of data.csv has 4 columns instead of 3, as the first one has"),
        ("1\n2\n", "line 1 of data.csv has 1 columns instead of at least two"),
        ("", "data.csv has no lines"),
        ("length,kind\n", "data.csv has no lines"),
        ("1,a\n" + "x,a\n" * 9, "and 4 more"),
    ],
)
def test_a_bad_table(tmp_path: Path, text: str, told: str) -> None:
    """Never passed over in favour of other data."""
    with pytest.raises(DataError, match=told):
        table(folder=put(tmp_path, data__csv=text))


def test_what_is_said_of_a_bad_table_quotes_nothing_of_it(tmp_path: Path) -> None:
    """The text reaches the SuperLink."""
    put(tmp_path, data__csv="1,a\n2,b\nErika Mustermann,a\n")
    with pytest.raises(DataError) as caught:
        table(folder=tmp_path)
    assert "Mustermann" not in str(caught.value) and "column 1 of line 3" in str(caught.value)


@pytest.mark.parametrize("form", ["{}.5", "patient-{}", "{}"])
def test_a_last_column_that_is_no_label_is_not_told_as_classes(tmp_path: Path, form: str) -> None:
    put(tmp_path, data__csv="".join(f"1,2,{form.format(1000 + number)}\n" for number in range(30)))
    with pytest.raises(DataError, match="has 30 different values in 30 lines, so it is no label") as caught:
        table(folder=tmp_path)
    # The folder is numbered too.
    assert "1001" not in str(caught.value).replace(str(tmp_path), "")


def test_many_classes_are_fine_where_they_come_again(tmp_path: Path) -> None:
    put(tmp_path, data__csv="".join(f"1,class-{number % 30}\n" for number in range(60)))
    assert len(table(folder=tmp_path, split="all").classes) == 30


def test_numbers_too_great_for_classes(tmp_path: Path) -> None:
    """As many classes as an account number says would fill the memory."""
    put(tmp_path, data__csv="1,20261122\n2,99999999999999999999\n")
    with pytest.raises(DataError, match="numbers of 100000 and more for labels") as caught:
        table(folder=tmp_path)
    assert "2026" not in str(caught.value).replace(str(tmp_path), "")


def test_a_table_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_bytes(b"\xff\xfe1\x00")
    with pytest.raises(DataError, match=r"data.csv is no text in UTF-8 with comma-separated values .*; convert it\.$"):
        table(folder=tmp_path)


def test_own_data_is_not_partitioned_unless_all_nodes_see_it(tmp_path: Path) -> None:
    put(tmp_path, **{f"{name}__csv": f"{number},0\n" * 10 for number, name in enumerate("abcd")})
    mine = table(Share(0, 2, "by-file"), folder=tmp_path, split="all")
    assert len(mine) == 40 and mine.private
    parts = [table(Share(number, 2, "by-file"), folder=tmp_path, split="all", shared=True) for number in range(2)]
    assert [len(part) for part in parts] == [20, 20]
    assert not parts[0].private
    assert not {row[0] for row in rows(parts[0])} & {row[0] for row in rows(parts[1])}


def test_training_and_test_samples_of_own_data_are_different(tmp_path: Path) -> None:
    put(tmp_path, data__csv="".join(f"{number},0\n" for number in range(10)))
    train, test = (table(folder=tmp_path, split=split) for split in ("train", "test"))
    assert (len(train), len(test)) == (8, 2)
    assert sorted(rows(train) + rows(test)) == [[number] for number in range(10)]


def test_instructions(tmp_path: Path) -> None:
    lines = [
        {"instruction": "Do.", "output": "Done \u2028.", "other": 1},
        {"instruction": "Add.", "input": "1", "output": None},
    ]
    put(tmp_path, instructions__jsonl="\n".join(json.dumps(line, ensure_ascii=False) for line in lines) + "\n\n")
    data = instructions(folder=tmp_path, split="all")
    assert data.samples == [
        {"instruction": "Do.", "input": "", "output": "Done \u2028."},
        {"instruction": "Add.", "input": "1", "output": ""},
    ]
    assert data.private and not len(data.labels) and not data.classes


def test_bad_instructions(tmp_path: Path) -> None:
    put(tmp_path, instructions__jsonl='{"instruction": "x"}\n[1]\n{"input": "x"}\n{"instruction": 3}\n{"instr\n')
    with pytest.raises(DataError) as caught:
        instructions(folder=tmp_path)
    told = str(caught.value)
    assert "line 2 of instructions.jsonl is no JSON object; line 3 of instructions.jsonl has no instruction; " in told
    assert (
        "line 4 of instructions.jsonl has an instruction that is no text; line 5 of instructions.jsonl is no JSON"
        in told
    )
    assert told.endswith("; correct them.")


def test_images_as_arrays(tmp_path: Path) -> None:
    for number, name in enumerate(["cat/1.npy", "cat/deep/2.npy", "dog/1.npy", ".hidden/1.npy", "dog/.1.npy"]):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / name, np.full((4, 6) if number == 2 else (4, 6, 3), number, np.uint8))
    (tmp_path / "dog/notes.txt").write_text("x")
    data = images(folder=tmp_path, split="all", size=(4, 6))
    assert data.samples.shape == (3, 4, 6, 3) and data.samples.dtype == np.uint8
    assert data.samples[:, 0, 0, 2].tolist() == [0, 1, 2]
    assert (data.labels.tolist(), data.classes) == ([0, 0, 1], ("cat", "dog"))


def test_images_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    np.save(tmp_path / "cat/1.npy", np.zeros((8, 8, 3), np.uint8))
    np.save(tmp_path / "cat/2.npy", np.zeros((4, 4, 3)))
    np.save(tmp_path / "cat/3.npy", np.array([{}]))
    (tmp_path / "cat/4.npy").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        images(folder=tmp_path, split="all", size=(4, 4))
    told = str(caught.value)
    for number, part in enumerate(
        ["(8, 8, 3) instead of uint8 (4, 4, 3)", "float64 (4, 4, 3) instead", "ValueError", "EOFError"], 1
    ):
        assert f"image {number} of cat" in told and part in told
    assert ".npy" not in told


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_are_decoded_and_resized(tmp_path: Path, channels: int) -> None:
    """By the version of Pillow that nodes have, see lanes/inside.py."""
    from PIL import Image

    for name, colour in {"red": (255, 0, 0), "green": (0, 255, 0)}.items():
        (tmp_path / name).mkdir()
        for suffix in ("PNG", "jpg", "bmp"):
            Image.new("RGB", (20, 10), colour).save(tmp_path / name / f"1.{suffix}")
    (tmp_path / "red/2.gif").write_bytes((tmp_path / "red/1.PNG").read_bytes())
    data = images(folder=tmp_path, split="all", size=(4, 6), channels=channels)
    assert data.samples.shape == (7, 4, 6, channels)
    assert data.classes == ("green", "red")
    if channels == 3:
        assert all(sample[2, 3, 1 - label] > 200 for sample, label in zip(data.samples, data.labels, strict=True))
    (tmp_path / "red/3.png").write_bytes(b"\x89PNG")
    # The pictures of the class are 1.PNG, 1.bmp, 1.jpg, 2.gif and this one.
    with pytest.raises(DataError, match="cannot be read: image 5 of red is damaged") as caught:
        images(folder=tmp_path, split="all")
    assert "3.png" not in str(caught.value)


def test_pictures_where_pillow_is_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat/1.png").write_bytes(b"\x89PNG")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"1 pictures \(.png\), and reading them needs the package Pillow"):
        images(folder=tmp_path)
