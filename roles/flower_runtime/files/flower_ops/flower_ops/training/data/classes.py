# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels as numbers that mean the same on every node."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from flower_ops.training.data.errors import DataError, several
from flower_ops.training.data.samples import Labels

#: A model has an output for each: numbers as great as a date or an account are no classes.
MOST_CLASSES = 100_000
#: A number as people and programs write it for a class; what is written in another way may well be another name.
PLAIN = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.([0-9]*))?")


def label_of(cell: str) -> str:
    """A label of a table as all nodes write it: one with 1.0 where others have 1 has no other classes."""
    found = PLAIN.fullmatch(cell)
    if not found:
        return cell
    # As text: floating-point numbers would make one of two that differ far behind the point.
    sign, whole, fraction = found[1], found[2], (found[3] or "").rstrip("0")
    number = f"{whole}.{fraction}" if fraction else whole
    return number if number == "0" else f"{sign}{number}"


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


def check_outputs(private: bool, classes: Sequence[str], outputs: int) -> None:
    """Raise DataError unless data fits a model of so many outputs, each of which is one class on every node.

    Nodes that number classes of their own, `private` ones, for themselves must have them numbered already: else the
    second of two may be a dog here and a horse there.
    """
    expected = f"give it folders named 0 to {outputs - 1}, which mean the same on every node"
    if private and not all(name.isdecimal() and name.isascii() for name in classes):
        raise DataError(f"The own data has classes with names, and this model takes numbers for them; {expected}.")
    if len(classes) > outputs:
        raise DataError(f"The data has {len(classes)} classes, this model has {outputs}; {expected}.")
