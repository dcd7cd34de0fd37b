# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node adds its partition's number, plus one, to what it got."""

from __future__ import annotations

import time

from flower_ops.training.client import describe, messages
from flwr.app import Context, Message
from flwr.clientapp import ClientApp

app = ClientApp()


@app.query("describe")
def query(message: Message, context: Context) -> Message:
    """For runs that choose their nodes."""
    return describe.answer(message, context)


@app.train()
def train(message: Message, context: Context) -> Message:
    """Answer with the vector and the weight of one example."""
    task = messages.task_of(message)
    partition = int(context.node_config["partition-id"])
    if task.round == 2 and partition == int(context.run_config["silent-partition"]):
        time.sleep(float(context.run_config["silent-seconds"]))
    added = [array + partition + 1 for array in task.arrays]
    return messages.trained(message, added, 1, {"mu": task.proximal_mu, "round": task.round})
