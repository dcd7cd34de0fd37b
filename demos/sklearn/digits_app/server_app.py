# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the SuperLink does: combine the nodes' parameters and test the result on images that no node has seen.

Testing happens here, centrally: asking the nodes as well would cost a second message to each in every round.
"""

from __future__ import annotations

from flower_ops.training import checks, forms
from flower_ops.training.data import Choice
from flower_ops.training.data.choice import SOURCE
from flower_ops.training.train import train
from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from digits_app.data import coloured, digits
from digits_app.model import MODELS, NAMES, Array, chosen, evaluate

#: The app's own keys of the run configuration. With 0 the model's own number is taken.
FORMS = {
    "model": forms.one_of(*MODELS),
    "hidden-units": forms.whole(0),
    "local-epochs": forms.whole(0),
    "batch-size": forms.whole(0),
    "learning-rate": forms.number(0, None, "of 0 or more"),
    "test-data": forms.text(),
}

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train as the run configuration says."""
    config = context.run_config
    checks.read(config, FORMS)
    model = chosen(config)
    tell = {}
    if config["model"] == "digits":
        images, labels = digits(str(config["test-data"]))
    else:
        choice = Choice.read(config)
        images, labels, tell[SOURCE] = coloured(choice, choice.whole(), "test")

    def test(number: int, arrays: list[Array]) -> dict[str, float]:
        loss, accuracy = evaluate(arrays, images, labels)
        return {"loss": loss, "accuracy": accuracy}

    train(grid, context, initial=model.start, evaluate=test, names=NAMES, tell=tell)
