# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which calls the tests sent, and by which of them a cloud differs from what the modules expect."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

_NUMBER = re.compile(r"/\d+(?=/|$)")
_ROLE = re.compile(r"/role/[^/]+")
_READS = re.compile(r"\.(info\w*|version)$|^One\w+ GET ")


def route(service: str, method: str, path: str, body: Any = None) -> str:
    """The name of a REST call: `OneFlow POST /service/:id/action recover`; ids, roles and other words left out."""
    plain, _question, query = path.partition("?")
    plain = _ROLE.sub("/role/:name", _NUMBER.sub("/:id", plain))
    perform = _perform(body)
    return " ".join(filter(None, [service, method, f"{plain}?{query}" if query else plain, perform]))


def _perform(body: Any) -> str:
    if isinstance(body, str):
        try:
            body = json.loads(body)
        except ValueError:
            return ""
    action = body.get("action") if isinstance(body, dict) else None
    return str(action.get("perform") or "") if isinstance(action, dict) else ""


@dataclass
class Calls:
    """How often a call was sent, how often it succeeded, in which tests, and where the cloud differed."""

    sent: int = 0
    succeeded: int = 0
    tests: set[str] = field(default_factory=set)
    differences: list[str] = field(default_factory=list)


class Journal:
    """Every call of the run by name."""

    def __init__(self) -> None:
        self.calls: dict[str, Calls] = {}
        self.test = ""
        self._last = ""
        self._last_write = ""

    def begin(self, test: str) -> None:
        """From here on calls are those of this test."""
        self.test, self._last, self._last_write = test, "", ""

    def note(self, call: str) -> None:
        """A call is sent."""
        found = self.calls.setdefault(call, Calls())
        found.sent += 1
        found.tests.add(self.test)
        self._last = call
        if not _READS.search(call):
            self._last_write = call

    def succeeded(self, call: str) -> None:
        """It was answered, and not with an error."""
        self.calls[call].succeeded += 1

    def differs(self, words: str) -> None:
        """The test failed: the call is the last one that it sent; a read may show what the write before it did."""
        after = f" after {self._last_write}" if self._last_write not in ("", self._last) else ""
        words = " ".join(words.replace("Use -v to get more diff", "").split())
        text = f"{self.test}{after}: {words[:300]}"
        self.calls.setdefault(self._last or "no call", Calls()).differences.append(text)

    def unchecked(self, expected: Iterable[str]) -> list[str]:
        """Those of the expected calls that never succeeded."""
        return sorted(call for call in expected if call not in self.calls or not self.calls[call].succeeded)

    def table(self) -> Iterator[str]:
        """The lines of a report: every call with its numbers, then each difference under the name of its call."""
        width = max(map(len, self.calls), default=4)
        yield f"{'call':{width}}  tests   sent  differences"
        for call, found in sorted(self.calls.items()):
            yield f"{call:{width}}  {len(found.tests):5}  {found.sent:5}  {len(found.differences) or '-':>11}"
        differing = {call: found.differences for call, found in sorted(self.calls.items()) if found.differences}
        yield ""
        if not differing:
            yield f"{len(self.calls)} calls, no differences from what the modules expect"
        for call, texts in differing.items():
            yield f"{call} differs:"
            for text in texts:
                yield f"  {text}"


JOURNAL = Journal()
