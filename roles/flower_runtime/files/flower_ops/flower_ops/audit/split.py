# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of a table that the use cases train on: all but the fifth that flower_ops.training.data.share holds back.

What an app that trains sends in one piece are these rows, one after the other; blocks of the whole file are not among
them. The node's agent has no NumPy, whose generator chooses them, but the same generator as Python.
"""

from __future__ import annotations

import random

#: As in flower_ops.training.data.share.
TEST_SHARE, TEST_SEED = 0.2, 20_201
#: Words of the state of the Mersenne Twister.
WORDS = 624


def training(total: int) -> list[int]:
    """Positions of the rows for training among `total`, in their order; none where there is nothing to hold back."""
    if total < 2:
        return []
    order = list(range(total))
    chance = _seeded(TEST_SEED)
    for last in range(total - 1, 0, -1):
        other = _up_to(chance, last)
        order[last], order[other] = order[other], order[last]
    return sorted(order[max(1, round(total * TEST_SHARE)) :])


def _seeded(seed: int) -> random.Random:
    """numpy.random.RandomState(seed), of which only whole words are taken."""
    words = [seed]
    for at in range(1, WORDS):
        words.append((1812433253 * (words[-1] ^ words[-1] >> 30) + at) & 0xFFFFFFFF)
    chance = random.Random()
    chance.setstate((3, (*words, WORDS), None))
    return chance


def _up_to(chance: random.Random, most: int) -> int:
    """A number from 0 to `most` as NumPy draws it: words are masked until one fits."""
    mask = (1 << most.bit_length()) - 1
    while (value := chance.getrandbits(32) & mask) > most:
        pass
    return value
