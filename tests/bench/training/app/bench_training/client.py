# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node adds one to what it got. Bare Flower's loop offers nothing, and so the helpers use Flower's own form there."""

from __future__ import annotations

from flower_ops.training.client import messages
from flower_ops.training.client.parcels import parcels_mod
from flwr.app import Context, Message
from flwr.clientapp import ClientApp

app = ClientApp(mods=[parcels_mod])


@app.train()
def train(message: Message, context: Context) -> Message:
    """The arrays, one greater, and the weight of one example."""
    task = messages.task_of(message)
    return messages.trained(message, [array + 1 for array in task.arrays], 1)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """A figure of the arrays."""
    first = messages.task_of(message).arrays[0]
    return messages.evaluated(message, 1, {"mean": float(first.mean())})
