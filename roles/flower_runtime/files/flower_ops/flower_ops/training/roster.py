# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which nodes take part: connected ones that meet the conditions, and a wait for them that ends.

How a node shows what it is: the grid tells nothing but node ids, so a run that has conditions (`require-framework`,
`require-flower-version`) asks every node once, with a query message of the type `query.describe`. An app answers it by

    @app.query("describe")
    def describe(message, context):
        return answer(message, context)       # flower_ops.training.client.describe

A node whose app has no such function gives an error, one that is stuck gives nothing, and neither is chosen; how long a
silent one is waited for is in inquiry.py. A run without conditions asks nobody, because each message costs a node the
start of a process. The answer is trusted: the conditions are against mistakes, not against liars, whom robust
strategies bear.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from flower_ops.training.errors import NodesMissing
from flower_ops.training.flower import LOG
from flower_ops.training.grid import Delegate, FastGrid, nodes
from flower_ops.training.inquiry import Inquiry
from flower_ops.training.settings import Settings
from flwr.app import ConfigRecord, Message
from flwr.serverapp import Grid

QUERY = "query.describe"
LOOK_EVERY = 1.0
TELL_EVERY = 15.0
# To say what it is, a node starts a process that imports the app, and trains nothing.
ANSWER_WITHIN = 120.0


class Chosen(Delegate):
    """A grid that knows the chosen nodes only.

    Flower's strategies sample from it. They would wait without limit for a node that left between two looks.
    """

    def __init__(self, grid: Grid, chosen: Iterable[int]) -> None:
        super().__init__(grid)
        self._chosen = list(chosen)

    def get_node_ids(self) -> list[int]:
        """The chosen nodes."""
        return list(self._chosen)


class Roster:
    """The nodes of one run: who is connected, who may take part, who was here before."""

    def __init__(
        self,
        grid: FastGrid,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._grid = grid
        self._settings = settings
        self._clock = clock
        self._sleep = sleep
        self._seen: dict[int, float] = {}
        # By connected node: why it may not take part; empty when it may.
        self._reasons: dict[int, str] = {}
        self._inquiry = Inquiry(
            grid,
            QUERY,
            "framework and Flower version",
            self._reason,
            min(settings.round_timeout, ANSWER_WITHIN),
            settings.poll_interval,
            clock=clock,
            sleep=sleep,
        )

    def fit(self, needed: int = 0) -> list[int]:
        """Connected nodes that meet the conditions, sorted. While fewer than `needed` do, answers are waited for."""
        before = self._reasons
        self._reasons = self._found(needed)
        self._seen.update(dict.fromkeys(self._reasons, self._clock()))
        for node, why in sorted(self._reasons.items()):
            if why and before.get(node) != why:
                LOG.warning("Node %d takes no part: it %s.", node, why)
        return sorted(node for node, why in self._reasons.items() if not why)

    def gather(self, server_round: int, needed: int) -> Chosen:
        """The fit nodes as soon as there are `needed`; NodesMissing when that takes too long."""
        begun = told = None
        while True:
            found = self.fit(needed)
            if len(found) >= needed:
                return Chosen(self._grid, found)
            now = self._clock()
            begun = now if begun is None else begun
            limit = self._settings.node_wait_timeout
            if now - begun >= limit:
                raise NodesMissing(
                    f"Round {server_round} did not begin: {len(found)} of {needed} nodes were there for {limit:.0f} s"
                    f"{self._who(found, now)}. Start the missing SuperNodes, or lower min-available-clients."
                )
            if told is None or now - told >= TELL_EVERY:
                told = now
                # The first line is Flower's own, word for word: the reader of runs knows it.
                LOG.info("Waiting for nodes to connect: %d connected (minimum required: %d).", len(found), needed)
                who = self._who(found, now)
                left = limit - (now - begun)
                LOG.info("Round %d cannot begin%s; the run ends in %.0f s.", server_round, who, left)
            self._sleep(min(LOOK_EVERY, limit - (now - begun)))

    def _who(self, found: list[int], now: float) -> str:
        """Who is here, whom this run has seen before, whom it refuses, in words that go on a sentence."""
        here = [f"here: {nodes(found)}"] if found else []
        gone = [
            f"node {node} has been away for {now - seen:.0f} s"
            for node, seen in sorted(self._seen.items())
            if node not in self._reasons
        ]
        refused = [f"node {node} {why}" for node, why in sorted(self._reasons.items()) if why]
        words = here + gone + refused
        return f" ({'; '.join(words[:10])})" if words else ""

    def _found(self, needed: int) -> dict[int, str]:
        """Why each connected node may not take part; empty for those that may."""
        if not self._settings.require_framework and not self._settings.require_flower_version:
            return dict.fromkeys(self._grid.get_node_ids(), "")
        self._inquiry.ask(lambda: sum(not why for why in self._inquiry.answers.values()) >= needed)
        silent = {node: f"did not say what it is: {why}" for node, why in self._inquiry.silent().items()}
        return {**self._inquiry.answers, **silent}

    def _reason(self, answer: Message) -> str:
        if answer.has_error():
            return f"did not say what it is: {answer.error.reason}"
        return mismatch(next(iter(answer.content.config_records.values()), None), self._settings)


def mismatch(told: ConfigRecord | None, settings: Settings) -> str:
    """Why a node that describes itself so may not take part; empty when it may."""
    if told is None:
        return "did not say what it is"
    frameworks = [name for name in str(told.get("frameworks", "")).split(",") if name]
    if settings.require_framework and settings.require_framework not in frameworks:
        return f"has {', '.join(frameworks) or 'no known framework'}, not {settings.require_framework}"
    wanted, version = settings.require_flower_version, str(told.get("flower-version", "unknown"))
    if wanted and version.split(".")[: wanted.count(".") + 1] != wanted.split("."):
        return f"has Flower {version}, not {wanted}"
    return ""
