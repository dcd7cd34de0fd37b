# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node is asked to do in a round, and its answer in the form that every strategy expects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from flower_ops.training.flower import Arrays, arrays_of, record_of
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict

EXAMPLES = "num-examples"


@dataclass(frozen=True)
class Task:
    """One round as this node gets it.

    arrays: the global model. round: from 1 to rounds (0 when the server does not say), true also after a restart, so
    seeds made of it repeat nothing. proximal_mu: weight of FedProx's term, 0 for other strategies. client_lr: the
    learning rate that the operator chose for nodes (FedAdam), else None. told: all that the ServerApp says.
    """

    arrays: Arrays
    round: int
    rounds: int
    proximal_mu: float = 0.0
    client_lr: float | None = None
    told: Mapping[str, Any] = field(default_factory=dict)


def task_of(message: Message) -> Task:
    """What a training or evaluation message asks for; ValueError when it holds no model."""
    arrays = next(iter(message.content.array_records.values()), None)
    if arrays is None:
        raise ValueError("the message holds no arrays: the ServerApp must send the global model with it")
    config = next(iter(message.content.config_records.values()), ConfigRecord())
    rate = config.get("client-lr")
    return Task(
        arrays=arrays_of(arrays),
        round=int(_number(config.get("server-round"), 0)),
        rounds=int(_number(config.get("num-server-rounds"), 0)),
        proximal_mu=float(_number(config.get("proximal-mu"), 0.0)),
        client_lr=None if rate is None else float(_number(rate, 0.0)),
        told=dict(config),
    )


def _number(value: object, default: float) -> float:
    return value if isinstance(value, (int, float)) else default


def trained(message: Message, arrays: Arrays, examples: int, metrics: Mapping[str, float] | None = None) -> Message:
    """The answer to a training message: this node's model and figures, weighted by its number of examples."""
    return answer(message, examples, metrics, record_of(arrays))


def evaluated(message: Message, examples: int, metrics: Mapping[str, float]) -> Message:
    """The answer to an evaluation message: figures only."""
    return answer(message, examples, metrics)


def answer(
    message: Message, examples: int, metrics: Mapping[str, float] | None = None, arrays: ArrayRecord | None = None
) -> Message:
    """An answer with or without a model; ValueError without examples, for nothing can be weighted by zero."""
    if examples < 1:
        raise ValueError(f"{examples} examples: a node without data cannot take part; look at its data folder")
    figures = {name: float(value) for name, value in (metrics or {}).items()}
    content = RecordDict({"metrics": MetricRecord({**figures, EXAMPLES: int(np.int64(examples))})})
    if arrays is not None:
        content["arrays"] = arrays
    return Message(content, reply_to=message)
