# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What modules and the inventory ask of objects alike: names, references, states, labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from ..data.states import is_unknown
from ..data.xml import text
from ..errors import OneUsageError


def is_named(name: str, wanted: str | None) -> bool:
    """Tell whether a name is the wanted one, or matches it as a pattern with shell wildcards; None wants any."""
    return wanted is None or name == wanted or fnmatchcase(name, wanted)


def is_same(reference: Mapping[str, Any], wanted: str | None) -> bool:
    """Tell whether {"id", "name"} is what a user named by id or name; None wants any."""
    return wanted is None or wanted in (reference["name"], str(reference["id"]))


def is_owned(body: Mapping[str, Any], wanted: str | None) -> bool:
    """Tell whether an XML body belongs to the user named by id or name; None wants any."""
    return wanted is None or wanted in (text(body, "UNAME"), text(body, "UID"))


def has_state(state: str, wanted: Iterable[str] | None) -> bool:
    """Tell whether a state's name is among the wanted ones, whatever their case; none wanted is any."""
    names = {name.upper() for name in wanted or ()}
    return not names or state.upper() in names


def checked_states(wanted: Iterable[str] | None, table: Iterable[str], what: str) -> list[str]:
    """Return the wanted states in upper case, or refuse one that no object can have; UNKNOWN(n) is always possible."""
    names, known = [name.upper() for name in wanted or ()], frozenset(table)
    for name in names:
        if name not in known and not is_unknown(name):
            raise OneUsageError(f"states: {what} have no state {name}", hint=f"they have {', '.join(sorted(known))}")
    return names


def has_label(labels: Iterable[str], wanted: str) -> bool:
    """Whether the label is among them, or one below it: `web` finds `web/front` too."""
    wanted = wanted.strip().strip("/")
    return any(label.strip("/") == wanted or label.startswith(f"{wanted}/") for label in labels)
