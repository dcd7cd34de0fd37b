# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node does in a round: fine-tune the adapters on its own texts and send them back. The texts stay here."""

from __future__ import annotations

from flower_ops.training.client import describe, messages
from flower_ops.training.client.parcels import parcels_mod
from flower_ops.training.data import Choice, instructions
from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from llm_app.base import language
from llm_app.fit import fit
from llm_app.model import BASES, rate_of

app = ClientApp(mods=[parcels_mod])


@app.train()
def train(message: Message, context: Context) -> Message:
    """Improve the received adapters."""
    task, config = messages.task_of(message), context.run_config
    choice = Choice.read(config, task.told)
    mine = instructions(choice.share(context.node_config), "train", choice.folder, choice.source, choice.shared)
    name = str(task.told["model"])
    highest = task.client_lr or float(config["learning-rate"]) or BASES[name].learning_rate
    trained, loss = fit(
        language(name, str(context.node_config.get("model-path", ""))),
        task.arrays,
        mine.samples,
        steps=int(config["steps"]),
        size=int(config["batch-size"]),
        learning_rate=rate_of(highest, task.round, task.rounds),
        longest=int(config["longest-text"]),
        proximal_mu=task.proximal_mu,
        # Of round and partition, or node: a resumed run repeats what an uninterrupted one had done.
        seed=(1000 * task.round + int(context.node_config.get("partition-id", context.node_id))) % (1 << 32),
    )
    return messages.trained(message, trained, len(mine), {"train-loss": loss})


@app.query("describe")
def query(message: Message, context: Context) -> Message:
    """For runs that choose their nodes."""
    return describe.answer(message, context)
