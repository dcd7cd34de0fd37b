# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a VM sends to change its attributes: `KEY=value` lines, checked and quoted."""

from __future__ import annotations

from .errors import GateError

_RESTRICTED = ("SCHED_REQUIREMENTS", "SERVICE_ID", "ROLE_NAME")


def quoted(text: str) -> str:
    """Add the quotes that a client left out, the way the server does it, character by character.

    A value with a comma, a bracket or a backslash in it does not survive this, quoted or not: send such values encoded.
    """
    result: list[str] = []
    inside = False
    for index, char in enumerate(text):
        before = text[index - 1]
        after = text[index + 1] if index + 1 < len(text) else ""
        if char == "=" and inside:
            result.append(char)
        elif char == "=" and after not in ("[", '"'):
            result.append('="')
            inside = True
        elif char in ",\\\n" and before != '"':
            result.append('"' + char)
            inside = inside and char == ","
        elif char in "[]" and before not in ("=", '"'):
            result.append('"' + char)
            inside = inside and char == "["
        else:
            result.append(char)
    joined = "".join(result).replace("\\n", "\n")
    return joined + '"' if inside and joined[-1] not in ']"' else joined


def refuse_restricted(text: str, verb: str) -> None:
    """Raise GateError 403 when a line names an attribute that VMs may not touch. verb: "modified" or "deleted"."""
    for line in text.split("\n"):
        name = line.split("=")[0]
        if name.upper() in _RESTRICTED:
            raise GateError(403, f"Attribute ({name}) cannot be {verb}")
