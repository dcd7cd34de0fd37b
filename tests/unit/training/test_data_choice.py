# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which data a run is about: the run's word, the ServerApp's, and the node's."""

from __future__ import annotations

from pathlib import Path

import pytest
from flower_ops.training.data import Choice, DataError, Share


def test_the_serverapp_decides_the_source_and_the_run_all_else() -> None:
    asked = {"data-source": "auto", "data-dir": "/d", "partitioner": "dirichlet", "partition-alpha": 0.1}
    choice = Choice.read({**asked, "partition-seed": 5}, {"data-source": "bundled", "server-round": 1})
    assert choice == Choice("bundled", Path("/d"), False, "dirichlet", 0.1, 5)
    share = choice.share({"partition-id": 1, "num-partitions": 3})
    assert share == Share(1, 3, "dirichlet", 0.1, 5)
    assert Choice.read({"data-dir": ""}) == Choice()


def test_a_node_without_a_number_gets_no_data_but_its_own() -> None:
    with pytest.raises(DataError, match="no partition-id and no num-partitions"):
        Choice().share({})
    with pytest.raises(DataError, match="no partition-id and no num-partitions"):
        Choice("own", shared=True).share({})
    assert Choice("own").share({}) == Share()
