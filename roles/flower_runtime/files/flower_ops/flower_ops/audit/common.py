# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nodes have in common from the start, and what of it is nobody's secret.

Nobody's are files that every node has, byte for byte: a bundled or published data set. And what tells no sample from
others: labels, and stretches that two different samples have in common, such as a white corner. A sample that another
node has as well, whole, is still looked for, so that it is found there and named.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from flower_ops.audit.prints import Prints
from flower_ops.audit.windows import WIDTHS

#: A hash, and the positions of the nodes that have it.
Together = dict[int, list[int]]


@dataclass(frozen=True)
class Shared:
    """How much of a node's data another node has from the start."""

    node: str
    other: str
    share: float


def set_apart(all_prints: Sequence[Prints]) -> list[Shared]:
    """Take out of all what is nobody's secret. Returns how much two nodes have in common, also what stays."""
    before = [one.total for one in all_prints]
    together = {width: _together(all_prints, width) for width in WIDTHS}
    contents = _on_all(all_prints)
    bundled = [_bundled(one, contents) for one in all_prints]
    common: Counter[tuple[int, int]] = Counter()
    for found in together.values():
        for nodes in found.values():
            common.update((node, other) for node in nodes for other in nodes if node != other)
    for width, found in together.items():
        unwanted = {key for one in bundled for key in one[width]}
        for key, nodes in found.items():
            wholes = {_whole(all_prints[number], width, key) for number in nodes}
            if len(wholes) > 1 or 0 in wholes:
                unwanted.add(key)
        if unwanted:
            for one in all_prints:
                one.tables[width] = one.tables[width].without(unwanted)
    return [
        Shared(all_prints[node].node, all_prints[other].node, round(count / before[node], 4))
        for (node, other), count in sorted(common.items())
    ]


def _on_all(all_prints: Sequence[Prints]) -> set[int]:
    """Files that every node has."""
    if len(all_prints) < 2:
        return set()
    return set.intersection(*(set(one.contents) - {0} for one in all_prints))


def _bundled(one: Prints, contents: set[int]) -> dict[int, list[int]]:
    """Hashes of a node's samples in such files, by width."""
    files = {number for number, content in enumerate(one.contents) if content in contents}
    return {
        width: [key for key, owner in zip(table.keys, table.owners, strict=True) if one.files[owner] in files]
        if files
        else []
        for width, table in one.tables.items()
    }


def _whole(one: Prints, width: int, key: int) -> int:
    """The sample that a hash belongs to."""
    owner = one.tables[width].find(key)
    return 0 if owner is None else one.wholes[owner]


def _together(all_prints: Sequence[Prints], width: int) -> Together:
    """Hashes of two nodes or more, and whose they are."""

    def named(number: int) -> Iterator[tuple[int, int]]:
        return ((key, number) for key in all_prints[number].tables[width].keys)

    found: Together = {}
    last, nodes = -1, [-1]
    for key, number in heapq.merge(*(named(number) for number in range(len(all_prints)))):
        if key == last:
            nodes.append(number)
            found[key] = nodes
            continue
        last, nodes = key, [number]
    return found
