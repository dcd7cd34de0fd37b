# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data that needs no network: two real data sets that come with this package, and small texts made by rule."""

from __future__ import annotations

import gzip
from itertools import product
from pathlib import Path

import numpy as np
from flower_ops.training.data.samples import Array, Found, Labels, Row

FILES = Path(__file__).with_name("files")


def digits() -> tuple[Array, Labels]:
    """1,797 handwritten digits: uint8 (1797, 8, 8) from 0 to 16, and which digit. Source: files/README.md."""
    with gzip.open(FILES / "digits.csv.gz", "rt", encoding="ascii") as stream:
        table = np.loadtxt(stream, delimiter=",").astype(np.uint8)
    return table[:, :64].reshape(-1, 8, 8), table[:, 64].astype(np.int64)


def bundled_images(size: tuple[int, int], channels: int) -> Found[Array]:
    """The digits, each pixel drawn as large as the size wants it and as bright as a byte can be."""
    images, labels = digits()
    height, width = size
    rows, columns = np.arange(height) * 8 // height, np.arange(width) * 8 // width
    bright = (images.astype(np.uint16) * 255 // 16).astype(np.uint8)

    def read(indices: Labels) -> Array:
        large = bright[indices][:, rows][:, :, columns]
        return np.repeat(large[..., np.newaxis], channels, axis=3)

    return Found("the bundled handwritten digits", len(labels), read, labels, tuple("0123456789"))


def bundled_table() -> Found[Array]:
    """Fisher's iris flowers. Source: files/README.md."""
    with (FILES / "iris.csv").open(encoding="ascii") as stream:
        classes = tuple(stream.readline().strip().split(",")[2:])
        table = np.loadtxt(stream, delimiter=",")
    features, labels = table[:, :4], table[:, 4].astype(np.int64)
    return Found("the bundled iris flowers", len(labels), lambda indices: features[indices], labels, classes)


NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
WORDS = (
    *("apple", "bridge", "cloud", "desert", "engine", "forest", "garden", "harbour", "island", "journey", "kitchen"),
    *("lantern", "meadow", "needle", "ocean", "pencil", "quarry", "river", "summer", "tower", "umbrella", "village"),
    *("window", "yellow", "zebra"),
)


def texts() -> list[Row]:
    """Instructions with one right answer each, a few hundred, always the same and in the same order."""
    rows = []
    for one, other in product(range(13), repeat=2):
        names = f"{NUMBERS[one]} and {NUMBERS[other]}"
        rows.append(("Add the two numbers.", names, str(one + other)))
        if one != other:
            rows.append(("Which of the two numbers is the greater one?", names, NUMBERS[max(one, other)]))
    for number, word in enumerate(WORDS):
        rows.append(("Write the word backwards.", word, word[::-1]))
        rows.append(("Write the word in capital letters.", word, word.upper()))
        rows.append(("How many letters does the word have?", word, str(len(word))))
        rows.append(("What is the first letter of the word?", word, word[0]))
        listed = [WORDS[(number + step) % len(WORDS)] for step in (11, 3, 7)]
        rows.append(("Sort the words by the alphabet.", ", ".join(listed), ", ".join(sorted(listed))))
    return [{"instruction": what, "input": given, "output": answer} for what, given, answer in rows]


def bundled_instructions() -> Found[list[Row]]:
    """The texts."""
    rows = texts()
    return Found("bundled instructions made by rule", len(rows), lambda indices: [rows[at] for at in indices])
