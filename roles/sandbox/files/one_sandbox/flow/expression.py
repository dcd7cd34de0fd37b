# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The language of elasticity policies: `CPU > 80 & !(FL_CLIENT_STATUS = 1)`.

A recursive descent over the server's grammar. It remembers the furthest place where a terminal did not match, so that a
syntax error reads as the server's parser generator words it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

Lookup = Callable[[str], "float | None"]
"""Name of an attribute (upper case) to its mean over the role's VMs, None when no VM has it."""

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "==": lambda a, b: a == b,
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<>": lambda a, b: a != b,
    ">=": lambda a, b: a >= b,
    ">": lambda a, b: a > b,
    "<=": lambda a, b: a <= b,
    "<": lambda a, b: a < b,
}
_Node = Callable[[Lookup], "tuple[Any, str]"]


class ExpressionError(ValueError):
    """Not an expression; the message is that of the server's parser."""


def parse(text: str) -> _Node:
    """An evaluator: called with a lookup it returns (truth, text with the values filled in). Raises ExpressionError."""
    parser = _Parser(text)
    node = parser.expression()
    if node is None or parser.position != len(text):
        raise ExpressionError(parser.failure_reason())
    return node


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self._furthest = -1
        self._expected: list[str] = []

    def failure_reason(self) -> str:
        names = list(dict.fromkeys(self._expected))
        before = self.text[: self._furthest]
        line = before.count("\n") + 1
        column = len(before) - (before.rfind("\n") + 1) + 1
        expected = names[0] if len(names) == 1 else "one of " + ", ".join(names)
        return f"Expected {expected} at line {line}, column {column} (byte {self._furthest + 1}) after {before}"

    def _miss(self, expected: str) -> None:
        if self.position > self._furthest:
            self._furthest, self._expected = self.position, []
        if self.position == self._furthest:
            self._expected.append(expected)

    def _literal(self, literal: str) -> bool:
        if self.text.startswith(literal, self.position):
            self.position += len(literal)
            return True
        self._miss("'" + literal.replace("'", "\\'") + "'")
        return False

    def _class(self, pattern: str) -> bool:
        if self.position < len(self.text) and re.match(pattern, self.text[self.position]):
            self.position += 1
            return True
        self._miss(pattern)
        return False

    def _space(self) -> None:
        while self._literal(" "):
            pass

    def expression(self) -> _Node | None:
        start = self.position
        self._space()
        node = self._boolean("&&", "&") or self._boolean("||", "|") or self._condition()
        if node is None:
            self.position = start
            return None
        self._space()
        return node

    def _boolean(self, *operators: str) -> _Node | None:
        start = self.position
        left = self._condition()
        if left is not None:
            self._space()
            operator = next((item for item in operators if self._literal(item)), None)
            if operator is not None:
                self._space()
                right = self.expression()
                if right is not None:
                    return _join(left, operator, right)
        self.position = start
        return None

    def _condition(self) -> _Node | None:
        start = self.position
        node = self._comparison()
        if node is not None:
            return node
        self.position = start
        if self._literal("!"):
            self._space()
            inner = self.expression()
            if inner is not None:
                return _negate(inner)
        self.position = start
        if self._literal("("):
            self._space()
            inner = self.expression()
            if inner is not None:
                self._space()
                if self._literal(")"):
                    return _group(inner)
        self.position = start
        return None

    def _comparison(self) -> _Node | None:
        left = self._operand()
        if left is None:
            return None
        self._space()
        operator = next((item for item in _COMPARE if self._literal(item)), None)
        if operator is None:
            return None
        self._space()
        right = self._operand()
        return None if right is None else _compare(left, operator, right)

    def _operand(self) -> _Node | None:
        return self._number(fraction=True) or self._number(fraction=False) or self._variable()

    def _number(self, fraction: bool) -> _Node | None:
        start = self.position
        self._literal("-")
        if self._digits() and (not fraction or (self._literal(".") and self._digits())):
            text = self.text[start : self.position]
            value: float = float(text) if fraction else int(text)
            return lambda lookup: (value, str(value))
        self.position = start
        return None

    def _digits(self) -> bool:
        found = False
        while self._class("[0-9]"):
            found = True
        return found

    def _variable(self) -> _Node | None:
        start = self.position
        for quote in ('"', "'", ""):
            self.position = start
            if quote and not self._literal(quote):
                continue
            if not self._class("[a-zA-Z]"):
                continue
            while self._class("[0-9a-zA-Z_]"):
                pass
            if quote and not self._literal(quote):
                continue
            return _attribute(self.text[start : self.position].upper())
        self.position = start
        return None


def _attribute(name: str) -> _Node:
    def evaluate(lookup: Lookup) -> tuple[Any, str]:
        value = lookup(name)
        return value, f"{name}[{'--' if value is None else value}]"

    return evaluate


def _compare(left: _Node, operator: str, right: _Node) -> _Node:
    def evaluate(lookup: Lookup) -> tuple[Any, str]:
        left_value, left_text = left(lookup)
        right_value, right_text = right(lookup)
        known = left_value is not None and right_value is not None
        return known and _COMPARE[operator](left_value, right_value), f"{left_text} {operator} {right_text}"

    return evaluate


def _join(left: _Node, operator: str, right: _Node) -> _Node:
    def evaluate(lookup: Lookup) -> tuple[Any, str]:
        left_value, left_text = left(lookup)
        right_value, right_text = right(lookup)
        value = (left_value and right_value) if operator[0] == "&" else (left_value or right_value)
        return value, f"{left_text} {operator} {right_text}"

    return evaluate


def _negate(inner: _Node) -> _Node:
    def evaluate(lookup: Lookup) -> tuple[Any, str]:
        value, text = inner(lookup)
        return not value, f"!{text}"

    return evaluate


def _group(inner: _Node) -> _Node:
    def evaluate(lookup: Lookup) -> tuple[Any, str]:
        value, text = inner(lookup)
        return value, f"({text})"

    return evaluate
