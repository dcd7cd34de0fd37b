# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node does in a round: train the adapters that it gets on its own texts, which stay here."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flower_ops.training.client import describe, messages
from flower_ops.training.client.parcels import parcels_mod
from flower_ops.training.data import Dataset, instructions
from flower_ops.training.survey import node
from flower_ops.training.survey.plan import Values, read
from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from llm_fine_tuning import find
from llm_fine_tuning.adapters import shapes
from llm_fine_tuning.plan import BUILT, DEFAULT, SMALL, explicit, form
from llm_fine_tuning.texts import Tokenizer, encoded

# Read when the libraries are imported, which happens in the functions below; bars of progress only fill the log.
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

app = ClientApp(mods=[parcels_mod])


def asked_for(context: Context) -> str:
    """The model that the run asks for by name, else this node's configuration; empty when neither does."""
    run = str(context.run_config["model-name"])
    return explicit(run) or ("" if run == SMALL else explicit(str(context.node_config.get("model-name", ""))))


def find_model(context: Context) -> tuple[Path | None, str]:
    """Where the model lies: a node's configuration may name a folder that has the one of the run."""
    run, own = str(context.run_config["model-name"]), str(context.node_config.get("model-name", ""))
    if SMALL in (run, own):
        return None, "the small one is asked for"
    return find.model(explicit(own) or explicit(run) or DEFAULT, quantization(context))


def quantization(context: Context) -> str:
    """Of this node's configuration, else of the run's."""
    return str({**context.run_config, **context.node_config}["quantization"])


def texts(context: Context, plan: Values, split: str, tokenizer: Tokenizer) -> tuple[Dataset[Any], list[Any]]:
    """This node's rows, and their tokens and labels. ValueError when none is short enough."""
    data = node.load(instructions, context, split, plan["source"])
    rows: Sequence[dict[str, str]] = data.samples
    if split == "test":
        rows = rows[: int(context.run_config["test-samples"])]
    longest = int(context.run_config["max-length"])
    found = [one for row in rows if (one := encoded(row, tokenizer, longest)) is not None]
    if not found:
        raise ValueError(f"none of {len(rows)} texts of {data.origin} leaves room for an answer in {longest} tokens")
    return data, found


def model_of(context: Context, plan: Values, arrays: list[Any]) -> tuple[Any, list[Any], Tokenizer]:
    """The model with its adapters set to these arrays, the adapters, and the tokenizer."""
    from llm_fine_tuning import base, tuning

    folder = None
    if plan["model"] != BUILT:
        folder, why = find_model(context)
        if folder is None:
            raise ValueError(f"the model {plan['model']} is not here any more: {why}")
    config, rank = context.run_config, int(plan["rank"])
    bare, tokenizer = base.load(folder, quantization(context))
    model = base.adapted(bare, rank, int(config["lora-alpha"]), float(config["lora-dropout"]))
    weights = tuning.adapters(model, list(shapes(form(plan), rank)))
    tuning.put(weights, arrays)
    return model, weights, tokenizer


@app.train()
def train(message: Message, context: Context) -> Message:
    """Try the received adapters on the held-back texts, then improve them on the others: one message, both figures."""
    from llm_fine_tuning import tuning

    task, config = messages.task_of(message), context.run_config
    plan = read(task.told)
    model, weights, tokenizer = model_of(context, plan, task.arrays)
    data, mine = texts(context, plan, "train", tokenizer)
    held = texts(context, plan, "test", tokenizer)[1]
    work = tuning.Work(
        seed=node.seed(context, task.round),
        rate=float(config["learning-rate"]) if task.client_lr is None else task.client_lr,
        batch=int(config["batch-size"]),
        epochs=int(config["local-epochs"]),
        steps=int(config["max-steps"]),
        mu=task.proximal_mu,
    )
    figures = {
        "start-loss": tuning.test(model, held, work.batch),
        "train-loss": tuning.fit(model, weights, mine, work),
        "bundled-data": float(data.source == "bundled"),
        "stand-in-model": float(plan["model"] == BUILT),
    }
    return messages.trained(message, [weight.detach().float().cpu().numpy() for weight in weights], len(mine), figures)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """How good the adapters are on this node's held-back texts."""
    from llm_fine_tuning import tuning

    task = messages.task_of(message)
    plan = read(task.told)
    model, _weights, tokenizer = model_of(context, plan, task.arrays)
    held = texts(context, plan, "test", tokenizer)[1]
    loss = tuning.test(model, held, int(context.run_config["batch-size"]))
    return messages.evaluated(message, len(held), {"loss": loss})


def look(context: Context) -> Values:
    """What this node has, for the plan; `model` is what run or node call it, wherever the node found it."""
    node.need("torch", "transformers", "peft", framework="llm")
    find.check_quantization(quantization(context))
    folder, why = find_model(context)
    asked = asked_for(context)
    found = {**node.about(node.glance(instructions, context)), "asked": asked}
    if folder is None:
        return {**found, "model": BUILT, "why": why}
    return {**found, "model": asked or DEFAULT, "form": list(find.form(folder))}


@app.query("survey")
def survey(message: Message, context: Context) -> Message:
    """The answer to the server's question."""
    return node.answer(message, context, lambda: look(context))


@app.query("describe")
def query(message: Message, context: Context) -> Message:
    """For runs that choose their nodes."""
    return describe.answer(message, context)
