# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels as numbers that mean the same on every node."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from flower_ops.training.data.errors import DataError, several
from flower_ops.training.data.samples import Labels


def numbered(found: Sequence[str], classes: Sequence[str] | None, where: str) -> tuple[Labels, tuple[str, ...]]:
    """Labels as positions in `classes`, and those classes.

    Without given classes, whole numbers from 0 stand for themselves, and other labels are counted in the order of the
    alphabet; then nodes that lack a class count differently, so nodes with data of their own should be given them.
    Raises DataError for labels that are none of the classes.
    """
    if classes is None:
        if all(label.isdecimal() and label.isascii() for label in found):
            labels = np.array([int(label) for label in found], np.int64)
            return labels, tuple(str(number) for number in range(int(labels.max(initial=-1)) + 1))
        classes = sorted(set(found))
    position = {name: number for number, name in enumerate(classes)}
    unknown = sorted(set(found) - set(position))
    if unknown:
        raise DataError(
            f"{where} has labels that are none of the classes {', '.join(classes)}: {several(unknown)};"
            " correct the data or give all classes."
        )
    return np.array([position[label] for label in found], np.int64), tuple(classes)
