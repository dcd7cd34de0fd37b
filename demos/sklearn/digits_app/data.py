# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images (n, pixels) from 0 to 1 with their labels (n,): shards of digits from a file, or larger images in colour."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from flower_ops.training.data import Choice, Share, check_outputs, images

from digits_app.model import CLASSES, Array

DARKEST = 16.0


def digits(path: str) -> tuple[Array, Array]:
    """What make_shards.py wrote, float64 (n, 64)."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"no digits at {path}: make them with make_shards.py and put the file there")
    with np.load(path, allow_pickle=False) as content:
        return content["images"].astype(np.float64) / DARKEST, content["labels"].astype(np.int64)


def coloured(choice: Choice, share: Share, split: str) -> tuple[Array, Array, str]:
    """CIFAR-10 where it can be had, else the digits drawn large, float32 (n, 3072); and which source that was."""
    found = images(share, split, choice.folder, choice.source, choice.shared)
    check_outputs(found.private, found.classes, CLASSES)
    pixels = found.samples.reshape(len(found), -1).astype(np.float32) / np.float32(255)
    return pixels, found.labels, found.source
