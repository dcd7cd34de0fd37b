# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data sets of the Hugging Face Hub through flwr-datasets, where that is installed and the hub or its cache answers."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from flower_ops.training.data.classes import numbered
from flower_ops.training.data.errors import UnavailableError
from flower_ops.training.data.limits import within
from flower_ops.training.data.own_instructions import row_of
from flower_ops.training.data.partition import Indices
from flower_ops.training.data.reach import hub_answers
from flower_ops.training.data.samples import Array, Found, Row

#: Seconds for a data set to arrive (CIFAR-10 is 170 MB), and out of the cache.
LOAD_S, CACHE_S = 900.0, 120.0
OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")


def _cached(name: str) -> bool:
    """Whether the cache of the library datasets may have the data set, from the hub: it lies there by its names."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    cache = Path(os.environ.get("HF_DATASETS_CACHE") or Path(home, "datasets")).expanduser()
    return (cache / name.replace("/", "___")).is_dir()


def _fetch(name: str, split: str) -> Any:
    federated = importlib.import_module("flwr_datasets").FederatedDataset
    # Whole and in its own order: it is cut here, as data from elsewhere is, and alike on all nodes.
    return federated(dataset=name, partitioners={split: 1}, shuffle=False).load_split(split)


def load(name: str, split: str, load_s: float = LOAD_S) -> Any:
    """The data set, whose columns are read by name. Raises UnavailableError with the reason."""
    if importlib.util.find_spec("flwr_datasets") is None:
        raise UnavailableError("flwr-datasets is not installed")
    os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
    reachable = hub_answers(*OFFLINE)
    if not reachable:
        if not _cached(name):
            # Importing the libraries, only to hear the same of them, takes seconds and 200 MB of memory.
            raise UnavailableError(f"without the Hugging Face Hub, {name} could not be loaded (it is in no cache here)")
        # Read when the libraries are imported: only their cache is asked then, and no time is lost with retries.
        for variable in OFFLINE:
            os.environ[variable] = "1"
    try:
        return within(load_s if reachable else min(load_s, CACHE_S), lambda: _fetch(name, split))
    except TimeoutError as error:
        raise UnavailableError(f"{name} did not arrive in time ({error})") from None
    # The libraries raise what they please, and whatever it is, the data is not there.
    except Exception as error:
        told = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        if not reachable:
            raise UnavailableError(f"without the Hugging Face Hub, {name} could not be loaded ({told})") from error
        raise UnavailableError(f"{name} could not be loaded ({told})") from error


def _column(data: Any, *names: str) -> str:
    for name in names:
        if name in data.column_names:
            return name
    raise UnavailableError(f"the data set has none of the columns {', '.join(names)}")


def hub_images(name: str, split: str, size: tuple[int, int], channels: int) -> Found[Array]:
    """Images as uint8 (n, height, width, channels); decoded only when they are read. Raises UnavailableError."""
    data = load(name, split)
    image, label = _column(data, "img", "image"), _column(data, "label", "labels")
    classes = tuple(str(one) for one in data.features[label].names)
    height, width = size

    def read(indices: Indices) -> Array:
        images = np.zeros((len(indices), *size, channels), np.uint8)
        for number, picture in enumerate(data.select(indices.tolist())[image]):
            converted = picture.convert("L" if channels == 1 else "RGB")
            if converted.size != (width, height):
                converted = converted.resize((width, height))
            images[number] = np.asarray(converted, np.uint8).reshape(height, width, channels)
        return images

    return Found(name, len(data), read, np.asarray(data[label], np.int64), classes, split=True)


def hub_table(name: str, skip: Sequence[str]) -> Found[Array]:
    """Columns of numbers with the label last, without those to skip. Raises UnavailableError."""
    data = load(name, "train")
    *features, label = [column for column in data.column_names if column not in skip]
    table = np.array([data[column] for column in features], np.float64).T
    labels, classes = numbered([str(one) for one in data[label]], None, name)
    return Found(name, len(table), lambda indices: table[indices], labels, classes)


def hub_instructions(name: str) -> Found[list[Row]]:
    """Rows of instruction, input and output. Raises UnavailableError."""
    data = load(name, "train")
    _column(data, "instruction")
    return Found(name, len(data), lambda indices: [row_of(row) for row in data.select(indices.tolist())])
