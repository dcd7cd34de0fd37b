# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Averages the vectors of two nodes: every round adds 1.5."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the rounds and write down what came of them."""
    config = context.run_config
    strategy = FedAvg(fraction_evaluate=0.0, min_train_nodes=2, min_available_nodes=2, min_evaluate_nodes=0)
    start = ArrayRecord([np.zeros(int(config["size"]))])
    result = strategy.start(
        grid, start, num_rounds=int(config["num-server-rounds"]), timeout=float(config["round-timeout"])
    )
    (vector,) = result.arrays.to_numpy_ndarrays()
    (Path(str(config["output-dir"])) / "vector.txt").write_text(f"{vector.min()} {vector.max()} {vector.size}\n")
