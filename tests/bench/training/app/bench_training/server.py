# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trains in the way that is asked for and writes down when each round had ended."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from flower_ops.training.train import train
from flwr.app import ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

app = ServerApp()
#: Arrays that make up the model.
PIECES = 10


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Writes ends.json into the output folder: seconds since the epoch, beginning with the start of round 1."""
    config = context.run_config
    ends: list[float] = []

    def ended(number: int, arrays: list[Any]) -> dict[str, float]:
        ends.append(time.time())
        return {"mean": float(np.asarray(arrays[0]).mean())}

    numbers = int(float(str(config["megabytes"])) * 1e6 / 4 / PIECES)
    generator = np.random.default_rng(0)
    initial = [generator.normal(size=numbers).astype(np.float32) for _piece in range(PIECES)]
    if config["way"] == "bare":
        bare(grid, context, initial, ended)
    else:
        train(grid, context, initial=initial, evaluate=ended)
    folder = Path(str(config["output-dir"]))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ends.json").write_text(json.dumps(ends), encoding="utf-8")


def bare(grid: Grid, context: Context, initial: list[Any], ended: Any) -> None:
    """As Flower's own examples do it: training and evaluation at the nodes."""
    config = context.run_config
    nodes = int(config["min-available-clients"])

    def evaluate(number: int, arrays: ArrayRecord) -> MetricRecord:
        return MetricRecord(ended(number, arrays.to_numpy_ndarrays()))

    FedAvg(min_train_nodes=nodes, min_evaluate_nodes=nodes, min_available_nodes=nodes).start(
        grid=grid,
        initial_arrays=ArrayRecord(initial),
        num_rounds=int(config["num-server-rounds"]),
        timeout=float(config["round-timeout"]),
        evaluate_fn=evaluate,
    )
