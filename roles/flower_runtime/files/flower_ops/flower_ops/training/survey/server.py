# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's side: ask nodes, agree on a plan, train with those that fit it, and look at the final model.

@app.main()
def main(grid, context):
    settings = checks.read(context.run_config, FORMS)
    surveyed = agree(grid, settings, decide, fits, source=str(context.run_config["data-source"]))
    model, look = new(surveyed.plan), last_look(surveyed, settings)
    train(surveyed, context, initial=model, evaluate=look, tell=surveyed.tell)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from flower_ops.training import roster
from flower_ops.training.client.messages import EXAMPLES
from flower_ops.training.data.sources import AUTO
from flower_ops.training.errors import NodesMissing
from flower_ops.training.flower import LOG, Arrays, figures, record_of
from flower_ops.training.grid import Delegate, FastGrid, nodes
from flower_ops.training.inquiry import Inquiry
from flower_ops.training.replies import screened
from flower_ops.training.settings import Settings
from flower_ops.training.survey import keeping
from flower_ops.training.survey.plan import PART, PARTS, QUERY, Undecided, Values, said, values_of
from flower_ops.training.survey.source import spoilt
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

#: Answers of nodes that can take part, and how many are needed -> the plan, which has at least `source` and `origin`;
#: raises Undecided.
Decide = Callable[[Mapping[int, Values], int], Values]
#: An answer and the plan -> why that node cannot follow it, to go on its name; empty when it can.
Fits = Callable[[Values, Values], str]


class Surveyed(Delegate):
    """A grid of the nodes that fit the plan. A node that comes later is asked when it comes, one that returns again.

    No node holds up the others by saying nothing: see inquiry.py.
    """

    def __init__(self, grid: Grid, settings: Settings, fits: Fits) -> None:
        super().__init__(grid)
        self.decided: Values | None = None
        self.needed = max(settings.min_available_clients, settings.min_fit_clients)
        # Long enough for a data set or a model to arrive from the hub.
        limit = settings.round_timeout
        self._inquiry = Inquiry(grid, QUERY, "data and framework", values_of, limit, settings.poll_interval)
        self._settings = settings
        self._fits = fits
        self._said: dict[int, str] = {}
        self._twins: set[str] = set()
        self._cuts: set[str] = set()

    @property
    def plan(self) -> Values:
        """What all follow; ValueError before it is made."""
        if self.decided is None:
            raise ValueError("there is no plan yet")
        return self.decided

    @property
    def tell(self) -> dict[str, str]:
        """What nodes must be told of it."""
        return said(self.plan)

    def get_node_ids(self) -> list[int]:
        """Connected nodes that fit the plan."""
        self.look()
        return sorted(node for node, why in self.reasons().items() if not why)

    def look(self) -> None:
        """Ask connected nodes that were not here at the last look, and wait for them, but not for ever."""
        self._inquiry.ask(lambda: len(self.able()) >= self.needed)

    @property
    def answers(self) -> dict[int, Values]:
        """What nodes said at the last look, faults among it."""
        return self._inquiry.answers

    def able(self) -> dict[int, Values]:
        """What those nodes have that can take part, at the last look."""
        return {node: answer for node, answer in self._inquiry.answers.items() if not self._reason(answer)}

    def pending(self) -> bool:
        """Whether a node may still say in time what it has."""
        return self._inquiry.pending()

    def reasons(self) -> dict[int, str]:
        """By node of the last look: why it takes no part; empty when it does. News are logged."""
        found = {node: f"did not say what it has: {why}" for node, why in self._inquiry.silent().items()}
        found.update({node: self._reason(answer) for node, answer in self._inquiry.answers.items()})
        for node, why in sorted(found.items()):
            if why and self._said.get(node) != why:
                LOG.warning("Node %d takes no part: it %s.", node, why.rstrip("."))
            elif not why and self._said.get(node):
                LOG.info("Node %d takes part now.", node)
        self._said = found
        if self.decided and self.decided.get("source") != "own":
            able = [node for node, why in found.items() if not why]
            self._tell_twins(self._by(PART, able))
            self._tell_cuts(self._by(PARTS, able))
        return found

    def _by(self, key: str, able: list[int]) -> dict[str, list[int]]:
        """Nodes by what they say of their part of the data, without those that say nothing."""
        found: dict[str, list[int]] = {}
        for node in able:
            found.setdefault(str(self._inquiry.answers[node].get(key) or ""), []).append(node)
        return {value: those for value, those in sorted(found.items()) if value}

    def _tell_cuts(self, cuts: dict[str, list[int]]) -> None:
        """Parts of data that was cut into different numbers of them overlap. The same difference is told once."""
        if len(cuts) > 1 and not set(cuts) <= self._cuts:
            LOG.warning(
                "Some data may count more than once and some not at all, because nodes cut it into different numbers of"
                " parts (%s); give all the same num-partitions in ONEAPP_FL_NODE_CONFIG.",
                "; ".join(f"{number} on {nodes(those)}" for number, those in cuts.items()),
            )
        self._cuts = set(cuts) if len(cuts) > 1 else set()

    def _tell_twins(self, parts: dict[str, list[int]]) -> None:
        """Nodes with the same partition-id train on the same data, which then counts twice. Each is told once."""
        twins = {part: nodes(those) for part, those in parts.items() if len(those) > 1}
        for part in sorted(set(twins) - self._twins):
            LOG.warning(
                "The same data counts more than once, because %s have the same partition-id, %s; give each one of its"
                " own in ONEAPP_FL_NODE_CONFIG.",
                twins[part],
                part,
            )
        self._twins = set(twins)

    def _reason(self, answer: Values) -> str:
        if "fault" in answer:
            return str(answer["fault"])
        is_what = {key: str(answer.get(key, "")) for key in ("frameworks", "flower-version")}
        why = roster.mismatch(ConfigRecord(dict(is_what)), self._settings)
        return why or (self._fits(answer, self.decided) if self.decided else "")


def agree(grid: Grid, settings: Settings, decide: Decide, fits: Fits, source: str = "") -> Surveyed:
    """The grid to train over, its plan made, as soon as enough nodes fit it. `source`: what the run's data-source says.

    A training that has a checkpoint goes on with the plan that it began with. Raises NodesMissing with everything that
    is wrong when that takes too long.
    """
    surveyed = Surveyed(grid, settings, fits)
    before = surveyed.decided = keeping.kept(settings)
    # Conditions are judged by the survey's answers: nobody is asked twice.
    free = replace(settings, require_framework="", require_flower_version="")
    patience = roster.Roster(FastGrid(grid, settings.poll_interval), free)
    begun, told = time.monotonic(), ""
    while True:
        patience.gather(1, surveyed.needed)
        why = _try(surveyed, decide)
        if not why:
            break
        # More nodes may bring another plan.
        surveyed.decided = before
        if time.monotonic() - begun >= settings.node_wait_timeout and not surveyed.pending():
            raise NodesMissing(f"The training did not begin: {why}.")
        if why != told:
            LOG.warning("The training cannot begin yet: %s.", why)
            told = why
        time.sleep(min(roster.LOOK_EVERY, settings.node_wait_timeout))
    if source == AUTO and before is None and surveyed.plan["source"] == "bundled":
        LOG.warning(
            "All nodes train on %s, because none of those that can take part has data of its own and not every one the"
            ' published data set; set data-source to "bundled" where that is meant.',
            surveyed.plan["origin"],
        )
    else:
        LOG.info("All nodes train on %s.", surveyed.plan["origin"])
    keeping.keep(settings, surveyed.plan)
    return surveyed


def _try(surveyed: Surveyed, decide: Decide) -> str:
    """Make the plan where there is none yet; why training cannot begin, without a full stop, or nothing."""
    surveyed.look()
    able, needed = surveyed.able(), surveyed.needed
    if len(able) >= needed and surveyed.decided is None:
        if why := spoilt(surveyed.answers, able):
            return why
        try:
            surveyed.decided = decide(able, needed)
        except Undecided as error:
            return str(error)
        able = surveyed.able()
    reasons = surveyed.reasons()
    if len(able) >= needed:
        return ""
    refused = "; ".join(f"node {node} {why.rstrip('.')}" for node, why in sorted(reasons.items()) if why)
    return f"{len(able)} of {needed} nodes can take part: {refused}"


def last_look(surveyed: Surveyed, settings: Settings) -> Callable[[int, Arrays], dict[str, float] | None]:
    """An `evaluate` for `train`: after the last round, nodes try the final model on what they have held back.

    In a round, nodes look at the model that they get, so the last one would be seen by nobody. That costs one message
    in the whole run; where nodes are asked to evaluate in every round, none.
    """

    def look(number: int, arrays: Arrays) -> dict[str, float] | None:
        if number != settings.num_server_rounds or settings.fraction_evaluate > 0:
            return None
        content = RecordDict(
            {"arrays": record_of(arrays), "config": ConfigRecord({**surveyed.tell, "server-round": number})}
        )
        messages = [Message(content, node, "evaluate") for node in surveyed.get_node_ids()]
        fast = FastGrid(surveyed, settings.poll_interval)
        answers = screened(fast.send_and_receive(messages, timeout=settings.round_timeout), messages, None, EXAMPLES)
        for one in answers:
            if one.has_error():
                LOG.warning("Node %d did not try the final model: %s.", one.metadata.src_node_id, one.error.reason)
        return mean([one for one in answers if not one.has_error()])

    return look


def mean(answers: Iterable[Message]) -> dict[str, float] | None:
    """Metrics of answers, weighted by their numbers of examples and always summed in one order; None without any."""
    ordered = sorted(answers, key=lambda one: one.metadata.src_node_id)
    told = [figures(next(iter(one.content.metric_records.values()))) or {} for one in ordered]
    if not told:
        return None
    total = float(sum(one[EXAMPLES] for one in told))
    names = [name for name in told[0] if name != EXAMPLES]
    return {name: sum(float(one[name]) * one[EXAMPLES] for one in told) / total for name in names}
