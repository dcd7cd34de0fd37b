# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the server does."""

from __future__ import annotations

import numpy as np
from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Federated averaging, and a word at the end."""
    strategy = FedAvg(fraction_train=float(context.run_config["fraction-train"]))
    rounds = int(context.run_config["num-server-rounds"])
    result = strategy.start(grid, ArrayRecord([np.zeros(2)]), num_rounds=rounds)
    (weights,) = result.arrays.to_numpy_ndarrays()
    print(f"The line is y = {weights[0]:.1f} x + {weights[1]:.1f}")
