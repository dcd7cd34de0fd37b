# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node adds one to what it got, by Flower's own names alone: it is the same in every way of training."""

from __future__ import annotations

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """The arrays, one greater, and the weight of one example."""
    record = message.content.array_records["arrays"]
    added = ArrayRecord([array + 1 for array in record.to_numpy_ndarrays()])
    content = RecordDict({"arrays": added, "metrics": MetricRecord({"num-examples": 1})})
    return Message(content, reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """A figure of the arrays."""
    first = message.content.array_records["arrays"].to_numpy_ndarrays()[0]
    metrics = MetricRecord({"mean": float(first.mean()), "num-examples": 1})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)
