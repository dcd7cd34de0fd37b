# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The step that leaves a keeper behind: the service that mends this VM from now on."""

from __future__ import annotations

import os

from flower_ops.node.node import Node

UNIT = "flower-keeper.service"
#: Set in the environment of everything that the keeper starts.
INSIDE = "FLOWER_KEEPER"


def keeper(node: Node) -> None:
    """Run the keeper. It waits for the boot that starts it, so this run does not wait for it in turn."""
    if INSIDE in os.environ:
        # Restarting it from within would end this very run; the keeper sees by itself that its code was replaced.
        return
    if node.systemd.available and not node.systemd.state(UNIT).loaded:
        node.warnings.append(f"There is no unit {UNIT} on this VM, so nobody mends what breaks; apply flower_runtime")
        return
    node.start(UNIT, [], wait=False)
