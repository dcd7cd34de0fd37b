# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON taken apart: the rows of a document as they are written, and strings and numbers of a row."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

#: Brackets in brackets that values are looked for in; as many for every version of Python, whose limits differ.
DEEPEST = 100
#: Characters of an object that is one row, whatever arrays it holds.
ONE = 4096
_BLANK = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


def parse(raw: str | bytes) -> Any:
    """The value; ValueError for what is no JSON, or too deep."""
    try:
        return json.loads(raw)
    except RecursionError as error:
        raise ValueError("too many brackets in brackets") from error


def rows(text: str) -> Iterator[str]:
    """The elements of an array, or of a long object's arrays of objects, as they are written; else all as one row.

    What such an object holds beside those arrays is a row as well. ValueError for what is no JSON, or too deep.
    """
    start = _skip(text, 0)
    try:
        if text.startswith("[", start):
            end, found = _elements(text, start)
        elif text.startswith("{", start) and len(text) > ONE:
            end, found = _members(text, start)
        else:
            end, found = _value(text, start), [text[start:].rstrip()]
    except RecursionError as error:
        raise ValueError("too many brackets in brackets") from error
    if _skip(text, end) != len(text):
        raise ValueError("more than one value")
    yield from found


def _elements(text: str, start: int) -> tuple[int, list[str]]:
    """Where an array ends, and its elements."""
    found: list[str] = []
    at = _skip(text, start + 1)
    while not text.startswith("]", at):
        end = _value(text, at)
        found.append(text[at:end])
        at = _after(text, end, "]")
    return at + 1, found


def _members(text: str, start: int) -> tuple[int, list[str]]:
    """Where an object ends, and its rows."""
    found: list[str] = []
    rest: list[str] = []
    at = _skip(text, start + 1)
    while not text.startswith("}", at):
        begin = at
        at = _skip(text, _value(text, at))
        if not text.startswith('"', begin) or not text.startswith(":", at):
            raise ValueError("no name and colon")
        at = _skip(text, at + 1)
        # An array of numbers, or of arrays, is a value, such as a picture.
        if text.startswith("[", at) and text.startswith("{", _skip(text, at + 1)):
            end, elements = _elements(text, at)
            found += elements
        else:
            end = _value(text, at)
            rest.append(text[begin:end])
        at = _after(text, end, "}")
    if not found:
        return at + 1, [text[start : at + 1]]
    if rest:
        found.append("{" + ", ".join(rest) + "}")
    return at + 1, found


def _after(text: str, end: int, closing: str) -> int:
    """Where the next element begins, or the bracket that closes."""
    at = _skip(text, end)
    if text.startswith(",", at):
        return _skip(text, at + 1)
    if not text.startswith(closing, at):
        raise ValueError("no comma")
    return at


def _value(text: str, start: int) -> int:
    """Where a value ends."""
    return _DECODER.raw_decode(text, start)[1]


def _skip(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found else at


def strings(value: Any) -> Iterator[str]:
    """All texts in a value, but no names of fields; ValueError for what is too deep, like `numbers`."""
    return (one for one in _leaves(value) if isinstance(one, str))


def numbers(value: Any) -> Iterator[float]:
    """All numbers in a value."""
    for one in _leaves(value):
        if isinstance(one, int | float) and not isinstance(one, bool) and abs(one) < 1e300:
            yield float(one)


def _leaves(value: Any, deepest: int = DEEPEST) -> Iterator[Any]:
    """All values in a value that hold no others."""
    if not isinstance(value, list | dict):
        yield value
        return
    if not deepest:
        raise ValueError("too many brackets in brackets")
    for one in value.values() if isinstance(value, dict) else value:
        yield from _leaves(one, deepest - 1)
