# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Averages the vectors of two nodes: every round adds 1.5, unless nodes learn by chance."""

from __future__ import annotations

from typing import Any

import numpy as np
from flower_ops.training.train import train
from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

app = ServerApp()


def mean(number: int, arrays: list[Any]) -> dict[str, float]:
    """The central figure of a round."""
    return {"mean": float(arrays[0].mean())}


@app.main()
def main(grid: Grid, context: Context) -> None:
    """As every app that uses the one call."""
    train(grid, context, initial=[np.zeros(1000)], evaluate=mean, names=["vector"])
