# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Failures of a node, as the person who reads them needs them."""

from __future__ import annotations


class NodeError(Exception):
    """A step failed. The text is one sentence: what, where, what to do; `code` is the word published as FL_ERROR.

    `last_words` are what a service logged at last. Apps may have printed it, so it is for those who may read the
    journal, never for OneGate, which every VM of the service reads.
    """

    def __init__(self, message: str, code: str = "configuration_failed", last_words: str = "") -> None:
        super().__init__(message)
        self.code, self.last_words = code, last_words

    @property
    def full(self) -> str:
        """The sentence and the last words."""
        return f"{self} Its last words: {self.last_words}" if self.last_words else str(self)


class OneGateError(Exception):
    """OneGate did not do what was asked; `status` is its HTTP status, 0 when it could not be reached."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status
