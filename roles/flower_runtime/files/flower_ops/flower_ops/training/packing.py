# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model in few parcels on its way, because Flower transfers every array on its own, each at 40 ms of a SuperLink.

That is the price of two objects of Flower's for an array, of which each is asked for, signed and kept by itself; it has
little to do with their size, so that a model of many small arrays takes longer than its bytes do. Small arrays travel
in parcels, large ones by themselves, and all of them as they are, to the last bit.

A ServerApp offers it with each task. A node whose app has `client.parcels` takes the offer, and from then on gets the
model in this form too; an app without it is asked and answers as ever, and finds one more key in its configuration.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

from flwr.app import Array, ArrayRecord, RecordDict

#: Key of a task's configuration: the answer's arrays may be packed.
OFFER = "arrays-may-be-packed"
#: What Flower calls the serialization of an array. The data is: length of the list (8 bytes, little endian), the list
#: as JSON with name, type, shape, serialization and bytes of each array, then the data of these arrays.
FORM = "opennebula.flower/arrays"
#: What names of parcels begin with.
NAME = "opennebula.flower/parcel-"
#: Bytes: from where on an array travels by itself, and what a parcel has at most. Whole models in one piece would need
#: a server with half as much memory again.
LARGE, PARCEL = 1 << 20, 4 << 20
#: Arrays in a parcel, letters of a name, and bytes of the list, which takes 25 times as much memory when it is read.
MOST, LONGEST, LIST = 500, 200, 1 << 20
_LENGTH = 8
Named = list[tuple[str, Array]]


def is_packed(record: ArrayRecord) -> bool:
    """Whether there are parcels in it."""
    return any(one.stype == FORM for one in record.values())


def packed(record: ArrayRecord) -> ArrayRecord:
    """The same arrays, runs of small ones in parcels; without two that are small side by side, the record as it is.

    So is one with names that do not fit: an app may have taken them from a node.
    """
    groups = list(_groups(record))
    if len(groups) == len(record) or not all(map(_fits, record)):
        return record
    return ArrayRecord(dict(group[0] if len(group) == 1 else _parcel(group) for group in groups))


def _fits(name: str) -> bool:
    """Whether a name can be listed: JSON knows halves of letters, and no bytes stand for them."""
    return len(name) <= LONGEST and not name.startswith(NAME) and not any("\ud800" <= one <= "\udfff" for one in name)


def _groups(record: ArrayRecord) -> Iterator[Named]:
    """The arrays in their order, those together that share a parcel."""
    group: Named = []
    size = 0
    for name, one in record.items():
        length = len(one.data)
        # Nothing is added to an array that is large.
        if group and (length >= LARGE or size + length >= PARCEL or len(group) == MOST):
            yield group
            group, size = [], 0
        group.append((name, one))
        size += PARCEL if length >= LARGE else length
    if group:
        yield group


def _parcel(group: Named) -> tuple[str, Array]:
    listed = [[name, one.dtype, list(one.shape), one.stype, len(one.data)] for name, one in group]
    head = json.dumps(listed, separators=(",", ":"), ensure_ascii=False).encode()
    data = b"".join((len(head).to_bytes(_LENGTH, "little"), head, *(one.data for _name, one in group)))
    return NAME + group[0][0], Array("uint8", (len(data),), FORM, data)


def unpacked(record: ArrayRecord) -> ArrayRecord:
    """The arrays in their order, no parcels among them; ValueError when one cannot be read."""
    if not is_packed(record):
        return record
    result = ArrayRecord()
    try:
        for key, one in record.items():
            for name, array in _opened(one.data) if one.stype == FORM else [(key, one)]:
                if name in result:
                    raise ValueError(f"array {name} is there twice")
                result[name] = array
    except (ValueError, TypeError, RecursionError) as error:
        # The bytes are another machine's.
        raise ValueError(f"packed arrays cannot be read: {error}") from error
    return result


def _opened(parcel: bytes) -> Iterator[tuple[str, Array]]:
    data = memoryview(parcel)
    begin = _LENGTH + int.from_bytes(data[:_LENGTH], "little")
    if begin > _LENGTH + LIST:
        raise ValueError(f"the list of arrays has {begin - _LENGTH} bytes")
    for name, kind, shape, form, length in json.loads(bytes(data[_LENGTH:begin])):
        if not 0 <= length <= len(data) - begin or form == FORM:
            raise ValueError(f"array {name} has the form {form} and {length} bytes")
        yield name, Array(kind, tuple(shape), form, bytes(data[begin : begin + length]))
        begin += length
    if begin != len(data):
        raise ValueError(f"{len(data) - begin} bytes are left over")


def changed(content: RecordDict, change: Callable[[ArrayRecord], ArrayRecord]) -> RecordDict:
    """The same records in their order, those of arrays changed."""
    return RecordDict(
        {name: change(record) if isinstance(record, ArrayRecord) else record for name, record in content.items()}
    )
