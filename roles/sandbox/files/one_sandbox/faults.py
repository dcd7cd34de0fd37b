# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults on request: an API that is slow, drops, lies or talks nonsense, and hosts that fail.

Rules are given in this process (`Sandbox.faults.add(...)`) or in the file faults.json of the home, which is read again
whenever it changes, so that another process can break a running sandbox:

    {"rules": [{"call": "one.vm.info", "do": "slow", "seconds": 5, "times": 2},
               {"call": "POST /service/:id/scale", "on": "oneflow", "do": "drop_after", "skip": 1}],
     "hosts": {"host01": {"boot": "no more memory"}, "host02": {"prolog": "no space left on device"}}}

A rule has

* call: an XML-RPC method or "METHOD /route", in which `:name` stands for one step of a path and `*` for anything;
* on: xmlrpc, oneflow or onegate; without it the rule holds for all three;
* do: what happens.
  slow: the answer comes `seconds` late, what is asked happens at once;
  drop_before, drop_after: the connection is closed without an answer, before or after it happens;
  lie: success is claimed and nothing happens; `value` is what is answered;
  garble: `how` says html, cut (half of the real answer), xml (real XML-RPC around half an object), or type (an answer
  of another type);
  error: an error of OpenNebula with `code` and `text`, negative codes are XML-RPC faults;
  http: the answer of a proxy in front, with status `code`;
* times: how often it strikes, null or absent for always; skip: how many matching calls pass before the first;
* id: how `python3 -m one_sandbox fault` tells rules apart.

A host named in `hosts` fails every VM that is placed on it, in its boot (BOOT_FAILURE) or before, when its images are
copied (PROLOG_FAILURE), with that text in USER_TEMPLATE/ERROR. "*" stands for every host.

The first rule that matches a call strikes. The counts of calls hold what the cloud did; what is dropped before, lied
about or refused by a rule is not in them, but in `Sandbox.faults.struck`. Without rules a request costs one look at the
time of the file.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

APIS = ("xmlrpc", "oneflow", "onegate")
ACTIONS = ("slow", "drop_before", "drop_after", "lie", "garble", "error", "http")
GARBLES = ("html", "cut", "xml", "type")
STAGES = ("boot", "prolog")
FILE = "faults.json"


class FaultRuleError(ValueError):
    """A rule that means nothing; the text is one sentence."""


@dataclass(frozen=True)
class Rule:
    """One fault, see above."""

    call: str
    do: str
    times: int | None = None
    skip: int = 0
    on: str | None = None
    seconds: float = 0.0
    code: int = 0
    text: str = ""
    how: str = "html"
    value: Any = None
    id: str = ""

    def __post_init__(self) -> None:
        for name, known in (("do", ACTIONS), ("on", (None, *APIS)), ("how", GARBLES)):
            if getattr(self, name) not in known:
                choices = ", ".join(str(item) for item in known if item)
                raise FaultRuleError(f"A fault cannot have {name} {getattr(self, name)!r}; choose one of {choices}.")
        if self.do in ("error", "http") and not self.code:
            raise FaultRuleError(f"A fault that does {self.do} needs a code.")

    def matches(self, api: str, call: str) -> bool:
        """Whether it is about this call, e.g. ("oneflow", "GET /service/3")."""
        return self.on in (None, api) and bool(self._pattern.fullmatch(call))

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        tokens = {"*": ".*", "?": "."}
        parts = re.split(r"(:\w+|[*?])", self.call)
        return re.compile(
            "".join("[^/]+" if part.startswith(":") else tokens.get(part) or re.escape(part) for part in parts)
        )

    @classmethod
    def parse(cls, found: Any) -> Rule:
        """From JSON. Raises FaultRuleError."""
        known = {item.name for item in fields(cls)}
        if not isinstance(found, dict) or not {"call", "do"} <= set(found) or not set(found) <= known:
            raise FaultRuleError(f"A fault must have call and do, and besides only {', '.join(sorted(known))}: {found}")
        return cls(**found)

    def describe(self) -> dict[str, Any]:
        """As JSON, without what is not set."""
        unset = asdict(Rule("", "slow"))
        return {key: value for key, value in asdict(self).items() if key in ("call", "do") or value != unset[key]}


@dataclass
class _Use:
    """How often a rule was met."""

    seen: int = 0
    struck: int = 0


@dataclass
class FaultFile:
    """faults.json of a home, for those who write it."""

    path: Path
    rules: list[Rule] = field(default_factory=list)
    hosts: dict[str, dict[str, str]] = field(default_factory=dict)

    @classmethod
    def load(cls, home: Path) -> FaultFile:
        """Read it; no file is an empty one. Raises FaultRuleError."""
        path = home / FILE
        try:
            found = json.loads(path.read_text())
        except FileNotFoundError:
            return cls(path)
        except (OSError, ValueError) as error:
            raise FaultRuleError(f"{path} cannot be read: {error}") from error
        rules, hosts = (found.get("rules", []), found.get("hosts", {})) if isinstance(found, dict) else (None, None)
        if not isinstance(rules, list) or not isinstance(hosts, dict):
            raise FaultRuleError(f"{path} must hold {{\"rules\": [...], \"hosts\": {{...}}}}.")
        return cls(path, [Rule.parse(item) for item in rules], {name: checked(hosts[name]) for name in hosts})

    def save(self) -> None:
        """Write it, at once whole."""
        content = {"rules": [rule.describe() for rule in self.rules], "hosts": self.hosts}
        temporary = self.path.with_name(f"{FILE}.{os.getpid()}")
        temporary.write_text(json.dumps(content, indent=2) + "\n")
        temporary.replace(self.path)


def checked(stages: Any) -> dict[str, str]:
    """What a host fails in. Raises FaultRuleError."""
    if isinstance(stages, Mapping) and set(stages) <= set(STAGES):
        return {str(stage): str(text) for stage, text in stages.items()}
    raise FaultRuleError(f"A host can fail in {' and '.join(STAGES)}, each with a text, not {stages!r}.")


class Faults:
    """The faults of one sandbox. `struck` lists what happened: (api, call, do)."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._path = str(home / FILE)
        self._lock = threading.Lock()
        self._stamp: tuple[int, int] | None = None
        self._file = FaultFile(home / FILE)
        self._own: list[Rule] = []
        self._uses: dict[int | str, _Use] = {}
        self._closing = threading.Event()
        self.hosts: dict[str, dict[str, str]] = {}
        self.struck: list[tuple[str, str, str]] = []
        self.problem = ""

    # -- for tests and other users in this process ------------------------------------------------------------------

    def add(self, call: str, do: str, **more: Any) -> Rule:
        """Have a fault from now on. Raises FaultRuleError."""
        rule = Rule.parse({"call": call, "do": do, **more})
        with self._lock:
            self._own.append(rule)
            self._uses[id(rule)] = _Use()
        return rule

    def remove(self, rule: Rule) -> None:
        """End a fault that `add` began; no error when it has ended."""
        with self._lock:
            self._own = [item for item in self._own if item is not rule]
            self._uses.pop(id(rule), None)

    @contextmanager
    def during(self, call: str, do: str, **more: Any) -> Iterator[Rule]:
        """A fault for the length of a block."""
        rule = self.add(call, do, **more)
        try:
            yield rule
        finally:
            self.remove(rule)

    def clear(self) -> None:
        """End all faults of this process, those of hosts too, and forget what struck."""
        with self._lock:
            for rule in self._own:
                self._uses.pop(id(rule), None)
            self._own = []
            self.hosts.clear()
            self.struck.clear()

    def stop(self) -> None:
        """Let slow answers go."""
        self._closing.set()

    # -- for the servers --------------------------------------------------------------------------------------------

    def armed(self) -> bool:
        """Whether there are any rules; the usual no costs little."""
        self._refresh()
        return bool(self._own or self._file.rules)

    def take(self, api: str, call: str) -> Rule | None:
        """The fault that strikes this call, None where none does."""
        with self._lock:
            for rule, key in self._rules():
                if not rule.matches(api, call):
                    continue
                use = self._uses.setdefault(key, _Use())
                use.seen += 1
                if use.seen <= rule.skip or (rule.times is not None and use.struck >= rule.times):
                    continue
                use.struck += 1
                self.struck.append((api, call, rule.do))
                return rule
        return None

    def wait(self, seconds: float) -> None:
        """Be slow, but not slower than the end of the sandbox."""
        self._closing.wait(seconds)

    def host_problem(self, host: str, stage: str) -> str:
        """Why a VM fails in that stage on that host, "" when it does not."""
        self._refresh()
        for known in (self.hosts, self._file.hosts):
            if known:
                text = known.get(host, known.get("*", {})).get(stage)
                if text:
                    return text
        return ""

    def _rules(self) -> Iterable[tuple[Rule, int | str]]:
        for rule in self._own:
            yield rule, id(rule)
        for rule in self._file.rules:
            # By content, so that another rule that joins the file does not make this one new.
            yield rule, json.dumps(rule.describe(), sort_keys=True)

    def _refresh(self) -> None:
        try:
            status = os.stat(self._path)
        except OSError:
            stamp = None
        else:
            stamp = (status.st_mtime_ns, status.st_ino)
        if stamp == self._stamp:
            return
        with self._lock:
            self._stamp = stamp
            try:
                self._file, self.problem = FaultFile.load(self._home), ""
            except FaultRuleError as error:
                # A file that is half written or wrong is no reason to stop serving.
                self._file, self.problem = FaultFile(Path(self._path)), str(error)
            known = {key for _rule, key in self._rules()}
            self._uses = {key: use for key, use in self._uses.items() if key in known}
