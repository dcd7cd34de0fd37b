# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flower's public names as this package uses them, and what differs between its versions.

Works alike on 1.25.0, 1.32.1, 1.34.0 and 1.41.0. The logger is taken by its name, because the function that hands it
out moved from `flwr.common` to `flwr.supercore`; its lines are what `flower_ops.runs.log` reads. Arrays without
dimensions: see `strategies/base.py`. The argument of `Grid.set_run`: see `grid.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, Error, Message, MetricRecord
from numpy.typing import NDArray

Arrays = list[NDArray[Any]]

LOG = logging.getLogger("flwr")
# Letters of an error that are kept: enough for its end, which in a traceback is the point.
MOST_OF_A_REASON = 2000


def record_of(arrays: Arrays) -> ArrayRecord:
    """Arrays under the names "0", "1", … as Flower gives them to a list."""
    return ArrayRecord({str(place): array(values) for place, values in enumerate(arrays)})


def arrays_of(record: ArrayRecord) -> Arrays:
    """The arrays in the order in which they were put in."""
    return [np.asarray(values) for values in record.to_numpy_ndarrays()]


def array(values: Any) -> Array:
    """One array as Flower writes it; also of a scalar of NumPy, which 1.25.0 does not take for an array.

    The values are copied once, into the message; Flower's own way copies them three times.
    """
    whole = np.asarray(values)
    if not whole.ndim or not whole.flags.c_contiguous or whole.dtype.hasobject:
        return Array(whole)
    head = BytesIO()
    np.lib.format.write_array_header_1_0(head, np.lib.format.header_data_from_array_1_0(whole))
    data = b"".join((head.getvalue(), whole.reshape(-1).view(np.uint8).data))
    return Array(str(whole.dtype), whole.shape, "numpy.ndarray", data)


def look(one: Array) -> NDArray[Any]:
    """The values to look at, not to change: where they can be read from the message itself, they are not copied.

    A look at all answers of a round then costs a third. The form is NumPy's .npy, which is what Flower writes.
    """
    data = BytesIO(one.data)
    if one.stype != "numpy.ndarray" or np.lib.format.read_magic(data) != (1, 0):
        return np.asarray(one.numpy())
    head = one.data[: 10 + int.from_bytes(one.data[8:10], "little")]
    shape, by_columns, kind = _header(head)
    if kind.hasobject or kind.subdtype or any(size < 0 for size in shape):
        # NumPy would make something of the latter two here, and refuse them where Flower reads the array.
        raise ValueError("the array holds something else than numbers, or says a size below zero")
    values = np.frombuffer(one.data, kind, offset=len(head))
    return values.reshape(shape, order="F" if by_columns else "C")


@lru_cache(maxsize=1024)
def _header(head: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether by columns, and type that a .npy begins with; parsing takes long, and nodes send the same ones."""
    stream = BytesIO(head)
    stream.seek(8)
    found: tuple[tuple[int, ...], bool, np.dtype[Any]] = np.lib.format.read_array_header_1_0(stream)
    return found


def figures(record: Mapping[str, Any] | MetricRecord | None) -> dict[str, Any] | None:
    """A MetricRecord, or what an app measured, as a plain dictionary; None stays None.

    Numbers of NumPy become Python's: NumPy 2 prints them as calls, which the reader of runs takes for no figures.
    """
    if record is None:
        return None
    plain = (np.generic, np.ndarray)
    return {str(key): value.tolist() if isinstance(value, plain) else value for key, value in record.items()}


def failure(reason: str, sent: Message) -> Message:
    """What stands in for the answer to `sent` when there is none that can be used: an error reply of its node.

    The reason becomes one line. Nodes have their words in it, and it is logged: with line breaks a node could write
    whole lines of the log.
    """
    line = "".join(letter if letter.isprintable() else "?" for letter in " ".join(reason.split()))
    return Message(Error(code=0, reason=line[:MOST_OF_A_REASON]), reply_to=sent)
