# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node does in a round: train the global network on its own images and send back the result."""

from __future__ import annotations

from flower_ops.training.client import describe, messages
from flower_ops.training.client.parcels import parcels_mod
from flower_ops.training.data import Choice, Dataset, check_outputs, images
from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from cnn_torch.fit import fit
from cnn_torch.model import CLASSES, Array, evaluate

app = ClientApp(mods=[parcels_mod])


def images_of(context: Context, task: messages.Task, split: str) -> Dataset[Array]:
    """This node's images for training, or those that are held back for a test."""
    choice = Choice.read(context.run_config, task.told)
    found = images(choice.share(context.node_config), split, choice.folder, choice.source, choice.shared)
    check_outputs(found.private, found.classes, CLASSES)
    return found


@app.train()
def train(message: Message, context: Context) -> Message:
    """Improve the received network on this node's images; the images stay here."""
    task, config = messages.task_of(message), context.run_config
    mine = images_of(context, task, "train")
    trained, loss = fit(
        task.arrays,
        mine.samples,
        mine.labels,
        epochs=int(config["local-epochs"]),
        batch=int(config["batch-size"]),
        learning_rate=float(config["learning-rate"]) if task.client_lr is None else task.client_lr,
        momentum=float(config["momentum"]),
        proximal_mu=task.proximal_mu,
        # Of round and partition, or node: a resumed run repeats what an uninterrupted one had done.
        seed=(1000 * task.round + int(context.node_config.get("partition-id", context.node_id))) % (1 << 32),
    )
    return messages.trained(message, trained, len(mine), {"train-loss": loss})


@app.evaluate()
def test(message: Message, context: Context) -> Message:
    """How good the global network is on images that no node trains on; only with `fraction-evaluate` above 0."""
    task = messages.task_of(message)
    mine = images_of(context, task, "test")
    return messages.evaluated(message, len(mine), evaluate(task.arrays, mine.samples, mine.labels))


@app.query("describe")
def query(message: Message, context: Context) -> Message:
    """For runs that choose their nodes."""
    return describe.answer(message, context)
