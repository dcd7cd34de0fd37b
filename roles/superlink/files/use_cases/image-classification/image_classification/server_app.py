# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the SuperLink does: agree with the nodes on framework and data, average their models, no sample ever here."""

from __future__ import annotations

from functools import partial

from flower_ops.training import checks, forms
from flower_ops.training.data.choice import SOURCE
from flower_ops.training.survey.server import agree, last_look
from flower_ops.training.train import train
from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from image_classification import plan
from image_classification.arrays import new

#: The app's own keys of the run configuration.
FORMS = {
    "framework": forms.one_of(plan.AUTO, *plan.MODELS),
    "local-epochs": forms.whole(1),
    "batch-size": forms.whole(1),
    "learning-rate": forms.number(0, None, "above 0", open_low=True),
    "momentum": forms.number(0, 1, "from 0 and below 1", open_high=True),
}

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train as the run configuration says."""
    config, settings = context.run_config, checks.read(context.run_config, FORMS)
    decide = partial(plan.decide, wanted=str(config["framework"]))
    surveyed = agree(grid, settings, decide, plan.fits, str(config[SOURCE]))
    pieces = plan.pieces(surveyed.plan)
    train(
        surveyed,
        context,
        initial=new(pieces),
        evaluate=last_look(surveyed, settings),
        names=[piece.name for piece in pieces],
        tell=surveyed.tell,
    )
