# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cloud tells of an object reaches the play: a change of any leaf of its XML shows in the result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from xml.etree import ElementTree

import pytest
from ansible_collections.opennebula.flower.plugins.module_utils.one.data.xml import to_dict
from ansible_collections.opennebula.flower.plugins.module_utils.one.info import objects as info
from ansible_collections.opennebula.flower.plugins.module_utils.one.info.hosts import represent_host
from ansible_collections.opennebula.flower.plugins.module_utils.one.info.vnets import represent_vnet
from ansible_collections.opennebula.flower.plugins.module_utils.one.vm_template import resource as vm_template

# Left out on purpose: the state before the present one, numbers that oned keeps for itself, who set a lock and when,
# and what a PCI device's address is made of.
LEFT_OUT = {
    "PREV_STATE", "DISK_TYPE", "TARGET_SNAPSHOT", "SNAPSHOTS/ALLOW_ORPHANS", "SNAPSHOTS/CURRENT_BASE",
    "SNAPSHOTS/NEXT_SNAPSHOT", "LOCK/OWNER", "LOCK/TIME", "LOCK/REQ_ID", "AR_POOL/AR/NEXT_INDEX", "VLAN_ID_AUTOMATIC",
    "OUTER_VLAN_ID_AUTOMATIC", "HOST_SHARE/DATASTORES/DISK_USAGE", "MONITORING/ID",
    *(f"HOST_SHARE/PCI_DEVICES/PCI/{name}" for name in ("DOMAIN", "BUS", "SLOT", "FUNCTION")),
}  # fmt: skip
# What is measured of a node changes from second to second, and is told of the whole host.
LEFT_OUT_BELOW = ("MONITORING/NUMA_NODE/",)


def leaves(node: ElementTree.Element, path: str = "") -> Iterator[tuple[str, ElementTree.Element]]:
    """Each leaf below a node with its path."""
    for child in node:
        below = f"{path}/{child.tag}" if path else child.tag
        if len(child):
            yield from leaves(child, below)
        else:
            yield below, child


def unseen(body: str, represent: Callable[[dict[str, Any]], dict[str, Any]]) -> set[str]:
    """Paths of leaves whose change changes nothing in what the module returns."""
    root = ElementTree.fromstring(body)
    before = represent(to_dict(body))
    found = set()
    for path, leaf in leaves(root):
        kept, seen = leaf.text, False
        for other in ("YES", "1", "7", "1048576", "x"):
            leaf.text = other
            seen = seen or represent(to_dict(ElementTree.tostring(root, "unicode"))) != before
        leaf.text = kept
        # What is empty here may be a list elsewhere.
        for inner in ("<ID>7</ID>", "<INCREMENT><ID>7</ID></INCREMENT>", "<LEASE><VM>7</VM></LEASE>"):
            if not kept:
                child = ElementTree.fromstring(inner)
                leaf.append(child)
                seen = seen or represent(to_dict(ElementTree.tostring(root, "unicode"))) != before
                leaf.remove(child)
        if not seen and path not in LEFT_OUT and not path.startswith(LEFT_OUT_BELOW):
            found.add(path)
    return found


@pytest.mark.parametrize(
    ("kind", "represent"),
    [
        ("image", info.represent_image),
        ("template", vm_template.represent),
        ("vn", represent_vnet),
        ("host", represent_host),
    ],
)
def test_nothing_that_the_cloud_tells_is_dropped(cloud, image, vm_template, kind, represent) -> None:
    assert unseen(cloud.admin.call(f"one.{kind}.info", 0), represent) == set()
