# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SCHED_REQUIREMENTS: boolean expressions over attributes of a host."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from . import template as tpl
from .records import Record

if TYPE_CHECKING:
    from .core import Oned

Attribute = Callable[[str], str]
_TOKEN = re.compile(r'\s*(?:("(?:[^"\\]|\\.)*")|(!=|<=|>=|[()&|!=<>])|([^\s()&|!=<>"]+))')


class RequirementError(ValueError):
    """The expression cannot be read."""


def matches(oned: Oned, host: Record, expression: str) -> bool:
    """Whether the host meets the expression; an empty one is met by all.

    `A = x`, `!=`, `<`, `>` joined by `&`, `|`, `!` and parentheses; text compares with wildcards.
    """
    if not expression.strip():
        return True
    tokens = _tokens(expression)
    value = _either(tokens, lambda name: _attribute(oned, host, name))
    if tokens:
        raise RequirementError(f"unexpected {tokens[0]!r} in {expression!r}")
    return value


def _tokens(expression: str) -> list[str]:
    tokens, position = [], 0
    text = expression.strip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if not match:
            raise RequirementError(f"unexpected {text[position]!r} in {expression!r}")
        tokens.append(match.group().strip())
        position = match.end()
    return tokens


def _attribute(oned: Oned, host: Record, name: str) -> str:
    used_cpu, used_memory = oned.usage.used(host.oid)
    cluster = oned.find("cluster", host.data["cluster"])
    known = {
        "ID": host.oid, "NAME": host.name, "HOSTNAME": host.name, "CLUSTER_ID": host.data["cluster"],
        "CLUSTER": cluster.name if cluster else "", "HYPERVISOR": host.data["vm_mad"], "VM_MAD": host.data["vm_mad"],
        "RUNNING_VMS": oned.usage.count(host.oid), "FREE_CPU": host.data["cpu"] - used_cpu,
        "FREE_MEM": host.data["memory"] - used_memory, "MAX_CPU": host.data["cpu"], "MAX_MEM": host.data["memory"],
    }  # fmt: skip
    return str(known[name]) if name in known else tpl.scalar(host.template, name)


def _either(tokens: list[str], attribute: Attribute) -> bool:
    value = _both(tokens, attribute)
    while tokens and tokens[0] == "|":
        tokens.pop(0)
        value = _both(tokens, attribute) or value
    return value


def _both(tokens: list[str], attribute: Attribute) -> bool:
    value = _one(tokens, attribute)
    while tokens and tokens[0] == "&":
        tokens.pop(0)
        value = _one(tokens, attribute) and value
    return value


def _pop(tokens: list[str]) -> str:
    if not tokens:
        raise RequirementError("the expression ends too early")
    return tokens.pop(0)


def _one(tokens: list[str], attribute: Attribute) -> bool:
    token = _pop(tokens)
    if token == "!":
        return not _one(tokens, attribute)
    if token == "(":
        value = _either(tokens, attribute)
        if _pop(tokens) != ")":
            raise RequirementError("a parenthesis is not closed")
        return value
    operator, wanted = _pop(tokens), _pop(tokens).strip('"')
    return _compare(str(attribute(token.strip('"').upper())), operator, wanted)


def _compare(actual: str, operator: str, wanted: str) -> bool:
    if operator == "!" or operator not in ("=", "!=", "<", ">", "<=", ">="):
        raise RequirementError(f"{operator!r} is not a comparison")
    try:
        left, right = float(actual), float(wanted)
    except ValueError:
        if operator in ("=", "!="):
            return fnmatch.fnmatchcase(actual, wanted) == (operator == "=")
        return False
    return {
        "=": left == right, "!=": left != right, "<": left < right, ">": left > right, "<=": left <= right,
        ">=": left >= right,
    }[operator]  # fmt: skip
