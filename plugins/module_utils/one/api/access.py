# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may not do what: words for a user who is unknown, and for one who lacks a right."""

from __future__ import annotations

import re

from ..errors import OneAuthenticationError, OneAuthorizationError, OneError

_LACKING = re.compile(r"Not authorized to perform ([A-Z]+) ([A-Z_ ]+?)(?: \[(-?\d+)\])?\.?\s*$")
_RESTRICTED = re.compile(r"restricted attribute (\S+?)\.?\s*$")
_LOCKED = re.compile(r"is locked")


def explained(error: OneError, username: str) -> OneError:
    """Return the error with a hint that names the user (never the password) and, where it is known, the object."""
    if isinstance(error, OneAuthenticationError):
        error.hint = (
            f"user {username} is unknown there, the password is wrong or the token has expired: check api_username and "
            "api_password (or ONE_USERNAME, ONE_PASSWORD, ONE_AUTH)"
        )
    elif isinstance(error, OneAuthorizationError):
        error.hint = _what_is_missing(error.text, username)
    return error


def _what_is_missing(text: str, username: str) -> str:
    if _LOCKED.search(text):
        return "unlock it first"
    restricted = _RESTRICTED.search(text)
    if restricted:
        return f"user {username} may not set {restricted.group(1)}: leave it out, or ask an administrator"
    lacking = _LACKING.search(text)
    if lacking:
        right, kind, number = lacking.groups()
        target = kind if number in (None, "-1") else f"{kind} {number}"
        return f"user {username} lacks the right {right} on {target}: ask its owner or an administrator"
    return f"user {username} lacks a right: ask an administrator"
