# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NUMA nodes of hosts of the dummy driver, as its monitoring reports them: nothing is pinned to them here."""

from __future__ import annotations

from . import xml
from .records import Record

_NODES, _CORES, _THREADS = 2, 8, 4
_PAGE_SIZES, _PAGES = (2048, 1048576), 1024


def render(host: Record) -> str:
    """NUMA_NODES: cores, huge pages and memory (KB) of each node."""
    if host.data["im_mad"] != "dummy":
        return "<NUMA_NODES></NUMA_NODES>"
    nodes = []
    for node in range(_NODES):
        cores = "".join(_core(node * _CORES + index) for index in range(_CORES))
        pages = "".join(
            f"<HUGEPAGE>{xml.raw('PAGES', _PAGES)}{xml.raw('SIZE', size)}{xml.raw('USAGE', 0)}</HUGEPAGE>"
            for size in _PAGE_SIZES
        )
        others = " ".join(str(other) for other in range(_NODES) if other != node)
        nodes.append(
            f"<NODE>{cores}{pages}<MEMORY>{xml.raw('DISTANCE', f'{node} {others}')}"
            f"{xml.raw('TOTAL', total_memory(host) // _NODES)}{xml.raw('USAGE', 0)}</MEMORY>"
            f"{xml.raw('NODE_ID', node)}</NODE>"
        )
    return f"<NUMA_NODES>{''.join(nodes)}</NUMA_NODES>"


def _core(number: int) -> str:
    cpus = ",".join(f"{number + thread * _CORES * _NODES}:-1" for thread in range(_THREADS))
    return (
        f"<CORE>{xml.raw('CPUS', cpus)}{xml.raw('DEDICATED', 'NO')}{xml.raw('FREE', _THREADS)}{xml.raw('ID', number)}"
        "</CORE>"
    )


def render_monitoring(host: Record) -> str:
    """NUMA_NODE of MONITORING: free huge pages and memory (KB)."""
    if host.data["im_mad"] != "dummy":
        return ""
    share = total_memory(host) // _NODES
    return "".join(
        "<NUMA_NODE>"
        + "".join(
            f"<HUGEPAGE>{xml.raw('FREE', _PAGES)}{xml.raw('SIZE', size)}</HUGEPAGE>" for size in _PAGE_SIZES
        )
        + f"<MEMORY>{xml.raw('FREE', share)}{xml.raw('USED', 0)}</MEMORY>{xml.raw('NODE_ID', node)}</NUMA_NODE>"
        for node in range(_NODES)
    )


def total_memory(host: Record) -> int:
    """KB that the host has, whatever of it is reserved."""
    return int(host.data.get("total_memory", host.data["memory"]))
