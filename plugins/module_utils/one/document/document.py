# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents of OneFlow as plain data: identity, mark and body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..data.marks import MARK_KEY
from ..data.xml import common_fields

Document = Mapping[str, Any]

#: On the way out: nothing but waiting is possible, and the name is about to be free.
GOING_STATES = frozenset({"UNDEPLOYING", "UNDEPLOYING_NETS"})


def body_of(document: Document) -> dict[str, Any]:
    body = (document.get("TEMPLATE") or {}).get("BODY")
    return body if isinstance(body, dict) else {}


def mark_of(document: Document) -> str | None:
    """The federation that the service or service template is marked as belonging to."""
    mark = body_of(document).get(MARK_KEY)
    return None if mark in (None, "") else str(mark)


def identity(document: Document) -> dict[str, Any]:
    return {**common_fields(dict(document)), "mark": mark_of(document)}


def template_view(document: Document) -> dict[str, Any]:
    """A service template for people: identity and `template`, the body as it is stored."""
    return {**identity(document), "template": dict(body_of(document))}
