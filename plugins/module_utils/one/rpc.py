# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""XML-RPC on the wire: a call to bytes, and bytes to the value of an answer."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

# Control characters are no XML even when they are written as numbers; oned passes stored ones on as they are.
_CONTROL = bytes(code for code in range(32) if code not in (9, 10, 13))
_UNSENDABLE = dict.fromkeys(_CONTROL)
# Bytes from which on an answer is read in the way for large ones.
_LARGE = 65536


class NotXmlRpcError(ValueError):
    """The bytes are no answer of an XML-RPC server."""


class Fault(Exception):
    """The server did not take the call: -501 wrong arguments, -503 bad XML, -506 unknown method."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def encode(method: str, arguments: tuple[Any, ...]) -> bytes:
    """Return the body of a call; arguments are text, bools, integers, floats and lists of these."""
    params = "".join(f"<param>{_value(argument)}</param>" for argument in arguments)
    return (
        f"<?xml version='1.0'?><methodCall><methodName>{method}</methodName><params>{params}</params></methodCall>"
    ).encode()


def decode(body: bytes) -> Any:
    """Return the value of an answer. Raises Fault and NotXmlRpcError."""
    body = body.translate(None, _CONTROL)
    try:
        if len(body) >= _LARGE:
            answer = _large(body)
            if answer is not None:
                return answer
        root = ElementTree.fromstring(body)
        if root.tag != "methodResponse":
            raise NotXmlRpcError(f"it begins with <{root.tag}>")
        fault = root.find("fault/value")
        if fault is not None:
            answer = _read(fault)
            raise Fault(int(answer["faultCode"]), str(answer["faultString"]))
        value = root.find("params/param/value")
        if value is None:
            raise NotXmlRpcError("it holds no value")
        return _read(value)
    except (ElementTree.ParseError, KeyError, TypeError, ValueError) as error:
        raise NotXmlRpcError(str(error)) from error


def _large(body: bytes) -> list[Any] | None:
    """The answer if it is [true, "text", number, …], as those with a pool are; None if it must be parsed.

    The text is megabytes of XML in which every "<" is escaped. A parser stops at each of them; to replace the few
    entities that there can be takes a fifth of the time.
    """
    # Made here, because a module that never meets a large answer should not pay for it.
    found = re.match(
        rb"\s*(?:<\?xml version=.1\.0.(?: encoding=.(?i:utf-8).)?\s*\?>)?\s*<methodResponse>\s*<params>\s*<param>\s*"
        rb"<value>\s*<array>\s*<data>\s*<value>\s*<boolean>1</boolean>\s*</value>\s*"
        rb"<value>\s*<string>([^<]*)</string>\s*</value>\s*"
        rb"((?:<value>\s*<(?:i4|int)>-?[0-9]+</(?:i4|int)>\s*</value>\s*)*)"
        rb"</data>\s*</array>\s*</value>\s*</param>\s*</params>\s*</methodResponse>\s*\Z",
        body,
    )
    if found is None:
        return None
    text, rest = found.groups()
    # Characters given by number, and line ends that a parser would make even, are for the parser.
    if b"&#" in text or b"\r" in text:
        return None
    for entity, character in ((b"&lt;", b"<"), (b"&gt;", b">"), (b"&quot;", b'"'), (b"&apos;", b"'")):
        text = text.replace(entity, character)
    # Last, for "&amp;lt;" is the text "&lt;".
    return [True, text.replace(b"&amp;", b"&").decode(), *map(int, re.findall(rb">(-?[0-9]+)<", rest))]


def _value(argument: Any) -> str:
    if isinstance(argument, bool):
        inner = f"<boolean>{int(argument)}</boolean>"
    elif isinstance(argument, int):
        inner = f"<int>{argument}</int>"
    elif isinstance(argument, float):
        inner = f"<double>{argument!r}</double>"
    elif isinstance(argument, str):
        text = argument.translate(_UNSENDABLE).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        # A parser would turn a bare CR into LF.
        inner = "<string>" + text.replace("\r", "&#13;") + "</string>"
    elif isinstance(argument, (list, tuple)):
        inner = f"<array><data>{''.join(map(_value, argument))}</data></array>"
    else:
        raise TypeError(f"{type(argument).__name__} cannot be sent in an XML-RPC call")
    return f"<value>{inner}</value>"


def _read(value: ElementTree.Element) -> Any:
    if not len(value):
        return value.text or ""
    node = value[0]
    text = node.text or ""
    if node.tag == "string":
        return text
    if node.tag in ("int", "i4", "i8"):
        return int(text)
    if node.tag == "boolean":
        return text.strip() == "1"
    if node.tag == "double":
        return float(text)
    if node.tag == "array":
        return [_read(item) for item in node.findall("data/value")]
    if node.tag == "struct":
        return {member.findtext("name", ""): _read(value) for member in node for value in member.findall("value")}
    raise NotXmlRpcError(f"it holds a value of the unknown type {node.tag}")
