# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder with files of which none is of the kind that is wanted: never passed over in favour of other data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flower_ops.training.data import DataError, images, instructions, table


def put(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("1,a\n2,b\n")
    return folder


@pytest.mark.parametrize("source", ["auto", "own"])
@pytest.mark.parametrize(
    ("load", "names", "told"),
    [
        (images, ["1.png", "2.PNG", "3.jpg"], "files (2 .png, 1 .jpg), but no folders of images: a folder for each cl"),
        (images, ["cat/1.dcm"], "files (1 .dcm), but no folders of images"),
        (images, ["data.csv"], "files (1 .csv), but no folders of images"),
        (
            table,
            ["data.tsv"],
            "files (1 .tsv), but no data.csv: data.csv, or other .csv files, is expected in the fold",
        ),
        (table, ["site/data.csv", "data"], "files (1 .csv, 1 of another kind), but no data.csv"),
        (table, ["train.npz"], "files (1 .npz), but no data.csv"),
        (instructions, ["instructions.json", "x.parquet"], "files (1 .json, 1 .parquet), but no instructions.jsonl"),
    ],
)
def test_files_of_another_kind_are_refused(
    tmp_path: Path, source: str, load: Callable[..., Any], names: list[str], told: str
) -> None:
    with pytest.raises(DataError) as caught:
        load(folder=put(tmp_path, *names), source=source)
    said = str(caught.value)
    assert said.startswith(f"{tmp_path} has {told}")
    assert said.endswith(
        '; put the data there so, or set data-source to "bundled" or "hub" to train on other data on purpose.'
    )
    assert load(folder=tmp_path, source="bundled").source == "bundled"


def test_what_is_said_names_no_file(tmp_path: Path) -> None:
    """The text reaches the SuperLink."""
    put(tmp_path, "Erika.Mustermann", *(f"erika.{kind}" for kind in "tsv json txt xml zip xls".split()))
    with pytest.raises(DataError) as caught:
        table(folder=tmp_path)
    said = str(caught.value).lower()
    assert "erika" not in said and "mustermann" not in said and "2 more" in said


def test_a_folder_without_data_is_an_empty_one(tmp_path: Path) -> None:
    put(tmp_path, "README.md", "LICENSE", "licence.txt", ".hidden", ".cache/data.bin", "lost+found/x", "shard.npz")
    put(tmp_path, "Thumbs.db", "desktop.ini", "$RECYCLE.BIN/x.csv", "System Volume Information/x.csv")
    (tmp_path / "cat").mkdir()
    for load in (images, table, instructions):
        assert load(folder=tmp_path).source == "bundled"


def test_kinds_may_share_a_folder(tmp_path: Path) -> None:
    put(tmp_path, "data.csv", "lost+found/2.npy")
    (tmp_path / "license plates").mkdir()
    np.save(tmp_path / "license plates/1.npy", np.zeros((4, 4, 3), np.uint8))
    np.save(tmp_path / "license plates/2.npy", np.zeros((4, 4, 3), np.uint8))
    assert table(folder=tmp_path, split="all").source == "own"
    assert images(folder=tmp_path, split="all", size=(4, 4)).classes == ("license plates",)


def test_endings_in_capital_letters_and_hidden_files(tmp_path: Path) -> None:
    put(tmp_path, "DATA.CSV")
    (tmp_path / "._data.csv").write_bytes(b"\xff\xfe")
    assert len(table(folder=tmp_path, split="all")) == 2
    (tmp_path / "Instructions.JSONL").write_text('{"instruction": "x"}\n')
    assert len(instructions(folder=tmp_path, split="all")) == 1


@pytest.mark.parametrize("names", [("train", "test"), ("Train",), ("train", "VAL", "validation", "valid")])
def test_parts_of_a_data_set_are_no_classes(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        put(tmp_path, f"{name}/cat/1.npy", f"{name}/dog/1.npy")
    with pytest.raises(DataError, match="has the folders .* would be taken to have these classes; put the folders of"):
        images(folder=tmp_path)


def test_classes_called_like_parts(tmp_path: Path) -> None:
    """A valid or an invalid coin, and images of `test` that lie in its folder itself."""
    for place in ("valid/2024/1.npy", "invalid/2024/1.npy"):
        (tmp_path / "coins" / place).parent.mkdir(parents=True)
        np.save(tmp_path / "coins" / place, np.zeros((4, 4, 3), np.uint8))
    assert images(folder=tmp_path / "coins", split="all", size=(4, 4)).classes == ("invalid", "valid")
    for name in ("test", "train"):
        (tmp_path / "flat" / name).mkdir(parents=True)
        np.save(tmp_path / "flat" / name / "1.npy", np.zeros((4, 4, 3), np.uint8))
    assert images(folder=tmp_path / "flat", split="all", size=(4, 4)).classes == ("test", "train")


def test_links_count_wherever_they_lead(tmp_path: Path) -> None:
    """To a disk that is not mounted, or to a folder that is not gone down."""
    folder, other = tmp_path / "data", put(tmp_path / "other", "lost+found/x", ".hidden", "README")
    folder.mkdir()
    (folder / "data.csv").symlink_to(tmp_path / "disk/data.csv")
    with pytest.raises(DataError, match=r"has files \(1 as a link that leads to no file\), but no data.csv"):
        table(folder=folder)
    (folder / "data.csv").unlink()
    (folder / "site").symlink_to(other)
    assert table(folder=folder).source == "bundled"
    put(other, "data.csv")
    with pytest.raises(DataError, match=r"has files \(1 as a link to a folder\), but no data.csv"):
        table(folder=folder)
    (folder / "site").unlink()
    (folder / "round").symlink_to(folder)
    with pytest.raises(DataError, match="1 as a link to a folder"):
        table(folder=folder)


def test_a_folder_that_is_a_link(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.symlink_to(tmp_path / "disk")
    with pytest.raises(DataError, match="data is a link that leads to no folder; mount or put the data there"):
        table(folder=folder)
    put(tmp_path / "disk", "data.csv")
    assert table(folder=folder, split="all").source == "own"
