# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Failures of a node, as the person who reads them needs them."""

from __future__ import annotations


class NodeError(Exception):
    """A step failed. The text is one sentence: what, where, what to do; `code` is the word published as FL_ERROR."""

    def __init__(self, message: str, code: str = "configuration_failed") -> None:
        super().__init__(message)
        self.code = code


class OneGateError(Exception):
    """OneGate did not do what was asked; `status` is its HTTP status, 0 when it could not be reached."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status
