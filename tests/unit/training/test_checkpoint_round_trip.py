# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is saved is what is read: any array, any state, any metrics."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from checkpoint_support import checkpoint, rewrite, same
from flower_ops.training.checkpoint import Checkpoint, CheckpointError, Store
from flower_ops.training.checkpoint.values import MARK
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

DTYPES = st.one_of(
    arrays_of.scalar_dtypes(),
    arrays_of.array_dtypes(arrays_of.scalar_dtypes(), max_size=3),
)
ARRAYS = arrays_of.arrays(DTYPES, arrays_of.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
TEXT = st.text(max_size=9)
# The one name that is reserved, which Hypothesis finds in the source.
NAME = TEXT.filter(lambda text: text != MARK)
NUMBERS = st.one_of(st.integers(), st.floats(), st.booleans())
STATE = st.dictionaries(TEXT, st.one_of(ARRAYS, st.lists(ARRAYS, max_size=3), NUMBERS, TEXT), max_size=4)
PLAIN = st.recursive(
    st.one_of(st.none(), NUMBERS, TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAME, inner, max_size=3)),
    max_leaves=6,
)
CHECKPOINTS = st.builds(
    Checkpoint,
    round=st.integers(1, 10**12),
    arrays=st.lists(ARRAYS, max_size=12),
    state=STATE,
    metrics=st.lists(st.dictionaries(NAME, PLAIN, max_size=3), max_size=3),
    run=TEXT,
    strategy=TEXT,
    settings=st.dictionaries(NAME, PLAIN, max_size=3),
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(CHECKPOINTS)
def test_any_checkpoint_comes_back_as_it_was(given_one: Checkpoint) -> None:
    with TemporaryDirectory() as folder:
        store = Store(Path(folder))
        store.save(given_one)
        found = store.latest()
        assert same(found, given_one), (found, given_one)
        assert not store.passed_over


@pytest.mark.parametrize(
    "array",
    [
        np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        np.arange(24).reshape(4, 6)[::2, ::-3],
        np.broadcast_to(np.float16(2), (3, 2)),
        np.arange(3, dtype=">f4"),
        np.array(["2024-02-29", "NaT"], dtype="M8[D]"),
        np.array([(1, [2.0, 3.0])], dtype=[("a", "i4"), ("b", "f8", 2)]),
        np.zeros((0, 3), np.int8),
        np.zeros(2, "S0"),
        np.array(7, np.uint64),
        np.arange(1 << 20, dtype=np.float32),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_arrays_of_unusual_layout(tmp_path: Path, array: Any) -> None:
    store = Store(tmp_path)
    store.save(checkpoint(1, arrays=[array]))
    found = store.latest()
    assert found is not None
    assert same(found.arrays[0], np.asarray(array).copy(order="K"))


def test_more_than_ten_arrays_keep_their_order(tmp_path: Path) -> None:
    """Sorted as text, arr_10 would come before arr_2."""
    store = Store(tmp_path)
    store.save(
        checkpoint(1, arrays=[np.array(number) for number in range(25)], state={"m": [np.array(i) for i in range(12)]})
    )
    found = store.latest()
    assert found is not None
    assert [int(array) for array in found.arrays] == list(range(25))
    moments = found.state["m"]
    assert isinstance(moments, list)
    assert [int(array) for array in moments] == list(range(12))


def test_scalars_that_numpy_makes_of_arrays_without_dimensions(tmp_path: Path) -> None:
    store = Store(tmp_path)
    averaged: Any = np.array(3.0, np.float32) / np.float32(2)
    metrics = [{"loss": np.float32("nan"), "examples": np.int64(3), "best": (1, 2)}]
    store.save(
        checkpoint(1, arrays=[averaged], state={"step": np.int64(4)}, metrics=metrics, settings={"out": Path("/x")})
    )
    found = store.latest()
    assert found is not None
    assert same(found.arrays, [np.array(1.5, np.float32)])
    assert same(found.state, {"step": 4})
    assert same(found.metrics, [{"loss": float("nan"), "examples": 3, "best": [1, 2]}])
    assert found.settings == {"out": "/x"}


def test_numpy_and_sha256sum_read_the_file_too(tmp_path: Path) -> None:
    place = Store(tmp_path / "kept").save(checkpoint(3))
    with np.load(place, allow_pickle=False) as loaded:
        assert [float(loaded[f"arr_{number}"].max()) for number in range(2)] == [3.0, 3.0]
    with zipfile.ZipFile(place) as archive:
        archive.extractall(tmp_path / "out")
        members = archive.namelist()
        document = json.loads(archive.read("checkpoint.json"))
    assert (document["round"], document["strategy"], document["shapes"]) == (3, "FedAdam", [[3], []])
    sums = shutil.which("sha256sum")
    assert sums
    checked = subprocess.run(
        [sums, "-c", "SHA256SUMS"], cwd=tmp_path / "out", capture_output=True, text=True, check=True
    )
    assert checked.stdout.count(": OK\n") == len(members) - 1


def test_all_that_cannot_be_stored_is_named_at_once(tmp_path: Path) -> None:
    loop: list[Any] = []
    loop.append(loop)
    wrong = checkpoint(
        0,
        arrays=[np.array([{}]), [1.0], np.array("ab", dtype=object)],
        state={"moment": {1, 2}, "list": [np.zeros(1), "x"]},
        metrics=[{"raw": b"x"}],
        settings={"loop": loop},
        run=7,
    )
    with pytest.raises(CheckpointError) as caught:
        Store(tmp_path).save(wrong)
    told = str(caught.value)
    for part in (
        "round is 0",
        "run is of the type int",
        "array 0",
        "array 1",
        "array 2",
        "pickle",
        "'moment'",
        "array 1 of 'list'",
    ):
        assert part in told
    assert "the settings hold themselves" in told and "the metrics hold a value of the type bytes" in told
    assert "\n" not in told
    assert not list(tmp_path.glob("*"))


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    """A file whose checksums hold but whose array is pickled Python is refused, not run."""
    place = Store(tmp_path).save(checkpoint(1))
    pickled = io.BytesIO()
    np.lib.format.write_array(pickled, np.array([print], dtype=object), allow_pickle=True)
    rewrite(place, "arr_0.npy", pickled.getvalue())
    store = Store(tmp_path)
    assert store.latest() is None
    assert "is damaged (Object arrays cannot be loaded" in store.passed_over[0]
