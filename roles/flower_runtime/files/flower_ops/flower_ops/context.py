# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Context variables of a VM: the table, reading, merging, and validation that reports every fault at once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from flower_ops import combinations, rules

_EXPORT = re.compile(r"^export ([A-Za-z_][A-Za-z0-9_]*)=", re.MULTILINE)
_ESCAPE = re.compile(r'\\(["\\$`])')


#: Prefix of every variable that is ours; names without it belong to OpenNebula.
PREFIX = "ONEAPP_"
_SHOWN = 60


@dataclass(frozen=True)
class Variable:
    """A row of the table.

    `role` is both, superlink or supernode. `level` is service (one value for a federation), role or infrastructure
    (never asked of a user). `capability` None: only the default is accepted, because nothing gives it effect;
    `refused` then says why if there is more to say than that. `effect` is where a value takes effect. `specified` is
    the default of the specification, None for a variable of our own; `differs` says why ours is not that.
    """

    name: str
    role: str
    level: str
    type: str
    options: list[str]
    default: str
    rule: str
    text: str
    capability: str | None
    effect: str
    specified: str | None
    differs: str
    refused: str

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

    Contextualisation writes values as they are, without an escape for quotes in them, so the value ends at the last
    quote before the next export line. It may span lines. Text outside of exports is ignored. Of two exports of one
    name the first counts: the other stands in a value, such as a start script.
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
        values.setdefault(match.group(1), raw)
    return values


def merge(role: str, context: Mapping[str, str], overrides: Mapping[str, str]) -> dict[str, str]:
    """Values of all variables of a role: default, overlaid by CONTEXT, overlaid by overrides. Empty means default."""
    merged = {}
    for variable in table().values():
        if variable.role in ("both", role):
            given = [source.get(variable.name, "").strip() for source in (overrides, context)]
            merged[variable.name] = next(filter(None, given), variable.default)
    return merged


def unknown(names: Iterable[str]) -> list[Fault]:
    """Faults for names that look like ours but are in no row: a misspelt variable must not be ignored."""
    known = table()
    elsewhere = {name.removeprefix(PREFIX): name for name in known if name.startswith(PREFIX)}
    elsewhere["ML_FRAMEWORK"] = "ONEAPP_FL_FRAMEWORK"
    faults = []
    for name in sorted(names):
        if name in elsewhere:
            faults.append(Fault(name, "…", f"is called {elsewhere[name]} here"))
        elif name.startswith("ONEAPP_FL") and name not in known:
            faults.append(Fault(shown(name), "…", "no such variable; see the table of context variables"))
    return faults


def shown(text: str) -> str:
    """Text of others as it may stand in a message: short, and nothing in it that a terminal would obey."""
    short = text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "…"
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in short)


def refusal(row: Variable) -> str:
    """What is said to whoever sets a variable that has no effect in this version."""
    return row.refused or f"not available in this version; leave it at {row.default!r}"


def validate(role: str, values: Mapping[str, str]) -> list[Fault]:
    """Every fault of merged values: form, availability in this version, and how values fit together."""
    known = table()
    faults = []
    for row in known.values():
        value = values.get(row.name, row.default)
        if value == row.default:
            continue
        said = _said(row, value)
        if len(value) > rules.limit(row.rule):
            faults.append(Fault(row.name, said, f"expected at most {rules.limit(row.rule)} characters"))
        elif not rules.fits(row.rule, row.options, value):
            faults.append(Fault(row.name, said, f"expected {rules.expected(row.rule, row.options)}"))
        elif row.capability is None:
            faults.append(Fault(row.name, said, refusal(row)))
    bad = {fault.name for fault in faults}
    together = combinations.faults(role, values, bad)
    return faults + [Fault(name, _said(known[name], values[name]), reason) for name, reason in together.items()]


def _said(row: Variable, value: str) -> str:
    return "(hidden)" if row.secret and value else shown(value)
