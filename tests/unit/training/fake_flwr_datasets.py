# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""As much of flwr-datasets as is used, because its data sets cannot be had without a network."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import numpy as np


class Data:
    """Columns, as a datasets.Dataset has them."""

    def __init__(self, columns: dict[str, list[Any]], classes: tuple[str, ...] = ()) -> None:
        self.columns, self.column_names = columns, list(columns)
        self.features = {"label": type("ClassLabel", (), {"names": list(classes)})}

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, name: str) -> list[Any]:
        return self.columns[name]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (dict(zip(self.columns, row, strict=True)) for row in zip(*self.columns.values(), strict=True))

    def select(self, indices: list[int]) -> Data:
        """Some of the rows."""
        return Data({name: [values[at] for at in indices] for name, values in self.columns.items()})


class Picture:
    """An image of Pillow, two by two pixels of one value."""

    def __init__(self, value: int) -> None:
        self.value, self.size = value, (2, 2)

    def convert(self, mode: str) -> Picture:
        """Its colours are what is wanted."""
        assert mode == "RGB"
        return self

    def resize(self, size: tuple[int, int]) -> Picture:
        """As large as is wanted."""
        self.size = size
        return self

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.full((*self.size, 3), self.value, np.uint8)


CIFAR = {
    "train": {"img": [Picture(number) for number in range(20)], "label": [number % 2 for number in range(20)]},
    "test": {"img": [Picture(9)], "label": [1]},
}
IRIS = {
    "Id": list(range(10)),
    "Length": [number / 2 for number in range(10)],
    "Width": [1] * 10,
    "Species": ["Iris-b", "Iris-a"] * 5,
}
ALPACA = {
    "instruction": [f"Do {number}." for number in range(10)],
    "input": [""] * 10,
    "output": ["x"] * 10,
    "text": ["y"] * 10,
}


class FederatedDataset:
    """FAKE_HANGS, FAKE_FAILS and FAKE_CACHE in the environment say how it behaves."""

    def __init__(self, *, dataset: str, partitioners: dict[str, int], shuffle: bool) -> None:
        assert partitioners in ({"train": 1}, {"test": 1}) and shuffle is False
        self.dataset = dataset

    def load_split(self, split: str) -> Data:
        """The data set."""
        if os.environ.get("FAKE_HANGS"):
            time.sleep(60)
        if os.environ.get("HF_HUB_OFFLINE") == "1" and not os.environ.get("FAKE_CACHE"):
            raise ConnectionError("offline mode is enabled")
        if os.environ.get("FAKE_FAILS"):
            raise ValueError("no such data set\nand more")
        return {
            "uoft-cs/cifar10": Data(CIFAR[split], ("cat", "dog")),
            "scikit-learn/iris": Data(IRIS),
            "vicgalle/alpaca-gpt4": Data(ALPACA),
        }[self.dataset]
