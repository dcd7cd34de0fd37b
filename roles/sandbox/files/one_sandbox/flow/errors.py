# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Failures of OneFlow as HTTP answers."""

from __future__ import annotations

from ..oned import errors as oned

BAD_REQUEST, GENERAL = 400, 500

# Not a slip: the server answers "not authorised" with 401 and "not authenticated" with 403.
_STATUS = {oned.AUTHORIZATION: 401, oned.AUTHENTICATION: 403, oned.NO_EXISTS: 404}


class FlowError(Exception):
    """An answer of plain text with that HTTP status."""

    def __init__(self, message: str, status: int = GENERAL) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


class Uncaught(Exception):
    """What the server does not catch: status 500 and a JSON body {"message", "reason"}."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def status_of(error: oned.OnedError) -> int:
    """HTTP status for an error of oned."""
    return _STATUS.get(error.code, GENERAL)
