# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a ServerApp's log: Flower's stock lines, which every app on the Message API prints.

Round, metrics and failures of a run are told nowhere else: the Control API knows only status, times and bytes.
A line is trusted only when it stands alone after Flower's log prefix, so that text of the app cannot pass as a round.
"""

from __future__ import annotations

import ast
import math
import re
from collections import deque
from typing import Any

ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
PREFIX = re.compile(r"^(?:INFO|WARNING|ERROR|DEBUG|CRITICAL)\s*:\s{1,6}")
LEVEL_ERROR = re.compile(r"^ERROR\s*:\s*")
LEVEL_WARNING = re.compile(r"^WARNING\s*:\s*")
ROUND = re.compile(r"\[ROUND (\d+)(?:/(\d+))?\]$")
INITIAL = re.compile(r"Initial global evaluation results: (\{.*\})$")
SAMPLED = re.compile(r"configure_(train|evaluate): Sampled (\d+) nodes \(out of (\d+)\)$")
RECEIVED = re.compile(r"aggregate_(train|evaluate): Received (\d+) results and (\d+) failures$")
AGGREGATED = re.compile(r"└──> Aggregated MetricRecord: (\{.*\})$")
CENTRAL = re.compile(r"└──> MetricRecord: (\{.*\})$")
REPLY_ERROR = re.compile(r"> Received error in reply from node (\d+): (.*)$")
# As flower_ops.training.rounds tells it, after the strategy's own warning, and as Flower's Bulyan does.
UNUSED = re.compile(r"None of the \d+ results of round \d+ is used: the model stays as it is\.$")
SKIPPED = re.compile(r"Insufficient replies, skipping \w+ aggregation: .*$")
# As flower_ops.training.rounds tells it.
NOT_EVALUATED = re.compile(r"No evaluation at the nodes in this round: \d+ of (\d+) are there\.$")
WAITING = re.compile(r"Waiting for nodes to connect: (\d+) connected \(minimum required: (\d+)\)\.?$")
FINISHED = re.compile(r"Strategy execution finished in ([0-9.]+)s$")
TRACEBACK = "Traceback (most recent call last):"
# How Flower prints the exception of a node.
NODE_EXCEPTION = re.compile(r"^<class '(?:builtins\.)?([\w.]+)'>:<(['\"])(.*)\2>$")
TAIL_LINES = 40
MAX_TEXT = 500
# Errors of nodes that are kept: a thousand nodes that fail in each of a thousand rounds must not make the record so
# large that nobody reads it any more (machine/foreign.py).
ERRORS_A_ROUND, ERRORS_A_RUN = 20, 1000


class RunLog:
    """State of one run as far as its log tells it. Feed lines in order; times are seconds since the epoch.

    rounds: one dict per round {round, train, evaluate, central: metrics or None, nodes, connected, results, failures,
    errors, dropped, seconds, done}; results and failures are those of training. errors: the first ones, and as the last
    text how many more there were. dropped: why the strategy used none of the results, or None.
    """

    def __init__(self) -> None:
        self.rounds: list[dict[str, Any]] = []
        self.initial: dict[str, Any] | None = None
        self.planned: int | None = None
        self.waiting: str | None = None
        self.strategy_seconds: float | None = None
        self.error: str | None = None
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._phase = "train"
        self._warning = ""
        self._begun = 0.0
        self._traceback = False
        self._exception = False
        self._errors_kept = 0
        self._errors_left_out = 0

    @property
    def exception(self) -> str | None:
        """The exception that ended the ServerApp, as Python prints it: its class, a colon, its text."""
        return self.error if self._exception else None

    @property
    def complete(self) -> bool:
        """Whether it tells all rounds of a run that completed: Flower's strategies have a last line."""
        return self.strategy_seconds is not None

    def feed(self, line: str, now: float) -> bool:
        """Take in one line; True when it told something new about the run (not for every line of the log)."""
        text = ANSI.sub("", line).rstrip()
        body = PREFIX.sub("", text)
        if body.strip():
            self.tail.append(text[:MAX_TEXT])
        # Without the prefix it is a continuation or something that the app printed.
        if body == text:
            self._continuation(text)
            return False
        self._traceback = False
        if LEVEL_ERROR.match(text) and body.strip() and not self._exception:
            self.error = body.strip()[:MAX_TEXT]
        news = self._stock_line(body.strip(), now)
        if LEVEL_WARNING.match(text) and not news:
            self._warning = body.strip()[:MAX_TEXT]
        if news:
            # The run went on, so an exception before was printed and not the end.
            self._exception = False
        return news

    def _continuation(self, text: str) -> None:
        """The exception that ends a traceback says more than the error lines around it."""
        if text == TRACEBACK:
            self._traceback = True
        elif self._traceback and text and not text[0].isspace():
            self.error, self._exception, self._traceback = text[:MAX_TEXT], True, False

    def _stock_line(self, body: str, now: float) -> bool:
        if found := ROUND.fullmatch(body):
            self._close(now)
            self.planned = int(found[2]) if found[2] else self.planned
            self.rounds.append(new_round(int(found[1])))
            self._phase, self._begun, self.waiting = "train", now, None
            self._errors_left_out = 0
        elif found := WAITING.fullmatch(body):
            text = f"waiting for nodes: {found[1]} connected, {found[2]} needed"
            if text == self.waiting:
                return False
            self.waiting = text
        elif found := INITIAL.fullmatch(body):
            self.initial = metrics(found[1])
        elif found := FINISHED.fullmatch(body):
            self._close(now)
            self.strategy_seconds = float(found[1])
        elif self.rounds:
            return self._round_line(self.rounds[-1], body, now)
        else:
            return False
        return True

    def _round_line(self, current: dict[str, Any], body: str, now: float) -> bool:
        if found := SAMPLED.fullmatch(body):
            self._phase, self.waiting = found[1], None
            if found[1] == "train":
                current.update(nodes=int(found[2]), connected=int(found[3]))
            else:
                current["evaluate_nodes"] = int(found[2])
        elif found := RECEIVED.fullmatch(body):
            self._phase, self._warning = found[1], ""
            if found[1] == "train":
                current.update(results=int(found[2]), failures=int(found[3]))
            else:
                current.update(evaluate_results=int(found[2]), evaluate_failures=int(found[3]))
        elif found := NOT_EVALUATED.fullmatch(body):
            current.update(evaluate_nodes=int(found[1]), evaluate_results=0)
        elif SKIPPED.fullmatch(body):
            current["dropped"] = body[:MAX_TEXT]
        elif UNUSED.fullmatch(body):
            current["dropped"] = current["dropped"] or self._warning or "its strategy does not say why"
        elif found := AGGREGATED.fullmatch(body):
            current[self._phase] = metrics(found[1])
        elif found := CENTRAL.fullmatch(body):
            current["central"] = metrics(found[1])
        elif found := REPLY_ERROR.fullmatch(body):
            text = NODE_EXCEPTION.sub(r"\1: \3", found[2])
            self._error(current["errors"], f"node {found[1]}: {text}")
        else:
            return False
        current["seconds"] = round(now - self._begun, 1)
        return True

    def _error(self, errors: list[str], text: str) -> None:
        """Keep the error of a node, or count it where enough are kept."""
        if not self._errors_left_out and len(errors) < ERRORS_A_ROUND and self._errors_kept < ERRORS_A_RUN:
            errors.append(text[:MAX_TEXT])
            self._errors_kept += 1
            return
        if self._errors_left_out:
            errors.pop()
        self._errors_left_out += 1
        errors.append(f"{self._errors_left_out} more, which the log of the run tells")

    def _close(self, now: float) -> None:
        if self.rounds and not self.rounds[-1]["done"]:
            self.rounds[-1].update(done=True, seconds=round(now - self._begun, 1))


def new_round(number: int) -> dict[str, Any]:
    """A round of which nothing is known yet."""
    return {
        "round": number,
        "train": None,
        "evaluate": None,
        "central": None,
        "nodes": None,
        "connected": None,
        "results": None,
        "failures": None,
        "errors": [],
        "dropped": None,
        "seconds": None,
        "done": False,
    }


def metrics(text: str) -> dict[str, Any] | None:
    """A MetricRecord as Flower prints it (numbers and lists of numbers); None when it is anything else.

    Values that JSON cannot hold (nan, inf) become None: a diverged model must not make the record unreadable.
    """
    try:
        value = ast.literal_eval(_NotFinite().visit(ast.parse(text, mode="eval")))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    result: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, list):
            result[str(key)] = [_figure(one) for one in item]
        elif item is None or isinstance(item, (int, float)):
            result[str(key)] = _figure(item)
    return result


def _figure(value: Any) -> int | float | None:
    """A number that JSON can hold, or None."""
    return value if isinstance(value, (int, float)) and math.isfinite(value) else None


class _NotFinite(ast.NodeTransformer):
    """Python prints nan and inf as names, which are no literals: None takes their place."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Constant(None) if node.id in ("nan", "inf") else node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        self.generic_visit(node)
        return node.operand if isinstance(node.operand, ast.Constant) and node.operand.value is None else node
