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
from flower_ops.training.data.errors import OwnDataError


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


def test_headers_of_files_must_be_the_same(tmp_path: Path) -> None:
    put(tmp_path, a__csv="age,weight,kind\n1,2,a\n", b__csv="3,4,b\n", c__csv="Age, Weight ,Kind\n5,6,a\n")
    data = table(folder=tmp_path, split="all")
    assert len(data) == 3 and data.columns
    put(tmp_path, b__csv="weight,age,kind\n4,3,b\n")
    with pytest.raises(DataError, match="the header of b.csv is not that of the files before it; correct it"):
        table(folder=tmp_path)


def test_names_of_columns_are_told_apart_and_not_told(tmp_path: Path) -> None:
    def columns(header: str) -> str:
        return table(folder=put(tmp_path, data__csv=f"{header}1,2,a\n3,4,b\n"), split="all").columns

    assert columns("") == "" and "age" not in columns("age,weight,kind\n")
    # The label may be called as it pleases.
    assert columns("age,weight,kind\n") == columns("AGE, weight,class\n") != columns("weight,age,kind\n")


@pytest.mark.parametrize(
    ("text", "classes"), [("0.0 1.0", "0 1"), ("-0 1", "0 1"), ("0.50 -1", "-1 0.5"), ("x 1.", "1 x"), ("-0.0 0", "0")]
)
def test_numbers_for_labels_are_the_same_however_they_are_written(tmp_path: Path, text: str, classes: str) -> None:
    put(tmp_path, data__csv="".join(f"1,{label}\n" for label in text.split()))
    assert table(folder=tmp_path, split="all").classes == tuple(classes.split())


def test_a_glance_counts_all_and_reads_one_of_each_class(tmp_path: Path) -> None:
    for number, name in enumerate(["cat", "cat", "cat", "dog", "dog"]):
        (tmp_path / name).mkdir(exist_ok=True)
        np.save(tmp_path / name / f"{number}.npy", np.full((4, 4, 3), number, np.uint8))
    whole = images(folder=tmp_path, size=(4, 4))
    seen = images(folder=tmp_path, size=(4, 4), few=True)
    assert (seen.total, seen.classes, len(seen)) == (len(whole), whole.classes, 2) and whole.total == len(whole) == 4
    first = [whole.labels.tolist().index(label) for label in (0, 1)]
    assert np.array_equal(seen.samples, whole.samples[first]) and seen.labels.tolist() == [0, 1]
    put(tmp_path, instructions__jsonl='{"instruction": "x"}\n' * 10)
    texts = instructions(folder=tmp_path, few=True)
    assert (len(texts), texts.total) == (1, 8)


def test_a_glance_sees_that_the_test_samples_cannot_be_cut(tmp_path: Path) -> None:
    share = Share(0, 31)
    assert len(table(share, folder=tmp_path)) == 4
    with pytest.raises(DataError, match="30 samples cannot be cut into 31 partitions"):
        table(share, folder=tmp_path, few=True)


@pytest.mark.parametrize("text", ["10 1_0 1e1", "1E5 100000", "7 x 007", "x １ 1", "+1 1 x", ".5 0.5", "9" * 20 + " x"])
def test_labels_that_are_written_otherwise_are_others(tmp_path: Path, text: str) -> None:
    put(tmp_path, data__csv="".join(f"1,{label}\n" for label in text.split()))
    assert table(folder=tmp_path, split="all").classes == tuple(sorted(text.split()))


def test_numbers_for_labels_that_differ_behind_the_point_stay_different(tmp_path: Path) -> None:
    put(tmp_path, data__csv="1,0.10000000000000000001\n2,0.1\n3,9007199254740993.0\n4,9007199254740992\n")
    assert len(table(folder=tmp_path, split="all").classes) == 4


def test_classes_of_an_older_plan_keep_their_places(tmp_path: Path) -> None:
    """They were as the table had them."""
    put(tmp_path, data__csv="1,2.0\n2,1.0\n")
    data = table(folder=tmp_path, split="all", classes=["1.0", "2.0"])
    assert data.labels.tolist() == [1, 0] and len(data.classes) == 2


def test_headers_of_files_may_call_the_label_as_they_please(tmp_path: Path) -> None:
    put(tmp_path, a__csv="age,weight,kind\n1,2,a\n", b__csv="age,weight,class\n3,4,b\n")
    assert len(table(folder=tmp_path, split="all")) == 2


@pytest.mark.parametrize("few", [False, True])
def test_faults_of_own_data_are_told_apart(tmp_path: Path, few: bool) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "dog").mkdir()
    for name in ("cat/1.npy", "dog/1.npy"):
        (tmp_path / name).write_bytes(b"")
    put(tmp_path, data__csv="1,x,a\n2,3,b\n")
    for load in (table, images, instructions):
        with pytest.raises(OwnDataError):
            load(folder=tmp_path, few=few)
    put(tmp_path, data__csv="1,2,a\n")
    with pytest.raises(OwnDataError, match="none to spare for testing"):
        table(folder=tmp_path, few=few)
    # These are none of the folder's.
    for wrong in ({"source": "other"}, {"source": "bundled", "share": Share(0, 200)}):
        with pytest.raises(DataError) as caught:
            table(folder=tmp_path, few=few, **wrong)
        assert not isinstance(caught.value, OwnDataError)
