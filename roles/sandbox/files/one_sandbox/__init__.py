# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small OpenNebula look-alike: XML-RPC, OneFlow and OneGate in one process; VMs are containers, or mere entries."""

from __future__ import annotations

from .sandbox import Sandbox

__all__ = ["Sandbox"]
