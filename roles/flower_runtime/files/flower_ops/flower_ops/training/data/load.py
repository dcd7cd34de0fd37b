# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data for the three kinds of use case, each from the first source that has any."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flower_ops.training.data.bundled import bundled_images, bundled_instructions, bundled_table
from flower_ops.training.data.hub import hub_images, hub_instructions, hub_table
from flower_ops.training.data.own_images import find_images
from flower_ops.training.data.own_instructions import find_instructions
from flower_ops.training.data.own_table import find_table
from flower_ops.training.data.samples import Array, Dataset, Row
from flower_ops.training.data.share import Share
from flower_ops.training.data.sources import first, own_data

#: Where the role puts the operator's own data.
FOLDER = Path("/opt/flower/data")
WHOLE = Share()
#: How own data must lie in that folder.
IMAGES = "a folder for each class with images in it (such as .png, .jpg or .npy) is expected"
TABLE = "data.csv, or other .csv files, is expected in the folder itself, comma-separated, with the label last"
INSTRUCTIONS = "instructions.jsonl, or other .jsonl files, is expected in the folder itself, a JSON object a line"

# Of all three: own data is this node's alone and not partitioned, unless `shared` says that all nodes see the same
# folder, as they do in a simulation. `split` is train, test, or all: for training, with what would be held back of data
# without a test set of its own. `source` is auto, own, hub or bundled. They raise DataError.


def images(
    share: Share = WHOLE,
    split: str = "train",
    folder: Path = FOLDER,
    source: str = "auto",
    shared: bool = False,
    size: tuple[int, int] = (32, 32),
    channels: int = 3,
    classes: Sequence[str] | None = None,
    name: str = "uoft-cs/cifar10",
    few: bool = False,
) -> Dataset[Array]:
    """Images with labels: uint8 (n, height, width, channels), `size` being (height, width).

    `classes` names all classes in their order, for nodes whose own data has only some of them. `few`: see first().
    """
    return first(
        lambda: own_data(
            lambda place: find_images(place, size, channels, classes), "folders of images", IMAGES, folder, shared
        ),
        lambda: hub_images(name, "test" if split == "test" else "train", size, channels),
        lambda: bundled_images(size, channels),
        source,
        split,
        share,
        few,
    )


def table(
    share: Share = WHOLE,
    split: str = "train",
    folder: Path = FOLDER,
    source: str = "auto",
    shared: bool = False,
    classes: Sequence[str] | None = None,
    name: str = "scikit-learn/iris",
    skip: Sequence[str] = ("Id",),
    few: bool = False,
) -> Dataset[Array]:
    """Numbers with a label: float64 (n, features).

    `classes` names all classes in their order, for nodes whose own data has only some of them. `skip` names columns of
    the published data set that are no features: a number that counts its lines gives the label away.
    """
    return first(
        lambda: own_data(lambda place: find_table(place, classes), "data.csv", TABLE, folder, shared),
        lambda: hub_table(name, skip),
        bundled_table,
        source,
        split,
        share,
        few,
    )


def instructions(
    share: Share = WHOLE,
    split: str = "train",
    folder: Path = FOLDER,
    source: str = "auto",
    shared: bool = False,
    name: str = "vicgalle/alpaca-gpt4",
    few: bool = False,
) -> Dataset[list[Row]]:
    """Instructions for a language model: rows of `instruction`, `input` and `output`, without labels."""
    return first(
        lambda: own_data(find_instructions, "instructions.jsonl", INSTRUCTIONS, folder, shared),
        lambda: hub_instructions(name),
        bundled_instructions,
        source,
        split,
        share,
        few,
    )
