# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers with whole pools, read five times faster than by a parser, and what no XML parser takes."""

from __future__ import annotations

import re
from typing import Any

# Control characters are no XML even when they are written as numbers; oned passes stored ones on as they are.
_CONTROL = bytes(code for code in range(32) if code not in (9, 10, 13))
_UNSENDABLE = dict.fromkeys(_CONTROL)
# Bytes from which on an answer is worth it.
LARGE = 65536


def cleaned(value: Any) -> Any:
    """Return an argument or the bytes of an answer without control characters."""
    if isinstance(value, str):
        return value.translate(_UNSENDABLE)
    return value.translate(None, _CONTROL) if isinstance(value, bytes) else value


def quick(body: bytes) -> list[Any] | None:
    """Return the answer if it is [true, "text", number, …], as those with a pool are; None if it must be parsed.

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
