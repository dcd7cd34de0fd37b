# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All keys of an app's run configuration are checked before a node is asked, and all faults are told at once."""

from __future__ import annotations

from typing import Any

import pytest
from flower_ops.training import checks, forms
from flower_ops.training.settings import Settings

OWN = {"local-epochs": forms.whole(1), "learning-rate": forms.number(0, None, "above 0", open_low=True)}
GOOD = {"local-epochs": 1, "learning-rate": 0.1, "data-source": "auto", "partitioner": "iid", "num-server-rounds": 2}


def test_good_ones_are_the_settings() -> None:
    assert checks.read(GOOD, OWN) == Settings(num_server_rounds=2)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("local-epochs", 0, "local-epochs = 0: expected a whole number of at least 1"),
        ("local-epochs", 1.5, "local-epochs = 1.5: expected a whole number"),
        ("learning-rate", float("nan"), "learning-rate = nan: expected a number above 0"),
        ("learning-rate", -1.0, "learning-rate = -1.0: expected a number above 0"),
        ("data-source", "bundle", "data-source = 'bundle': expected one of auto, own, hub, bundled"),
        ("data-shared", "false", "data-shared = 'false': expected true or false"),
        ("partitioner", "dirichlett", "partitioner = 'dirichlett': expected one of iid, dirichlet, by-label, by-file"),
        ("partition-alpha", 0, "partition-alpha = 0: expected a number above 0"),
        ("partition-seed", -1, "partition-seed = -1: expected a whole number from 0 to 4294967295"),
        ("num-server-rounds", 0, "num-server-rounds = 0: expected a whole number of at least 1"),
    ],
)
def test_a_fault(key: str, value: Any, told: str) -> None:
    with pytest.raises(ValueError, match="^The run configuration has a fault: ") as caught:
        checks.read({**GOOD, key: value}, OWN)
    assert told in str(caught.value)


def test_all_faults_at_once() -> None:
    with pytest.raises(ValueError, match="has 3 faults: .*") as caught:
        checks.read({**GOOD, "local-epochs": 0, "partitioner": "x", "strategy": "FedAwg"}, OWN)
    assert all(f"{key} = " in str(caught.value) for key in ("local-epochs", "partitioner", "strategy"))
