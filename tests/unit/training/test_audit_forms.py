# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Samples inside of what Flower really makes of records and arrays: a privacy audit knows them in all of it."""

from __future__ import annotations

import io

import numpy as np
import pytest
from flower_ops.audit import forms, prints
from flower_ops.audit.prints import Prints
from flower_ops.audit.scan import Scanner
from flwr.app import ArrayRecord, ConfigRecord, MetricRecord

SALT = bytes(16)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> tuple[np.ndarray, Prints]:
    """Images of 64 pixels from 0 to 16, as demos/sklearn has them."""
    folder = tmp_path_factory.mktemp("data")
    images = np.random.default_rng(5).integers(0, 17, (12, 64)).astype(np.uint8)
    np.savez_compressed(folder / "shard.npz", images=images, labels=np.arange(12) % 10)
    return images, prints.make("node", [folder], SALT, 10**6)


def found(whose: Prints, data: bytes) -> set[int]:
    return {whose.rows[hit.owner] for hit in Scanner([whose], SALT).stream(io.BytesIO(data))}


def test_in_metrics_and_configurations(node: tuple[np.ndarray, Prints]) -> None:
    images, whose = node
    for values in (images[3].tolist(), (images[3] / 16).tolist(), (images[3] / 255).tolist()):
        assert found(whose, MetricRecord({"sample": values}).deflate()) == {3}
    config = ConfigRecord({"bytes": images[4].tobytes(), "text": str(images[5].tolist())})
    assert found(whose, config.deflate()) == {4, 5}


@pytest.mark.parametrize("kind", ["uint8", "int32", "int64", "float32", "float64"])
def test_in_arrays_of_every_kind(node: tuple[np.ndarray, Prints], kind: str) -> None:
    images, whose = node
    beside = [np.zeros(500), images[2:7].astype(kind)]
    if kind.startswith("float"):
        beside.append((images[8:] / 16).astype(kind))
    record = ArrayRecord(beside)
    rows = set().union(*(found(whose, array.data) for array in record.values()))
    assert rows == ({2, 3, 4, 5, 6, 8, 9, 10, 11} if kind.startswith("float") else {2, 3, 4, 5, 6})


def test_a_model_is_no_sample(node: tuple[np.ndarray, Prints]) -> None:
    model = np.random.default_rng(6).normal(size=20000)
    assert not found(node[1], b"".join(array.data for array in ArrayRecord([model, model > 0]).values()))


def test_names_of_forms_are_told_apart() -> None:
    assert len(set(forms.FORMS)) == len(forms.FORMS) < 256
