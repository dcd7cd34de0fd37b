# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reader of OpenNebula's template language, see `template.parse`."""

from __future__ import annotations

import re

from .template import BARE, Template, TemplateSyntaxError, Vector, scalar

_SPACE = re.compile(r"(?:[ \t\r]*#[^\n]*(?:\n|\Z)|[ \t\r\n]+)*")
_NAME = re.compile(r"[A-Za-z0-9_]+")
_EQUAL = re.compile(r"[ \t\r]*=")
_BLANK = re.compile(r"[ \t\r]*")
_EMPTY = re.compile(r"[ \t\r]*\n")
# The alternative with the escape stands first so that the longest match wins, as in a lexer made by flex.
_QUOTED = re.compile(r'"((?:\\"|[^"])*)"')
_BARE = re.compile(BARE)


class Parser:
    """One text and how far it has been read."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def template(self) -> Template:
        """The whole text. Raises TemplateSyntaxError with line and column."""
        result = Template()
        self.space()
        while self.at < len(self.text):
            name = self.name()
            value = self.value(name)
            if name in result:
                known = result[name]
                result[name] = [*known, value] if isinstance(known, list) else [known, value]
            else:
                result[name] = value
            self.space()
        return result

    def value(self, name: str) -> str | Vector:
        self.expect(_EQUAL, f"'=' after {name}")
        empty = _EMPTY.match(self.text, self.at)
        if empty:
            self.at = empty.end()
            return ""
        self.skip(_BLANK)
        if self.text.startswith("[", self.at):
            self.at += 1
            return self.vector(name)
        return self.leaf(name)

    def vector(self, name: str) -> Vector:
        result: Vector = {}
        self.space()
        if self.text.startswith("]", self.at):
            self.at += 1
            return result
        while True:
            key = self.name()
            self.expect(_EQUAL, f"'=' after {name}.{key}")
            self.skip(_BLANK)
            # oned keeps the first of two equal names in a vector.
            result.setdefault(key, self.leaf(f"{name}.{key}"))
            self.space()
            if self.text.startswith(",", self.at):
                self.at += 1
                self.space()
                continue
            if self.text.startswith("]", self.at):
                self.at += 1
                return result
            raise self.error(f"',' or ']' expected in {name}")

    def leaf(self, name: str) -> str:
        quoted = _QUOTED.match(self.text, self.at)
        bare = _BARE.match(self.text, self.at)
        if quoted and (not bare or quoted.end() >= bare.end()):
            self.at = quoted.end()
            return scalar(quoted.group(1).replace('\\"', '"'))
        if self.text.startswith('"', self.at) and not quoted:
            raise self.error(f"the quotes of {name} are not closed")
        if bare:
            self.at = bare.end()
            # As in oned, an escape counts without quotes too.
            return bare.group().replace('\\"', '"')
        raise self.error(f"a value for {name} expected")

    def name(self) -> str:
        match = _NAME.match(self.text, self.at)
        if not match:
            raise self.error("an attribute name expected")
        self.at = match.end()
        return match.group().upper()

    def space(self) -> None:
        self.skip(_SPACE)

    def skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self.text, self.at)
        if match:
            self.at = match.end()

    def expect(self, pattern: re.Pattern[str], what: str) -> None:
        match = pattern.match(self.text, self.at)
        if not match:
            raise self.error(f"{what} expected")
        self.at = match.end()

    def error(self, text: str) -> TemplateSyntaxError:
        before = self.text[: self.at]
        return TemplateSyntaxError(text, before.count("\n") + 1, self.at - (before.rfind("\n") + 1) + 1)
