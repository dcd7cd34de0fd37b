# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Flower app on this machine alone: one SuperLink and some SuperNodes as plain processes on loopback."""

from __future__ import annotations
