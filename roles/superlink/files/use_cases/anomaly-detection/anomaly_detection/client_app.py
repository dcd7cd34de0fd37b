# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node does in a round: one step on its own table, which stays here."""

from __future__ import annotations

from flower_ops.training.client import describe, messages
from flower_ops.training.client.parcels import parcels_mod
from flower_ops.training.data import Dataset, table
from flower_ops.training.survey import node, source
from flower_ops.training.survey.plan import Values, read
from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from anomaly_detection.model import Array, test

app = ClientApp(mods=[parcels_mod])


def data(context: Context, plan: Values, split: str) -> Dataset[Array]:
    """This node's samples as the plan says."""
    names = None if source.counted(plan["classes"]) else plan["classes"]
    return node.load(table, context, split, plan["source"], classes=names)


@app.train()
def train(message: Message, context: Context) -> Message:
    """Try the received model on the held-back samples, then improve it on the others: one message, both figures."""
    # Only nodes have scikit-learn, and a survey must be answered without it.
    from anomaly_detection.fit import fit

    task = messages.task_of(message)
    plan = read(task.told)
    mine, held = data(context, plan, "train"), data(context, plan, "test")
    loss, accuracy = test(task.arrays, held.samples, held.labels)
    iterations = int(context.run_config["max-iter"])
    trained = fit(task.arrays, mine.samples, mine.labels, len(plan["classes"]), iterations, task.proximal_mu)
    figures = {
        "train-loss": test(trained, mine.samples, mine.labels)[0],
        "start-loss": loss,
        "start-accuracy": accuracy,
        "bundled-data": float(mine.source == "bundled"),
    }
    return messages.trained(message, trained, len(mine), figures)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """How good the model is on this node's held-back samples."""
    task = messages.task_of(message)
    held = data(context, read(task.told), "test")
    loss, accuracy = test(task.arrays, held.samples, held.labels)
    return messages.evaluated(message, len(held), {"loss": loss, "accuracy": accuracy})


def look(context: Context) -> Values:
    """What this node has, for the plan."""
    node.need("sklearn", framework="sklearn")
    found = node.glance(table, context)
    return {**node.about(found), "features": int(found.samples.shape[1])}


@app.query("survey")
def survey(message: Message, context: Context) -> Message:
    """The answer to the server's question."""
    return node.answer(message, context, lambda: look(context))


@app.query("describe")
def query(message: Message, context: Context) -> Message:
    """For runs that choose their nodes."""
    return describe.answer(message, context)
