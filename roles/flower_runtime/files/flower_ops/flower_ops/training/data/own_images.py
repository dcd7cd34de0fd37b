# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator's own images: a folder per class."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from flower_ops.training.data.classes import numbered
from flower_ops.training.data.errors import DataError, several
from flower_ops.training.data.lying import no_folder
from flower_ops.training.data.partition import Indices
from flower_ops.training.data.samples import Array, Found

#: Read by Pillow, which nodes of the frameworks pytorch and tensorflow have; arrays need nothing.
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm")
ARRAYS = (".npy",)
#: Folders that are no classes but parts of a data set, when all are called so and have the classes' folders in them.
PARTS_OF = {"train", "test", "val", "valid", "validation"}


class _UnlikeError(Exception):
    """An array of another form; the text says which."""


def find_images(
    folder: Path, size: tuple[int, int], channels: int, classes: Sequence[str] | None
) -> Found[Array] | None:
    """Images below `folder/<class>/`, as uint8 (n, height, width, channels); None when there are none.

    Raises DataError for what cannot be used.
    """
    named: list[tuple[str, Path]] = []
    for place in sorted(folder.iterdir()):
        if place.is_dir() and not no_folder(place.name):
            named += [(place.name, file) for file in _files(place) if file.suffix.lower() in (*PICTURES, *ARRAYS)]
    if not named:
        return None
    tops = {name for name, file in named}
    deep = any(len(file.relative_to(folder).parts) > 2 for name, file in named)
    if deep and {name.lower() for name in tops} <= PARTS_OF:
        raise DataError(
            f"{folder} has the folders {', '.join(sorted(tops))} with folders in them, and would be taken to have these"
            " classes; put the folders of the classes there instead (a part of their images is held back for testing)."
        )
    pictures = [file for name, file in named if file.suffix.lower() in PICTURES]
    if pictures and importlib.util.find_spec("PIL") is None:
        raise DataError(
            f"{folder} has {len(pictures)} pictures ({pictures[0].suffix}), and reading them needs the package Pillow,"
            " which is not installed; install it or store them as .npy."
        )
    labels, known = numbered([name for name, file in named], classes, str(folder))
    files = [file for name, file in named]

    def read(indices: Indices) -> Array:
        images = np.zeros((len(indices), *size, channels), np.uint8)
        faults = []
        for number, index in enumerate(indices):
            try:
                images[number] = _image(files[index], size, channels)
            except _UnlikeError as error:
                faults.append(f"{_place(named, int(index))} is {error}")
            # Decoders raise many kinds for damaged files, and tell the file's name.
            except Exception as error:
                faults.append(f"{_place(named, int(index))} is damaged ({type(error).__name__})")
        if faults:
            raise DataError(
                f"Images in {folder} cannot be read: {several(faults)}; repair or remove them (images of a class count"
                " from 1 in the order of their paths)."
            )
        return images

    texts = tuple(str(file.relative_to(folder)) for file in files)
    return Found(f"own images in {folder}", len(files), read, labels, known, texts)


def _files(place: Path) -> list[Path]:
    """Below a folder, in one order on all machines. Raises OSError for a folder that cannot be read."""

    def fail(error: OSError) -> None:
        raise error

    found = [Path(at, name) for at, folders, names in os.walk(place, onerror=fail) for name in names]
    return sorted(file for file in found if file.is_file() and not file.name.startswith("."))


def _place(named: Sequence[tuple[str, Path]], index: int) -> str:
    """An image by its number within its class, for the text leaves the node and the file's name may tell a person's."""
    name = named[index][0]
    return f"image {sum(one == name for one, file in named[: index + 1])} of {name}"


def _image(file: Path, size: tuple[int, int], channels: int) -> Array:
    if file.suffix.lower() in ARRAYS:
        image: Array = np.load(file, allow_pickle=False)
        image = image[..., np.newaxis] if image.ndim == 2 else image
        if image.dtype != np.uint8 or image.shape[:2] != size or image.shape[2:] not in ((1,), (channels,)):
            raise _UnlikeError(f"{image.dtype} {image.shape} instead of uint8 {(*size, channels)}")
        return image
    with importlib.import_module("PIL.Image").open(file) as opened:
        height, width = size
        picture = opened.convert("L" if channels == 1 else "RGB").resize((width, height))
    return np.asarray(picture, np.uint8).reshape(height, width, channels)
