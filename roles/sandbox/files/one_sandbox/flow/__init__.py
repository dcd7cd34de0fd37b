# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OneFlow: groups of VMs that are born, grow and die together. A client of oned, as in reality."""

from __future__ import annotations

from .server import FlowServer

__all__ = ["FlowServer"]
