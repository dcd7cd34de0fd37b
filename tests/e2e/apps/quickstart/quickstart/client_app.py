# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node does."""

from __future__ import annotations

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from quickstart.task import error, fit, points

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Fit the line to the points of this node."""
    x, y = points(int(context.node_config["partition-id"]))
    (weights,) = message.content["arrays"].to_numpy_ndarrays()
    weights = fit(weights, x, y, float(context.run_config["learning-rate"]))
    metrics = MetricRecord({"train_loss": error(weights, x, y), "num-examples": len(x)})
    return Message(RecordDict({"arrays": ArrayRecord([weights]), "metrics": metrics}), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """How far the line is from the points of this node."""
    x, y = points(int(context.node_config["partition-id"]))
    (weights,) = message.content["arrays"].to_numpy_ndarrays()
    metrics = MetricRecord({"eval_loss": error(weights, x, y), "num-examples": len(x)})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)
