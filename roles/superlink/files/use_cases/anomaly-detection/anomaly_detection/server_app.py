# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the SuperLink does: agree with the nodes on the data's form, average their models, no sample ever here."""

from __future__ import annotations

from flower_ops.training import checks, forms
from flower_ops.training.data.choice import SOURCE
from flower_ops.training.flower import LOG
from flower_ops.training.survey.server import agree, last_look
from flower_ops.training.train import train
from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from anomaly_detection import plan
from anomaly_detection.model import NAMES, new

#: The app's own keys of the run configuration.
FORMS = {"max-iter": forms.whole(1)}

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train as the run configuration says."""
    settings = checks.read(context.run_config, FORMS)
    if settings.strategy == "FedAdam":
        LOG.warning("client-lr has no effect here: L-BFGS finds the length of its steps itself.")
    surveyed = agree(grid, settings, plan.decide, plan.fits, str(context.run_config[SOURCE]))
    initial = new(surveyed.plan["features"], len(surveyed.plan["classes"]))
    look = last_look(surveyed, settings)
    train(surveyed, context, initial=initial, evaluate=look, names=NAMES, tell=surveyed.tell)
