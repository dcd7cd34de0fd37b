# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the SuperLink does: combine the nodes' adapters. It decides on data and model, and tells the nodes.

There is no central test: that would need the model here. The nodes' training loss comes with their answers.
"""

from __future__ import annotations

from flower_ops.training import checks, forms
from flower_ops.training.data import Choice, instructions
from flower_ops.training.data.choice import SOURCE
from flower_ops.training.flower import LOG
from flower_ops.training.train import train
from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from llm_app.model import BASES, SMALL, base_of

#: The app's own keys of the run configuration. With a learning-rate of 0 the model's own is taken.
FORMS = {
    "model": forms.one_of("auto", *BASES),
    "steps": forms.whole(1),
    "batch-size": forms.whole(1),
    "longest-text": forms.whole(2),
    "learning-rate": forms.number(0, None, "of 0 or more"),
}

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train as the run configuration says."""
    config = context.run_config
    checks.read(config, FORMS)
    choice = Choice.read(config)
    if choice.source == "own":
        # Own texts are with the nodes; nothing has to be here.
        source = "own"
    else:
        source = instructions(choice.whole(), "test", choice.folder, choice.source, choice.shared).source
    name = base_of(str(config["model"]), source)
    base = BASES[name]
    LOG.info("The model is %s, with %d parameters in its adapters.", name, base.parameters)
    if name == SMALL:
        LOG.warning("That model is tiny and begins with random weights: it shows a training, and writes no sentences.")
    train(grid, context, initial=base.start, names=list(base.shapes), tell={SOURCE: source, "model": name})
