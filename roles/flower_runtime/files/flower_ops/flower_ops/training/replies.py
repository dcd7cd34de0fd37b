# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers of nodes before they are aggregated: what one node does wrong is that node's failure, not the run's.

Flower's strategies raise when one answer differs in form from the others, which ends the run, and average whatever
numbers they get: one NaN makes the global model useless for good.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from flower_ops.training.flower import failure, look
from flwr.app import Array, ArrayRecord, Message
from numpy.typing import NDArray

Shapes = list[tuple[int, ...]]
# Weights whose sum is infinite make every share zero, and with it the model, whatever rule chose the answers.
TOO_MANY = 1 << 53


def screened(
    replies: Iterable[Message],
    sent: Iterable[Message],
    arrays: ArrayRecord | None,
    weight: str,
    all_finite: Callable[[list[Message]], bool] | None = None,
) -> list[Message]:
    """The same answers, those that cannot be used replaced by errors that say why.

    sent: the messages that were answered. arrays: what nodes were to train; None for evaluation, whose answers hold
    metrics only. weight: name of the metric by which answers are weighted. all_finite: says of the usable answers at
    once whether all their values are finite and in range; only when it does not are they looked at one by one.
    """
    # By node, so that chance does not decide which of two forms counts as the usual one.
    answers = sorted(replies, key=lambda answer: answer.metadata.src_node_id)
    asked = {message.metadata.dst_node_id: message for message in sent}
    shapes = None if arrays is None else [tuple(array.shape) for array in arrays.values()]
    if arrays is not None:
        for answer in answers:
            _rename(answer, list(arrays))
    faults = [None if answer.has_error() else fault(answer, shapes, weight) for answer in answers]
    # Names of records and metrics are the app's choice, but all nodes must have made the same one.
    forms = [
        None if answer.has_error() or found else _form(answer) for answer, found in zip(answers, faults, strict=True)
    ]
    counted = Counter(form for form in forms if form is not None)
    usual = counted.most_common(1)[0][0] if counted else None
    result = []
    for answer, found, form in zip(answers, faults, forms, strict=True):
        if found is None and form is not None and form != usual:
            found = "its arrays or metrics have other names or forms than those of most nodes"
        result.append(answer if found is None else failure(found, asked[answer.metadata.src_node_id]))
    good = [answer for answer in result if not answer.has_error()]
    if arrays is None or (all_finite and all_finite(good)):
        return result
    kinds = [np.dtype(array.dtype) for array in arrays.values()]
    wild = {answer.metadata.src_node_id: why for answer in good if (why := out_of_range(answer, kinds))}
    return [
        failure(wild[node], asked[node]) if (node := answer.metadata.src_node_id) in wild else answer
        for answer in result
    ]


def fault(answer: Message, shapes: Shapes | None, weight: str) -> str | None:
    """Why an answer without error cannot be used, or None."""
    content = answer.content
    metrics = list(content.metric_records.values())
    if len(metrics) != 1:
        return f"it sent {len(metrics)} records of metrics instead of one"
    examples = metrics[0].get(weight)
    if not isinstance(examples, (int, float)) or not 0 < examples < TOO_MANY:
        return f"its metric {weight} is {examples!r}, not a number above 0 and below 2^53"
    if shapes is None:
        return None
    records = list(content.array_records.values())
    if len(records) != 1:
        return f"it sent {len(records)} records of arrays instead of one"
    got = [tuple(array.shape) for array in records[0].values()]
    if got != shapes:
        return f"its arrays have the shapes {_brief(got)} instead of {_brief(shapes)}"
    wrong = ((name, _array_fault(array)) for name, array in records[0].items())
    return next((f"its array {name} {why}" for name, why in wrong if why), None)


def out_of_range(answer: Message, kinds: Sequence[np.dtype[Any]]) -> str | None:
    """Which array of an answer that is right in form has values that the model's types do not hold; None: none has.

    kinds: of the model's arrays, in order. A node may answer in another type, and the mean becomes the model's again.
    """
    (record,) = answer.content.array_records.values()
    for (name, array), kind in zip(record.items(), kinds, strict=True):
        values = look(array)
        if not np.isfinite(values).all():
            return f"its array {name} has values that are not finite"
        if values.dtype != kind and not _held(values, kind):
            return f"its array {name} has values that {kind} does not hold"
    return None


def _held(values: NDArray[Any], kind: np.dtype[Any]) -> bool:
    """Whether finite values, rounded where the type is one of integers, are none beyond its range."""
    if kind.kind not in "fiu" or values.dtype.kind == "b" or not values.size:
        return True
    low, high = values.min(), values.max()
    if kind.kind == "f":
        return float(low) >= float(np.finfo(kind).min) and float(high) <= float(np.finfo(kind).max)
    # As integers of Python: a float next to the bound of a type is on its wrong side.
    return int(np.rint(low)) >= np.iinfo(kind).min and int(np.rint(high)) <= np.iinfo(kind).max


def _array_fault(array: Array) -> str | None:
    """Why an array of a node cannot be read as it says, to go on its name; None when it can."""
    try:
        values = look(array)
    except Exception as error:
        # The bytes are a node's: whatever NumPy makes of them must not end the run.
        return f"cannot be read: {type(error).__name__}"
    if values.shape != tuple(array.shape):
        return f"has the shape {values.shape} and not {tuple(array.shape)}, as it says"
    if values.dtype.kind not in "fiub":
        return f"holds {values.dtype}, not numbers"
    return None


def _rename(answer: Message, names: list[str]) -> None:
    """Give an answer's arrays the names that the model's have: a node may name what it trained as it likes.

    By their names where those are the same in another order, else by their places. Strategies know arrays by name, and
    so would not find what they sent.
    """
    if answer.has_error():
        return
    for key, record in list(answer.content.array_records.items()):
        own = list(record)
        if own != names and len(own) == len(names):
            places = names if set(own) == set(names) else own
            answer.content[key] = ArrayRecord({name: record[place] for name, place in zip(names, places, strict=True)})


def _form(answer: Message) -> tuple[tuple[str, ...], ...]:
    """Names of the records and of what is in them, and of metrics how many numbers each has."""
    content = answer.content
    metrics, figures = next(iter(content.metric_records.items()))
    # Lists of different lengths, or a list and a number, have no mean.
    sizes = (f"{name} {len(value) if isinstance(value, list) else ''}" for name, value in figures.items())
    names = (metrics, *sorted(sizes))
    for arrays, record in content.array_records.items():
        return (arrays, *record), names
    return (), names


def _brief(shapes: Shapes) -> str:
    """At most four shapes."""
    return ", ".join(map(str, shapes[:4])) + (f" and {len(shapes) - 4} more" if len(shapes) > 4 else "")
