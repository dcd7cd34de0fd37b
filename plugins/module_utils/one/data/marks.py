# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ownership marks: an object that does not carry the federation's mark is never changed or deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import OneMarkError

# Attribute in TEMPLATE (images, templates, networks) or USER_TEMPLATE (VMs).
MARK_ATTRIBUTE = "FLOWER_FEDERATION"
# Key in the body of OneFlow documents.
MARK_KEY = "flower_federation"


def mark_of(attributes: Mapping[str, Any] | None) -> str | None:
    """Return the mark in an object's attributes, None where there is none."""
    value = (attributes or {}).get(MARK_ATTRIBUTE)
    return value if isinstance(value, str) and value else None


def require_mark(kind: str, name: str, object_id: Any, found: str | None, wanted: str | None) -> None:
    """Raise OneMarkError unless the object carries the wanted mark; without a wanted mark everything is allowed."""
    if wanted is None or found == wanted:
        return
    other = f"it belongs to federation {found}" if found else "it has no ownership mark"
    raise OneMarkError(
        f"{kind} {name} (id {object_id}) exists but is not marked as belonging to federation {wanted}: {other}",
        hint=f"choose another name, or give it the attribute {MARK_ATTRIBUTE}={wanted} yourself if it is yours",
    )
