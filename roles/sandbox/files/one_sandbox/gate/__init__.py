# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OneGate: what a VM may learn about itself and its service, and tell about itself. A client of oned and OneFlow."""

from __future__ import annotations

from .server import GateServer

__all__ = ["GateServer"]
