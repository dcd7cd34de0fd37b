# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For ClientApps: which data is this node's, its seed for a round, and its answer to the server's survey."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import util
from pathlib import Path
from typing import Any, TypeVar

from flower_ops.training.client.describe import description
from flower_ops.training.data.choice import SOURCE, Choice
from flower_ops.training.data.errors import DataError, OwnDataError
from flower_ops.training.data.samples import Dataset
from flower_ops.training.survey.plan import PART, PARTS, Values, answer_of
from flwr.app import Context, Message

S = TypeVar("S")

#: What an answer calls the keys of the node's configuration that say which part of the data is its own.
CUT = {PART: "partition-id", PARTS: "num-partitions"}


class Unfit(Exception):
    """This node cannot take part; the text is a sentence for the operator: what, and what to do."""


def load(loader: Callable[..., Dataset[S]], context: Context, split: str, source: str = "", **more: Any) -> Dataset[S]:
    """This node's data by one of the loaders of flower_ops.training.data, which takes `more`.

    Of the run configuration: the keys of data/choice.py, `source` in the place of data-source. Of the node's:
    partition-id, num-partitions, and `data`, its own place of data-dir. Raises DataError.
    """
    choice = Choice.read(context.run_config, {SOURCE: source} if source else None)
    folder = Path(str(context.node_config.get("data") or choice.folder))
    numbered = {"partition-id", "num-partitions"} <= set(context.node_config)
    share = choice.share(context.node_config) if numbered else choice.whole()
    dataset = loader(share, split, folder, choice.source, choice.shared, **more)
    if not numbered and not dataset.private:
        # The sentence about what is missing is there already.
        replace(choice, source=dataset.source, shared=True).share(context.node_config)
    return dataset


def seed(context: Context, server_round: int) -> int:
    """For all random numbers of this node in a round: a run that is resumed draws what an uninterrupted one draws.

    From 0 to 2^32 - 1, different for all partitions below a million. A node without a partition goes by its id.
    """
    return (1_000_003 * server_round + int(context.node_config.get("partition-id", context.node_id))) % (1 << 32)


def need(*modules: str, framework: str) -> None:
    """Raise Unfit unless these modules are installed; `framework` is the one of the collection that has them."""
    missing = [name for name in modules if util.find_spec(name) is None]
    if missing:
        raise Unfit(
            f"has no {' and no '.join(missing)} in its environment; choose ONEAPP_FL_FRAMEWORK {framework} for it"
        )


def answer(message: Message, context: Context, look: Callable[[], Values]) -> Message:
    """The answer to a survey: what the node is, and what `look` finds or why it cannot take part.

    `look` may raise Unfit, DataError and ValueError; their texts reach the operator.
    """
    cut = {key: str(context.node_config.get(name, "")) for key, name in CUT.items()}
    values: Values = {**description(context), **cut}
    try:
        values.update(look())
    except Unfit as error:
        values["fault"] = str(error)
    except (DataError, ValueError) as error:
        values["fault"] = f"cannot take part: {error}"
        if isinstance(error, OwnDataError):
            # Whoever put it there wants no model of other data: see server.py.
            values["source"] = "own"
    return answer_of(values, message)


def glance(loader: Callable[..., Dataset[S]], context: Context, **more: Any) -> Dataset[S]:
    """This node's data for an answer to a survey: all is counted, but only a few samples are read.

    Nodes that answer late are waited for only seconds, and to decode all images may take minutes.
    """
    return load(loader, context, "train", few=True, **more)


def about(dataset: Dataset[Any]) -> Values:
    """What the server must know of data to make a plan: no sample, and no label but the names of all classes."""
    return {
        "source": dataset.source,
        "origin": dataset.origin,
        "examples": dataset.total,
        "classes": list(dataset.classes),
        "columns": dataset.columns,
    }
