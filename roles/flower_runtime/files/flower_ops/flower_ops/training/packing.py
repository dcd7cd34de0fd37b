# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model as one array on its way, because Flower transfers every array on its own, and each costs a SuperLink 40 ms.

That is the price of two objects of Flower's for an array, of which each is asked for, signed and kept by itself; it has
little to do with their size, so that a model of many arrays takes longer than its bytes do. The arrays themselves
travel as they are, to the last bit.

Nobody has to be told. A ServerApp offers it with each task; a node that reads the task and answers by
`client.messages` takes the offer, and from then on gets the model in this form too. Other apps do not see it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

from flwr.app import Array, ArrayRecord, Message, RecordDict

#: Key of a task's configuration: the answer's arrays may be packed.
OFFER = "arrays-may-be-packed"
#: What Flower calls the serialization of an array. The data is: length of the list (8 bytes, little endian), the list
#: as JSON with name, type, shape, serialization and bytes of each array, then the data of all arrays.
FORM = "opennebula.flower/arrays"
NAME = "packed"
_LENGTH = 8


def is_packed(record: ArrayRecord) -> bool:
    """Whether this is one array that stands for several."""
    return len(record) == 1 and next(iter(record.values())).stype == FORM


def packed(record: ArrayRecord) -> ArrayRecord:
    """The arrays as one."""
    listed = [[name, one.dtype, list(one.shape), one.stype, len(one.data)] for name, one in record.items()]
    head = json.dumps(listed, separators=(",", ":")).encode()
    data = b"".join((len(head).to_bytes(_LENGTH, "little"), head, *(one.data for one in record.values())))
    return ArrayRecord({NAME: Array("uint8", (len(data),), FORM, data)})


def unpacked(record: ArrayRecord) -> ArrayRecord:
    """The arrays that were packed; a record that is not packed stays as it is. ValueError when they cannot be read."""
    if not is_packed(record):
        return record
    data = memoryview(next(iter(record.values())).data)
    begin = _LENGTH + int.from_bytes(data[:_LENGTH], "little")
    result = ArrayRecord()
    try:
        for name, kind, shape, form, length in json.loads(bytes(data[_LENGTH:begin])):
            if not 0 <= length <= len(data) - begin or name in result:
                raise ValueError(f"array {name} is said to have {length} bytes, or to be there twice")
            result[name] = Array(kind, tuple(shape), form, bytes(data[begin : begin + length]))
            begin += length
    except (ValueError, TypeError, RecursionError) as error:
        # The bytes are another machine's.
        raise ValueError(f"packed arrays cannot be read: {error}") from error
    if begin != len(data):
        raise ValueError(f"packed arrays cannot be read: {len(data) - begin} bytes are left over")
    return result


class Parcels:
    """Packs for the nodes that have packed their last answer, and unpacks answers."""

    def __init__(self) -> None:
        self._nodes: set[int] = set()

    def wrap(self, messages: Iterable[Message]) -> None:
        """Pack what goes to such nodes; messages that share their content share it packed as well."""
        given = [message for message in messages if message.metadata.dst_node_id in self._nodes]
        contents = {id(message.content): message.content for message in given}
        made = {key: _changed(content, packed) for key, content in contents.items()}
        for message in given:
            message.content = made[id(message.content)]

    def unwrap(self, answers: Iterable[Message]) -> None:
        """Unpack answers; one that cannot be read stays as it is, for it has not the form of the model."""
        for answer in answers:
            node, failed = answer.metadata.src_node_id, answer.has_error()
            if not failed and not answer.content.array_records:
                continue
            # Whoever failed may have come back with an app that knows nothing of this.
            self._nodes.discard(node)
            if failed or not any(map(is_packed, answer.content.array_records.values())):
                continue
            try:
                answer.content = _changed(answer.content, unpacked)
            except ValueError:
                continue
            self._nodes.add(node)


def _changed(content: RecordDict, change: Callable[[ArrayRecord], ArrayRecord]) -> RecordDict:
    """The same records in their order, those of arrays changed."""
    return RecordDict(
        {name: change(record) if isinstance(record, ArrayRecord) else record for name, record in content.items()}
    )
