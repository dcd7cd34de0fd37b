# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Damaged and foreign files are named and passed over, whatever byte is wrong."""

from __future__ import annotations

import logging
import os
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from checkpoint_support import checkpoint, rewrite, same
from flower_ops.training.checkpoint import CheckpointError, Store


def small(folder: Path) -> Path:
    """A file of one checkpoint, as small as they get."""
    return Store(folder).save(checkpoint(2, arrays=[np.arange(3.0)], state={"t": np.array(2)}, metrics=[], settings={}))


def test_cut_short_at_any_byte(tmp_path: Path) -> None:
    whole = small(tmp_path / "whole").read_bytes()
    store = Store(tmp_path)
    before = checkpoint(1)
    store.save(before)
    place = tmp_path / "checkpoint_round_2.npz"
    for length in range(0, len(whole), 1 if len(whole) < 2000 else 3):
        place.write_bytes(whole[:length])
        assert same(store.latest(), before), length
        assert str(place) in store.passed_over[0], length
    place.write_bytes(whole)
    found = store.latest()
    assert found is not None
    assert found.round == 2


def test_any_wrong_byte_is_seen_or_does_not_matter(tmp_path: Path) -> None:
    """Some bytes of a zip file say nothing of the content, its dates for example."""
    whole = small(tmp_path / "whole").read_bytes()
    store = Store(tmp_path)
    before = checkpoint(1)
    store.save(before)
    place = tmp_path / "checkpoint_round_2.npz"
    place.write_bytes(whole)
    after = store.latest()
    assert after is not None and after.round == 2
    seen = 0
    dice = random.Random(1)
    for offset in range(0, len(whole), 2):
        place.write_bytes(whole[:offset] + bytes([whole[offset] ^ dice.randrange(1, 256)]) + whole[offset + 1 :])
        found = store.latest()
        if store.passed_over:
            assert same(found, before), offset
            seen += 1
        else:
            assert same(found, after), offset
    assert seen > len(whole) // 3


def packed_again(place: Path) -> None:
    with zipfile.ZipFile(place) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def newer(place: Path) -> None:
    with zipfile.ZipFile(place) as archive:
        document = archive.read("checkpoint.json")
    rewrite(place, "checkpoint.json", document.replace(b'"format": 1,', b'"format": 2,'))


def edited(place: Path) -> None:
    content = place.read_bytes()
    place.write_bytes(content.replace(b'"FedAdam"', b'"FedProx"'))


def other_array(place: Path) -> None:
    with zipfile.ZipFile(place, "a") as archive:
        archive.writestr("arr_2.npy", b"")


def pipe(place: Path) -> None:
    place.unlink()
    os.mkfifo(place)


def folder_instead(place: Path) -> None:
    place.unlink()
    place.mkdir()


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda place: place.write_bytes(b""), "cut short"),
    "text": (lambda place: place.write_text("hello"), "no checkpoint"),
    "npz of another program": (lambda place: np.savez(place, w=np.zeros(2)), "no checkpoint of this program"),
    "npz with pickled objects": (lambda place: np.savez(place, w=np.array([{}])), "no checkpoint of this program"),
    "compressed": (packed_again, "packed again"),
    "newer format": (newer, "has the format 2, where 1 is the one known here"),
    "edited": (edited, "damaged"),
    "metadata of another kind": (lambda place: rewrite(place, "checkpoint.json", b"[]"), "damaged"),
    "more members": (other_array, "checksums"),
    "named pipe": (pipe, "is no file"),
    "folder": (folder_instead, "is no file"),
    "link to nothing": (lambda place: (place.unlink(), place.symlink_to("gone")), "is no file"),
    "another round's": (
        lambda place: place.write_bytes(place.with_name("checkpoint_round_1.npz").read_bytes()),
        "round 1",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_bad_file_is_named_and_the_one_before_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    store = Store(tmp_path, keep=2)
    before = checkpoint(1)
    store.save(before)
    place = store.save(checkpoint(2))
    damage, told = DAMAGE[kind]
    damage(place)
    with caplog.at_level(logging.WARNING, "flwr"):
        assert same(store.latest(), before)
    (line,) = store.passed_over
    assert line.startswith(f"{place} is passed over: ") and told in line and line.endswith(".")
    assert line in caplog.messages
    if not place.is_dir():
        after = checkpoint(2)
        store.save(after)
        assert same(store.latest(), after)
        assert not store.passed_over


def test_a_folder_of_damaged_files_has_no_checkpoint(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for number in range(1, 4):
        store.save(checkpoint(number)).write_bytes(b"PK")
    assert store.latest() is None
    assert len(store.passed_over) == 3


def test_foreign_arrays_are_named_and_other_files_left_alone(tmp_path: Path) -> None:
    store = Store(tmp_path, keep=1)
    foreign = [
        tmp_path / name for name in ("model.npz", "checkpoint_round_02.npz", "notes.txt", "checkpoint_round_9.npz.bak")
    ]
    for place in foreign:
        place.write_text("mine")
    (tmp_path / "lost+found").mkdir()
    for number in range(1, 4):
        store.save(checkpoint(number))
    assert store.latest() is not None
    assert [line.split(" is ")[0] for line in store.passed_over] == sorted(map(str, foreign[:2]))
    assert all(place.read_text() == "mine" for place in foreign)


def test_an_unreadable_folder_is_no_empty_one(tmp_path: Path) -> None:
    """To start anew, because nothing could be read, would lose a training."""
    store = Store(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(CheckpointError, match="cannot be read: No such file or directory"):
        store.latest()
