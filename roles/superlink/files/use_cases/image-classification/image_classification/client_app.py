# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node does in a round: train the model that it gets on its own images, which stay here."""

from __future__ import annotations

import importlib
import os
from typing import Any

from flower_ops.training.client import describe, messages
from flower_ops.training.client.parcels import parcels_mod
from flower_ops.training.data import Dataset, images
from flower_ops.training.survey import node, source
from flower_ops.training.survey.plan import Values, read
from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from image_classification.work import Array, Work

#: The module that knows a framework; imported when it is needed, because nodes have one of them.
MODULES = {"pytorch": "with_torch", "tensorflow": "with_tensorflow"}

app = ClientApp(mods=[parcels_mod])


def data(context: Context, plan: Values, split: str) -> Dataset[Array]:
    """This node's images as the plan says."""
    # Where classes are numbers, folders may have leading zeros: they are read as numbers then.
    names = None if source.counted(plan["classes"]) else plan["classes"]
    return node.load(images, context, split, plan["source"], classes=names)


def framework(plan: Values) -> Any:
    """with_torch or with_tensorflow."""
    # TensorFlow reads it when it is imported; what it says of the processor is no news.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    return importlib.import_module(f"image_classification.{MODULES[plan['framework']]}")


@app.train()
def train(message: Message, context: Context) -> Message:
    """Try the received model on the held-back images, then improve it on the others: one message, both figures."""
    task, config = messages.task_of(message), context.run_config
    plan = read(task.told)
    mine, held = data(context, plan, "train"), data(context, plan, "test")
    by = framework(plan)
    loss, accuracy = by.test(task.arrays, held.samples, held.labels)
    work = Work(
        seed=node.seed(context, task.round),
        rate=float(config["learning-rate"]) if task.client_lr is None else task.client_lr,
        momentum=float(config["momentum"]),
        batch=int(config["batch-size"]),
        epochs=int(config["local-epochs"]),
        mu=task.proximal_mu,
    )
    arrays, train_loss = by.fit(task.arrays, mine.samples, mine.labels, work)
    figures = {
        "train-loss": train_loss,
        "start-loss": loss,
        "start-accuracy": accuracy,
        "bundled-data": float(mine.source == "bundled"),
    }
    return messages.trained(message, arrays, len(mine), figures)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """How good the model is on this node's held-back images."""
    task = messages.task_of(message)
    plan = read(task.told)
    held = data(context, plan, "test")
    loss, accuracy = framework(plan).test(task.arrays, held.samples, held.labels)
    return messages.evaluated(message, len(held), {"loss": loss, "accuracy": accuracy})


@app.query("survey")
def survey(message: Message, context: Context) -> Message:
    """What this node has, for the plan."""
    return node.answer(message, context, lambda: node.about(node.glance(images, context)))


@app.query("describe")
def query(message: Message, context: Context) -> Message:
    """For runs that choose their nodes."""
    return describe.answer(message, context)
