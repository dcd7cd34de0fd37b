# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What travels between server and nodes: answers of nodes and the plan of a run, both JSON in one text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from flower_ops.training.errors import TrainingError
from flwr.app import ConfigRecord, Message, RecordDict

#: What only JSON holds: texts, numbers, booleans, lists and dictionaries of them.
Values = dict[str, Any]

QUERY = "query.survey"
#: In an answer: the node's partition-id, empty when it has none.
PART = "partition"
#: And its num-partitions, empty likewise.
PARTS = "partitions"
_PLAN, _ANSWER = "plan", "answer"
_UNREADABLE = {"fault": "gave an answer that cannot be read"}
#: More than any name, fault or list of classes has.
MOST_OF_A_TEXT, MOST_IN_A_LIST = 2000, 100_000


class Undecided(TrainingError):
    """The nodes that are here cannot train together; the text says why and what to do."""


def said(plan: Values) -> dict[str, str]:
    """The plan as `train` tells it to nodes with each message."""
    return {_PLAN: json.dumps(plan, sort_keys=True)}


def read(told: Mapping[str, Any]) -> Values:
    """The plan of what a node was told (`client.messages.Task.told`); ValueError when there is none."""
    if _PLAN not in told:
        raise ValueError("the message holds no plan: the ServerApp must tell the one that it agreed on")
    return dict(json.loads(str(told[_PLAN])))


def answer_of(values: Values, asked: Message) -> Message:
    """A node's answer as a message."""
    return Message(RecordDict({_ANSWER: ConfigRecord({_ANSWER: json.dumps(values)})}), reply_to=asked)


def values_of(answer: Message) -> Values:
    """What a node answered, `fault` set when that is an error or cannot be read."""
    if answer.has_error():
        return {"fault": f"did not say what it has: {answer.error.reason}"}
    try:
        (record,) = answer.content.config_records.values()
        values = json.loads(str(record[_ANSWER]))
        return {str(key): _tame(value) for key, value in values.items()}
    # What is no dictionary, and lists in lists in lists without end.
    except (AttributeError, KeyError, RecursionError, ValueError):
        return dict(_UNREADABLE)


def _tame(value: Any) -> Any:
    """What a node says is logged: with line breaks it could write whole lines of the log. And it is not to be long."""
    if isinstance(value, str):
        text = " ".join(value.split())
        return "".join(letter if letter.isprintable() else "?" for letter in text)[:MOST_OF_A_TEXT]
    if isinstance(value, list):
        return [_tame(one) for one in value[:MOST_IN_A_LIST]]
    return value if isinstance(value, (bool, int, float)) else None
