# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node adds its partition's number, plus one, to what it got; or, where the run asks for it, learns by chance."""

from __future__ import annotations

import time

import numpy as np
from flower_ops.training.client import describe, messages
from flower_ops.training.client.parcels import parcels_mod
from flwr.app import Context, Message
from flwr.clientapp import ClientApp

app = ClientApp(mods=[parcels_mod])


@app.query("describe")
def query(message: Message, context: Context) -> Message:
    """For runs that choose their nodes."""
    return describe.answer(message, context)


def learned(task: messages.Task, partition: int) -> np.ndarray:
    """Steps of SGD on one-coefficient regressions, samples drawn by node and round: whatever a restart loses shows.

    No products of matrices: their last bits are not promised to be the same in another process.
    """
    weights = task.arrays[0]
    truth = np.random.default_rng(partition).normal(size=weights.shape)
    chance = np.random.default_rng([partition, task.round])
    for _step in range(5):
        samples, noise = chance.normal(size=(2, 20, *weights.shape))
        weights = weights - task.client_lr * (samples * (samples * (weights - truth) + noise)).mean(axis=0)
    return weights


@app.train()
def train(message: Message, context: Context) -> Message:
    """Answer with the vector and the weight of one example."""
    task = messages.task_of(message)
    partition = int(context.node_config["partition-id"])
    if partition == int(context.run_config["slow-partition"]):
        time.sleep(float(context.run_config["slow-seconds"]))
    if task.round == 2 and partition == int(context.run_config["silent-partition"]):
        time.sleep(float(context.run_config["silent-seconds"]))
    made = [array + partition + 1 for array in task.arrays]
    if context.run_config["by-chance"]:
        made = [learned(task, partition)]
    return messages.trained(message, made, 1, {"mu": task.proximal_mu, "round": task.round})
