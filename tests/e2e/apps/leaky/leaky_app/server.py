# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Federated averaging of a small model; what comes beside it is averaged as well, and thrown away."""

from __future__ import annotations

import numpy as np
from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

#: Numbers of the model: less than the samples that leak as an array.
PARAMETERS = 3610

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """As many rounds as asked for."""
    config = context.run_config
    nodes = int(config["min-nodes"])
    strategy = FedAvg(
        fraction_train=1.0,
        fraction_evaluate=0.0,
        min_train_nodes=nodes,
        min_evaluate_nodes=0,
        min_available_nodes=nodes,
    )
    start = np.random.default_rng(0).normal(size=PARAMETERS)
    strategy.start(
        grid=grid, initial_arrays=ArrayRecord([start]), num_rounds=int(config["num-server-rounds"]), timeout=120.0
    )
