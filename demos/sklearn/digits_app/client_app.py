# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node does in a round: train the global model on its own images and send back the result."""

from __future__ import annotations

from flower_ops.training.client import describe, messages
from flower_ops.training.client.parcels import parcels_mod
from flower_ops.training.data import Choice
from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from digits_app.data import coloured, digits
from digits_app.fit import fit
from digits_app.model import Array, chosen, evaluate

DEFAULT_SHARD = "/opt/flower/data/shard.npz"

app = ClientApp(mods=[parcels_mod])


def images_of(context: Context, task: messages.Task, split: str) -> tuple[Array, Array]:
    """This node's images and labels for training or for a test; of a shard of digits nothing is held back."""
    if context.run_config["model"] == "digits":
        return digits(str(context.node_config.get("data", DEFAULT_SHARD)))
    choice = Choice.read(context.run_config, task.told)
    return coloured(choice, choice.share(context.node_config), split)[:2]


@app.train()
def train(message: Message, context: Context) -> Message:
    """Improve the received parameters on this node's images; the images stay here."""
    task, model = messages.task_of(message), chosen(context.run_config)
    images, labels = images_of(context, task, "train")
    trained = fit(
        model,
        task.arrays,
        images,
        labels,
        epochs=model.epochs,
        batch=model.batch,
        learning_rate=model.learning_rate if task.client_lr is None else task.client_lr,
        proximal_mu=task.proximal_mu,
        # Of round and partition, or node: a resumed run repeats what an uninterrupted one had done.
        seed=(1000 * task.round + int(context.node_config.get("partition-id", context.node_id))) % (1 << 32),
    )
    loss, accuracy = evaluate(trained, images, labels)
    return messages.trained(message, trained, len(labels), {"train-loss": loss, "train-accuracy": accuracy})


@app.evaluate()
def test(message: Message, context: Context) -> Message:
    """How good the global model is on this node's images; asked for only with `fraction-evaluate` above 0."""
    task = messages.task_of(message)
    images, labels = images_of(context, task, "test")
    loss, accuracy = evaluate(task.arrays, images, labels)
    return messages.evaluated(message, len(labels), {"loss": loss, "accuracy": accuracy})


@app.query("describe")
def query(message: Message, context: Context) -> Message:
    """For runs that choose their nodes."""
    return describe.answer(message, context)
