# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Failures of OneGate as HTTP answers."""

from __future__ import annotations


class GateError(Exception):
    """An answer of plain text. Status 500 never shows its reason: the server masks it."""

    def __init__(self, status: int, message: str = "Internal server error") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
