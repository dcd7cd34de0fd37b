# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of the table of context variables as OpenNebula's templates write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from .node_package import part

ROLES = ("superlink", "supernode")
LEVELS = ("all", "service", *ROLES)


def inputs(
    values: Mapping[str, str], level: str, choices: Mapping[str, Sequence[str]], secrets: bool = False
) -> dict[str, str]:
    """`O|type|text|options|default` by name for the variables of a level.

    `values` become defaults. `choices` are narrower lists by name. `secrets` asks for a private key and what is of no
    use without it. Raises AnsibleFilterError naming every fault.
    """
    if level not in LEVELS:
        raise AnsibleFilterError(f"context_user_inputs knows no level {level!r}; choose one of {', '.join(LEVELS)}.")
    rows = {name: row for name, row in part("context").table().items() if _is_asked(row, secrets)}
    faults = _faults(values) + [f"{name}: no such input" for name in choices if name not in rows]
    found = {}
    for name, row in rows.items():
        of_role = level in ROLES and row.level == "role" and row.role in ("both", level)
        if level in ("all", row.level) or of_role:
            default = values.get(name, "").strip() or row.default
            found[name], wrong = definition(row, list(choices.get(name, ())), default)
            faults += [f"{name}={part('context').shown(default)}: {reason}" for reason in wrong]
    if faults:
        raise AnsibleFilterError(f"There are no user inputs for these values: {'; '.join(faults)}.")
    return found


def _is_asked(row: Any, secrets: bool = False) -> bool:
    if row.capability == "pki" and row.role == "superlink":
        return secrets
    return row.capability is not None and row.level != "infrastructure"


def definition(row: Any, narrower: list[str], default: str) -> tuple[str, list[str]]:
    """`O|type|text|options|default` of a row, and what is wrong with it. `narrower` are choices, if not the row's."""
    kind, options, faults = row.type, row.options if row.type == "list" else [], []
    if row.rule == "version":
        # Any other version would be refused at boot, after the machine was made.
        kind, options = "list", part("profiles").known()
    if narrower:
        unknown = [choice for choice in narrower if options and choice not in options]
        faults += [f"there is no choice {choice}" for choice in unknown]
        kind, options = "list", narrower
    if options and default not in options:
        faults.append(f"expected one of {', '.join(options)}")
    if "|" in default:
        faults.append("| parts the fields of a user input, so it cannot be in a default")
    written = "..".join(part("rules").span(row.rule)) if kind.startswith("range") else ",".join(options)
    return f"O|{kind}|{row.text}|{written}|{default}", faults


def context(values: Mapping[str, str], role: str, references: bool) -> dict[str, str]:
    """CONTEXT for a VM of a role. Raises AnsibleFilterError naming every fault."""
    if role not in ROLES:
        raise AnsibleFilterError(f"context_template knows no role {role!r}; choose one of {', '.join(ROLES)}.")
    rows = [row for row in part("context").table().values() if row.role in ("both", role)]
    faults = _faults(values)
    found = {}
    for row in rows:
        own = row.level == "infrastructure"
        value = values.get(row.name, "").strip() or (row.default if own and row.capability else "")
        if references and _is_asked(row):
            value = f"${row.name}"
        elif "$" in value and not own:
            faults.append(f"{row.name}: OpenNebula would replace what follows the $ in its value")
        elif value and row.secret:
            faults.append(f"{row.name}: is secret and would be readable in the VM's template")
        if value:
            found[row.name] = value
    if faults:
        raise AnsibleFilterError(f"These values cannot be in a CONTEXT: {'; '.join(faults)}.")
    return found


def _faults(values: Mapping[str, str]) -> list[str]:
    """What is wrong with single values; how they fit together is known only where all of them are."""
    context_table, rules = part("context"), part("rules")
    rows = context_table.table()
    faults = [str(fault) for fault in context_table.unknown(values)]
    for name, value in values.items():
        row, text = rows.get(name), value.strip()
        if row is None or text in ("", row.default):
            continue
        said = "(hidden)" if row.secret else context_table.shown(text)
        if not rules.fits(row.rule, row.options, text):
            faults.append(f"{name}={said}: expected {rules.expected(row.rule, row.options)}")
        elif row.capability is None:
            faults.append(f"{name}={said}: {context_table.refusal(row)}")
    return faults
