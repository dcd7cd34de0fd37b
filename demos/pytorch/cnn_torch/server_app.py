# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the SuperLink does: combine the nodes' networks and test the result on images that no node trains on.

It decides which data all train on, by what it can reach itself, and tells the nodes with each round.
"""

from __future__ import annotations

from flower_ops.training.data import Choice, images
from flower_ops.training.data.choice import SOURCE
from flower_ops.training.train import train
from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from cnn_torch.model import SHAPES, Array, check, evaluate, start

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train as the run configuration says."""
    choice = Choice.read(context.run_config)
    held_back = images(choice.whole(), "test", choice.folder, choice.source, choice.shared)
    check(held_back.classes)

    def test(number: int, arrays: list[Array]) -> dict[str, float]:
        return evaluate(arrays, held_back.samples, held_back.labels)

    train(grid, context, initial=start, evaluate=test, names=list(SHAPES), tell={SOURCE: held_back.source})
