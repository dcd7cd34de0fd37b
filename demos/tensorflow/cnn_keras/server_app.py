# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the SuperLink does: combine the nodes' networks and test the result on images that no node trains on.

It decides which data all train on, by what it can reach itself, and tells the nodes with each round.
"""

from __future__ import annotations

from flower_ops.training import checks, forms
from flower_ops.training.data import Choice, check_outputs, images
from flower_ops.training.data.choice import SOURCE
from flower_ops.training.train import train
from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from cnn_keras.model import CLASSES, SHAPES, Array, evaluate, start

#: The app's own keys of the run configuration.
FORMS = {
    "local-epochs": forms.whole(1),
    "batch-size": forms.whole(1),
    "learning-rate": forms.number(0, None, "above 0", open_low=True),
    "momentum": forms.number(0, 1, "from 0 and below 1", open_high=True),
}

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train as the run configuration says."""
    checks.read(context.run_config, FORMS)
    choice = Choice.read(context.run_config)
    held_back = images(choice.whole(), "test", choice.folder, choice.source, choice.shared)
    check_outputs(held_back.private, held_back.classes, CLASSES)

    def test(number: int, arrays: list[Array]) -> dict[str, float]:
        return evaluate(arrays, held_back.samples, held_back.labels)

    train(grid, context, initial=start, evaluate=test, names=list(SHAPES), tell={SOURCE: held_back.source})
