# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels as numbers that mean the same on every node."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from flower_ops.training.data.errors import DataError, several
from flower_ops.training.data.samples import Labels

#: A model has an output for each: numbers as great as a date or an account are no classes.
MOST_CLASSES = 100_000


def numbered(found: Sequence[str], classes: Sequence[str] | None, where: str) -> tuple[Labels, tuple[str, ...]]:
    """Labels as positions in `classes`, and those classes.

    Without given classes, whole numbers from 0 stand for themselves, and other labels are counted in the order of the
    alphabet; then nodes that lack a class count differently, so nodes with data of their own should be given them.
    Raises DataError for labels that are none of the classes.
    """
    if classes is None:
        if all(label.isdecimal() and label.isascii() for label in found):
            numbers = [int(label) for label in found]
            if max(numbers, default=0) >= MOST_CLASSES:
                raise DataError(
                    f"{where} has numbers of {MOST_CLASSES} and more for labels, each of which would be a class; number"
                    " the classes from 0, or put the label where it belongs."
                )
            return np.array(numbers, np.int64), tuple(str(number) for number in range(max(numbers, default=-1) + 1))
        classes = sorted(set(found))
    position = {name: number for number, name in enumerate(classes)}
    unknown = sorted(set(found) - set(position))
    if unknown:
        raise DataError(
            f"{where} has labels that are none of the classes {', '.join(classes)}: {several(unknown)};"
            " correct the data or give all classes."
        )
    return np.array([position[label] for label in found], np.int64), tuple(classes)
