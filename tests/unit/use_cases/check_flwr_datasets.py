# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real flwr-datasets, as frameworks bring it: it loads, and where nothing can be loaded the bundled data stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from flower_ops.training.data import hub, images
from PIL import Image

COLOURS = {"cat": (255, 0, 0), "dog": (0, 255, 0)}


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HF_DATASETS_CACHE", raising=False)


def test_a_data_set_of_images_is_loaded_and_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder in the place of a name on the hub, which goes the same way but for the network."""
    for split in ("train", "test"):
        for name, colour in COLOURS.items():
            place = tmp_path / "set" / split / name
            place.mkdir(parents=True)
            for number in range(3):
                Image.new("RGB", (8, 6), colour).save(place / f"{number}.png")
    monkeypatch.setattr(hub, "hub_answers", lambda *offline: True)
    found = hub.hub_images(str(tmp_path / "set"), "train", (4, 4), 3)
    assert (found.total, found.classes, found.labels.tolist()) == (6, ("cat", "dog"), [0, 0, 0, 1, 1, 1])
    samples = found.read(np.arange(6))
    assert samples.shape == (6, 4, 4, 3)
    assert samples[0, 0, 0].tolist() == [255, 0, 0] and samples[5, 3, 3].tolist() == [0, 255, 0]


def test_what_the_libraries_cannot_load_offline_is_bundled(tmp_path: Path) -> None:
    # An empty folder of the cache is enough for them to be asked.
    (tmp_path / "home/datasets/uoft-cs___cifar10").mkdir(parents=True)
    assert images(folder=tmp_path / "none").source == "bundled"
