# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenNebula's template language, as text and as XML.

A template is a dict of upper-case names. A value is a string, a vector (dict of strings), or, when the name occurs more
than once, a list of these in order of appearance. Text and XML become the same dict.
Grammar and error wording are those of the server (bison/flex), including what it silently drops.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from xml.etree import ElementTree

Vector = dict[str, str]
Template = dict[str, Any]

_BLANKS = re.compile(r"[ \t\n]+")
_COMMENT = re.compile(r"[ \t]*#.*\n")
_VARIABLE = re.compile(r"[A-Za-z0-9_]+")
_EQUAL = re.compile(r"[ \t]*=[ \t]*")
_EQUAL_EMPTY = re.compile(r"[ \t]*=[ \t]*\n")
_COMMA = re.compile(r"[ \t\n]*,[ \t\n]*")
_CBRACKET = re.compile(r"[ \t\n]*\][ \t\n]*")
_OBRACKET = re.compile(r"[ \t]*\[[ \t\n]*")
_CCDATA = re.compile(r".*\]\]>.*")
_STRING = re.compile(r"[^=# \t\n,\[\]]+")
_CONTROL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

# First rule wins between matches of one length, as in flex.
_INITIAL_RULES = (
    ("", _COMMENT), ("", _BLANKS), ("VARIABLE", _VARIABLE), ("EQUAL", _EQUAL), ("EQUAL_EMPTY", _EQUAL_EMPTY),
    ("COMMA", _COMMA), ("CBRACKET", _CBRACKET),
)  # fmt: skip
_VALUE_RULES = (("OBRACKET", _OBRACKET), ("CCDATA", _CCDATA), ("QUOTED", None), ("STRING", _STRING))


class TemplateError(ValueError):
    """The text is not a template; the message is the server's ("Parse error: …")."""


class _Token(NamedTuple):
    kind: str
    text: str
    line: int
    first: int
    last: int


def parse(text: str) -> Template:
    """Template text, or XML when it begins with `<`, as a dict. Raises TemplateError."""
    if text.lstrip()[:1] == "<":
        return _parse_xml_template(text)
    tokens = _tokens(text)
    result: Template = {}
    token = next(tokens)
    while token.kind != "$end":
        if token.kind != "VARIABLE":
            raise _unexpected(token, "$end")
        token = _attribute(token.text.upper(), tokens, result)
    return result


def _attribute(name: str, tokens: Iterator[_Token], result: Template) -> _Token:
    token = next(tokens)
    if token.kind == "EQUAL_EMPTY":
        add(result, name, "")
        return next(tokens)
    if token.kind != "EQUAL":
        raise _unexpected(token, "EQUAL or EQUAL_EMPTY")
    token = next(tokens)
    if token.kind == "STRING":
        add(result, name, token.text)
    elif token.kind == "OBRACKET":
        add(result, name, _vector(tokens))
    elif token.kind == "CCDATA":
        raise TemplateError("Parse error: unknown error")
    else:
        raise _unexpected(token, "OBRACKET or CCDATA or STRING")
    return next(tokens)


def _vector(tokens: Iterator[_Token]) -> Vector:
    vector: Vector = {}
    token = next(tokens)
    if token.kind == "CBRACKET":
        return vector
    if token.kind != "VARIABLE":
        raise _unexpected(token, "CBRACKET or VARIABLE")
    while True:
        name = token.text.upper()
        token = next(tokens)
        if token.kind != "EQUAL":
            raise _unexpected(token, "EQUAL")
        token = next(tokens)
        if token.kind != "STRING":
            raise _unexpected(token, "STRING")
        vector.setdefault(name, token.text)
        token = next(tokens)
        if token.kind == "CBRACKET":
            return vector
        if token.kind != "COMMA":
            raise _unexpected(token, "COMMA or CBRACKET")
        token = next(tokens)
        if token.kind != "VARIABLE":
            raise _unexpected(token, "VARIABLE")


def _tokens(text: str) -> Iterator[_Token]:
    position = line = 0
    first, last = 1, 1
    value_mode = False
    while position < len(text):
        kind, length = _longest(text, position, value_mode)
        matched = text[position:position + length]
        position += length
        # The scanner counts columns from the start of the text, and its line already includes the token's own ends.
        line += matched.count("\n")
        first, last = last, last + length
        if kind in ("", "DROPPED"):
            continue
        value_mode = kind == "EQUAL"
        if kind == "QUOTED":
            yield _Token("STRING", matched[1:-1].replace('\\"', '"'), line, first, last)
        elif kind == "STRING":
            yield _Token(kind, matched.replace('\\"', '"'), line, first, last)
        else:
            yield _Token(kind, matched, line, first, last)
    while True:
        yield _Token("$end", "", line, first, last)


def _longest(text: str, position: int, value_mode: bool) -> tuple[str, int]:
    best_kind, best = "DROPPED", 0
    for kind, pattern in _VALUE_RULES if value_mode else _INITIAL_RULES:
        if pattern is None:
            length = _quoted_length(text, position)
        else:
            match = pattern.match(text, position)
            length = match.end() - position if match else 0
        if length > best:
            best_kind, best = kind, length
    # What no rule matches is dropped one character at a time, as flex does by default.
    return best_kind, best or 1


def _quoted_length(text: str, position: int) -> int:
    if text[position] != '"':
        return 0
    end, escaped_end = position, 0
    while True:
        end = text.find('"', end + 1)
        if end < 0:
            return escaped_end
        if text[end - 1] != "\\":
            return end + 1 - position
        escaped_end = end + 1 - position


def _unexpected(token: _Token, expected: str) -> TemplateError:
    return TemplateError(
        f"Parse error: syntax error, unexpected {token.kind}, expecting {expected}"
        f" at line {token.line}, columns {token.first}:{token.last}"
    )


def add(template: Template, name: str, value: str | Vector) -> None:
    """Append one more section `name`; the second one makes a list."""
    if name not in template:
        template[name] = value
    elif isinstance(template[name], list):
        template[name].append(value)
    else:
        template[name] = [template[name], value]


def sections(template: Mapping[str, Any], name: str) -> list[Vector]:
    """All vectors called `name` (none, one or many), as a new list of the same dicts."""
    value = template.get(name)
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, dict)]


def set_sections(template: Template, name: str, vectors: list[Vector]) -> None:
    """Replace all sections `name`."""
    if not vectors:
        template.pop(name, None)
    else:
        template[name] = vectors[0] if len(vectors) == 1 else list(vectors)


def scalar(template: Mapping[str, Any], name: str, default: str = "") -> str:
    """The first plain value called `name`."""
    value = template.get(name, default)
    if isinstance(value, list):
        value = value[0] if value else default
    return value if isinstance(value, str) else default


def merge(old: Template, new: Template) -> Template:
    """`update … 1`: every name in `new` replaces all sections of that name in `old`."""
    return {**old, **new}


def render(template: Mapping[str, Any]) -> str:
    """Template text that `parse` reads back to the same dict (names sorted)."""
    lines: list[str] = []
    for name in sorted(template):
        value = template[name]
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict):
                inner = ",".join(f"{key}={_quote(item[key])}" for key in sorted(item))
                lines.append(f"{name}=[{inner}]")
            else:
                lines.append(f"{name}={_quote(item)}")
    return "\n".join(lines)


def _quote(value: Any) -> str:
    return '"' + str(value).replace('"', '\\"') + '"'


def to_xml(template: Mapping[str, Any], tag: str = "TEMPLATE") -> str:
    """`<TEMPLATE>…</TEMPLATE>`: names sorted, every leaf in CDATA."""
    parts = [f"<{tag}>"]
    for name in sorted(template):
        value = template[name]
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict):
                inner = "".join(f"<{key}>{cdata(item[key])}</{key}>" for key in sorted(item))
                parts.append(f"<{name}>{inner}</{name}>")
            else:
                parts.append(f"<{name}>{cdata(item)}</{name}>")
    parts.append(f"</{tag}>")
    return "".join(parts)


def cdata(value: Any) -> str:
    """A CDATA section; characters XML cannot hold are dropped, an inner end mark is split."""
    text = _CONTROL.sub("", str(value)).replace("]]>", "]]]]><![CDATA[>")
    return f"<![CDATA[{text}]]>"


def _parse_xml_template(text: str) -> Template:
    try:
        root = ElementTree.fromstring(text.strip())
    except ElementTree.ParseError:
        raise TemplateError("Parse error: XML Template malformed.") from None
    result: Template = {}
    for element in root:
        if len(element):
            vector: Vector = {}
            for leaf in element:
                vector.setdefault(leaf.tag.upper(), leaf.text or "")
            add(result, element.tag.upper(), vector)
        else:
            add(result, element.tag.upper(), element.text or "")
    return result


def xml_to_dict(xml: str) -> dict[str, Any]:
    """Any XML answer as nested dicts under its root name; repeated elements become lists, empty ones ""."""
    root = ElementTree.fromstring(xml)
    return {root.tag: _element(root)}


def _element(element: ElementTree.Element) -> Any:
    if not len(element):
        return element.text or ""
    result: dict[str, Any] = {}
    for child in element:
        value = _element(child)
        if child.tag not in result:
            result[child.tag] = value
        elif isinstance(result[child.tag], list):
            result[child.tag].append(value)
        else:
            result[child.tag] = [result[child.tag], value]
    return result
