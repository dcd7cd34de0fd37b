# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node adds its partition's number, plus one, to what it got."""

from __future__ import annotations

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Answer with the vector and the weight of one example."""
    (vector,) = message.content["arrays"].to_numpy_ndarrays()
    added = vector + int(context.node_config["partition-id"]) + 1
    metrics = MetricRecord({"num-examples": 1, "added": float(added[0] - vector[0])})
    return Message(RecordDict({"arrays": ArrayRecord([added]), "metrics": metrics}), reply_to=message)
