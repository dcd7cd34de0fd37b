# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the SuperLink does: agree with the nodes on model and data, average adapters; no text and no model ever here."""

from __future__ import annotations

from functools import partial

from flower_ops.training import checks, forms
from flower_ops.training.data.choice import SOURCE
from flower_ops.training.flower import LOG
from flower_ops.training.survey.server import agree, last_look
from flower_ops.training.train import train
from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from llm_fine_tuning import find, plan
from llm_fine_tuning.adapters import new, shapes

#: Above it AdamW rather destroys than tunes a language model.
GREAT_RATE = 1e-2

#: The app's own keys of the run configuration.
FORMS = {
    "model-name": forms.text(),
    "quantization": forms.one_of(*find.QUANTIZATIONS),
    "lora-rank": forms.whole(1),
    "lora-alpha": forms.whole(1),
    "lora-dropout": forms.number(0, 1, "from 0 and below 1", open_high=True),
    "learning-rate": forms.number(0, None, "above 0", open_low=True),
    "local-epochs": forms.whole(1),
    "batch-size": forms.whole(1),
    "max-steps": forms.whole(0),
    "max-length": forms.whole(2),
    "test-samples": forms.whole(1),
}

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train as the run configuration says."""
    config, settings = context.run_config, checks.read(context.run_config, FORMS)
    if settings.strategy == "FedAdam" and settings.client_lr > GREAT_RATE:
        LOG.warning("client-lr %g is great for AdamW on a language model; 2e-5 is usual.", settings.client_lr)
    decide = partial(plan.decide, rank=int(config["lora-rank"]), wanted=str(config["model-name"]))
    surveyed = agree(grid, settings, decide, plan.fits, str(config[SOURCE]))
    form, rank = plan.form(surveyed.plan), int(surveyed.plan["rank"])
    if surveyed.plan["model"] == plan.BUILT:
        LOG.warning("The model is a small one with random weights, good for nothing but trying out.")
    else:
        LOG.info("The model is %s.", surveyed.plan["model"])
    train(
        surveyed,
        context,
        initial=new(form, rank),
        evaluate=last_look(surveyed, settings),
        names=list(shapes(form, rank)),
        tell=surveyed.tell,
    )
