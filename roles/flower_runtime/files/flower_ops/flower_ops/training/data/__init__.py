# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data for training: own, published or bundled, and cut into partitions. Only NumPy; no framework is imported."""

from __future__ import annotations

from flower_ops.training.data.choice import Choice
from flower_ops.training.data.classes import check_outputs
from flower_ops.training.data.errors import DataError
from flower_ops.training.data.load import images, instructions, table
from flower_ops.training.data.partition import by_file, by_label, dirichlet, iid
from flower_ops.training.data.samples import Dataset
from flower_ops.training.data.share import SCHEMES, Share

__all__ = [
    "SCHEMES",
    "Choice",
    "DataError",
    "Dataset",
    "Share",
    "by_file",
    "by_label",
    "check_outputs",
    "dirichlet",
    "iid",
    "images",
    "instructions",
    "table",
]
