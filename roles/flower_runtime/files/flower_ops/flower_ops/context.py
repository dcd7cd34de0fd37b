# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Context variables of a VM: the table, reading, merging, and validation that reports every fault at once."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flower_ops import rules

_EXPORT = re.compile(r"^export ([A-Za-z_][A-Za-z0-9_]*)=", re.MULTILINE)
_ESCAPE = re.compile(r'\\(["\\$`])')


@dataclass(frozen=True)
class Variable:
    """A row of the table. `capability` None: only the default is accepted, because nothing gives it effect yet."""

    name: str
    role: str
    level: str
    type: str
    options: list[str]
    default: str
    rule: str
    text: str
    capability: str | None

    @property
    def secret(self) -> bool:
        """Whether the value must never be shown."""
        return self.rule in rules.SECRET_RULES


@dataclass(frozen=True)
class Fault:
    """One thing wrong with one variable; `value` is already masked and shortened for display."""

    name: str
    value: str
    expected: str

    def __str__(self) -> str:
        return f"{self.name}={self.value}: {self.expected}"

    def as_dict(self) -> dict[str, str]:
        """Plain form for JSON answers."""
        return {"name": self.name, "value": self.value, "expected": self.expected}


def table() -> dict[str, Variable]:
    """All known variables by name, in the order of the table."""
    rows = json.loads((Path(__file__).parent / "context_variables.json").read_text(encoding="utf-8"))
    return {row["name"]: Variable(**row) for row in rows}


def parse_one_env(text: str) -> dict[str, str]:
    """Read the `export NAME="value"` lines that contextualisation leaves behind, without a shell.

    A value may span lines; it ends at the quote before the next export line. Text outside of exports is ignored.
    """
    values: dict[str, str] = {}
    starts = list(_EXPORT.finditer(text))
    for index, match in enumerate(starts):
        end = starts[index + 1].start() if index + 1 < len(starts) else len(text)
        raw = text[match.end() : end].rstrip("\r\n")
        quote = raw[:1]
        if quote in ('"', "'"):
            # The last quote of the chunk closes the value, so an unescaped quote inside does no harm.
            close = raw.rfind(quote)
            raw = raw[1:close] if close > 0 else raw[1:]
            if quote == '"':
                raw = _ESCAPE.sub(r"\1", raw)
            else:
                raw = raw.replace("'\\''", "'")
        else:
            raw = raw.split("\n")[0].strip()
        values[match.group(1)] = raw
    return values


def merge(role: str, context: Mapping[str, str], overrides: Mapping[str, str]) -> dict[str, str]:
    """Values of all variables of a role: default, overlaid by CONTEXT, overlaid by overrides. Empty means default."""
    merged = {}
    for variable in table().values():
        if variable.role in ("both", role):
            given = [source.get(variable.name, "").strip() for source in (overrides, context)]
            merged[variable.name] = next(filter(None, given), variable.default)
    return merged


def unknown(names: Mapping[str, str]) -> list[Fault]:
    """Faults for names that look like ours but are in no row: a misspelt variable must not be ignored."""
    known = table()
    wrong = sorted(name for name in names if name.startswith("ONEAPP_FL") and name not in known)
    return [Fault(name, "…", "no such variable; see the table of context variables") for name in wrong]


def _shown(variable: Variable, value: str) -> str:
    if variable.secret:
        return "(hidden)"
    return value if len(value) <= 60 else value[:57] + "…"


def validate(role: str, values: Mapping[str, str]) -> list[Fault]:
    """Every fault of merged values: form, availability in this version, and how values fit together."""
    rows = [row for row in table().values() if row.name in values]
    faults = []
    for row in rows:
        value = values[row.name]
        if value == row.default:
            continue
        if not rules.fits(row.rule, row.options, value):
            faults.append(Fault(row.name, _shown(row, value), f"expected {rules.expected(row.rule, row.options)}"))
        elif row.capability is None:
            faults.append(
                Fault(row.name, _shown(row, value), f"not available in this version; leave it at {row.default!r}")
            )
    bad = {fault.name for fault in faults}
    return faults + [fault for fault in _together(role, values) if fault.name not in bad]


def _together(role: str, values: Mapping[str, str]) -> list[Fault]:
    tls = values["ONEAPP_FL_TLS_ENABLED"] != "NO"
    faults = []
    if values["ONEAPP_FL_SUPERNODE_AUTH"] == "YES" and not tls:
        faults.append(Fault("ONEAPP_FL_SUPERNODE_AUTH", "YES", "needs ONEAPP_FL_TLS_ENABLED=YES; set it to NO as well"))
    if role == "superlink":
        pki = ["ONEAPP_FL_SSL_CA_CERTFILE", "ONEAPP_FL_SSL_CERTFILE", "ONEAPP_FL_SSL_KEYFILE"]
        if any(values[name] for name in pki):
            faults += [
                Fault(name, "", "own certificates need " + ", ".join(pki) + " together")
                for name in pki
                if not values[name]
            ]
    elif tls and values["ONEAPP_FL_SUPERLINK_ADDRESS"] and not values["ONEAPP_FL_SSL_CA_CERTFILE"]:
        faults.append(
            Fault(
                "ONEAPP_FL_SSL_CA_CERTFILE", "", "needed with ONEAPP_FL_SUPERLINK_ADDRESS and TLS: the SuperLink's CA"
            )
        )
    return faults
