# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs for tests: their configuration, their log as it is read elsewhere, and whether two are the same."""

from __future__ import annotations

from typing import Any

import numpy as np
from digits import accuracy, all_digits, new_model
from flower_ops.runs.log import RunLog
from flower_ops.runs.verdict import add_log, missing_results
from flower_ops.training.packing import unpacked
from flower_ops.training.result import Result
from flower_ops.training.train import train
from flwr.app import Context, Message, RecordDict
from local_grid import LocalGrid
from numpy.typing import NDArray

NODES = 7
ROUNDS = 3
Vector = NDArray[np.float64]


def context(**config: Any) -> Context:
    keys = {name.replace("_", "-"): value for name, value in config.items()}
    return Context(run_id=77, node_id=1, node_config={}, state=RecordDict(), run_config=keys)


def central(number: int, arrays: list[Any]) -> dict[str, float]:
    return {"accuracy": accuracy(arrays, all_digits())}


def read(log: list[str]) -> tuple[RunLog, str | None]:
    """What the reader of runs takes from these lines, and its verdict."""
    reader = RunLog()
    for moment, line in enumerate(log):
        reader.feed(line, float(moment))
    record: dict[str, Any] = {"rounds": []}
    add_log(record, reader, {})
    return reader, missing_results(record)


def same(left: Result, right: Result) -> None:
    for one, other in zip(left.arrays, right.arrays, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype
    assert [{**one, "seconds": 0} for one in left.rounds] == [{**one, "seconds": 0} for one in right.rounds]


def train_by(strategy: str, grid: LocalGrid, kind: str = "float64", rounds: int = ROUNDS, **config: Any) -> Result:
    """The result of some rounds by a strategy, with every node of the grid and one of them suspected."""
    asked = context(
        strategy=strategy,
        num_server_rounds=rounds,
        min_available_clients=len(grid.nodes),
        num_malicious=1,
        checkpoint_enabled=False,
        **config,
    )
    return train(grid, asked, new_model(kind))


def flat(message: Message) -> Vector:
    (record,) = message.content.array_records.values()
    return np.concatenate([array.ravel() for array in unpacked(record).to_numpy_ndarrays()]).astype(np.float64)


def examples(message: Message) -> float:
    (record,) = message.content.metric_records.values()
    return float(record["num-examples"])  # type: ignore[arg-type]


def apart(left: Vector, right: Vector) -> float:
    """Relative distance."""
    return float(np.linalg.norm(left - right) / np.linalg.norm(right))


def vector(result: Result) -> Vector:
    return np.concatenate([array.ravel() for array in result.arrays]).astype(np.float64)
