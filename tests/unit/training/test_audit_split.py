# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The privacy audit, which has no NumPy, knows which rows the use cases train on."""

from __future__ import annotations

import pytest
from flower_ops.audit import split
from flower_ops.training.data import share


@pytest.mark.parametrize("total", [2, 3, 5, 7, 10, 120, 150, 1000, 65537])
def test_the_rows_for_training_are_the_same(total: int) -> None:
    assert split.training(total) == share.held_back(total, "train").tolist()


def test_so_are_the_constants() -> None:
    assert (split.TEST_SHARE, split.TEST_SEED) == (share.TEST_SHARE, share.TEST_SEED)
