# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be wrong with data.

These texts leave the node: they answer a survey, or stand in the error of a message. So they say where a fault is, and
never quote a value or name an image, because a name may say as much as a picture.
"""

from __future__ import annotations


class DataError(Exception):
    """Data cannot be used as asked. The text is one sentence: what, where, what to do; all faults at once."""


class OwnDataError(DataError):
    """There is own data, and it is no use: told apart, because other data in its place would be worse than none."""


class UnavailableError(Exception):
    """A source has nothing for us now. The text says why, as a part of a sentence."""


def several(faults: list[str], most: int = 5) -> str:
    """Faults as a part of a sentence: the first ones in full, and how many more there are."""
    more = len(faults) - most
    return "; ".join(faults[:most]) + (f"; and {more} more" if more > 0 else "")
