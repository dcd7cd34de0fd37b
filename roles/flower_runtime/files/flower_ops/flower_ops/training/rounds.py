# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rounds of a run: as Flower's own loop, with their true numbers, a deadline each, and an end to every wait.

Flower's loop always begins with round 1, so a resumed run would repeat the seeds and the learning rates of its first
rounds. The log lines are Flower's, word for word, because `flower_ops.runs.log` reads them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from flower_ops.training.flower import LOG, Arrays, arrays_of, figures
from flower_ops.training.grid import FastGrid
from flower_ops.training.packing import OFFER
from flower_ops.training.parcels import Parcels
from flower_ops.training.replies import screened
from flower_ops.training.result import new_round
from flower_ops.training.roster import Chosen, Roster
from flower_ops.training.settings import Settings
from flower_ops.training.strategies import Strategy
from flwr.app import ArrayRecord, ConfigRecord, Message
from flwr.serverapp import Grid

# (round, arrays) -> metrics of the global model; None when nothing is measured in that round.
Evaluate = Callable[[int, Arrays], "dict[str, float] | None"]
# What a ServerApp may tell nodes with each round.
Told = bool | int | float | str
# Called after each round with its number, the global arrays and the list of all rounds.
Keep = Callable[[int, ArrayRecord, "list[dict[str, Any]]"], None]
#: For a round in which nodes answered and the strategy took nothing of it; filled with their number and the round's.
UNUSED = "None of the %d results of round %d is used: the model stays as it is."


class Rounds:
    """Runs rounds `first` to `settings.num_server_rounds`. `rounds` is added to: one dictionary each, see result.py."""

    def __init__(
        self,
        grid: Grid,
        strategy: Strategy,
        settings: Settings,
        evaluate: Evaluate | None = None,
        keep: Keep | None = None,
        tell: Mapping[str, Told] | None = None,
    ) -> None:
        self.grid = grid if isinstance(grid, FastGrid) else FastGrid(grid, settings.poll_interval)
        self.strategy = strategy
        self.settings = settings
        self.evaluate = evaluate
        self.keep = keep
        self.tell = dict(tell or {})
        self.roster = Roster(self.grid, settings)
        self._parcels = Parcels()

    def run(self, arrays: ArrayRecord, rounds: list[dict[str, Any]], first: int = 1) -> ArrayRecord:
        """The global arrays after the last round."""
        begun = time.monotonic()
        last = self.settings.num_server_rounds
        LOG.info("Starting %s strategy, rounds %d to %d:", type(self.strategy).__name__, first, last)
        self.strategy.summary()
        if first == 1 and self.evaluate:
            start = {**new_round(0), "central": figures(self.evaluate(0, arrays_of(arrays)))}
            if start["central"] is not None:
                LOG.info("Initial global evaluation results: %s", start["central"])
            rounds.append(start)
        for number in range(first, last + 1):
            LOG.info("")
            LOG.info("[ROUND %s/%s]", number, last)
            current = new_round(number)
            started = time.monotonic()
            arrays = self._train(current, arrays)
            if self.settings.fraction_evaluate > 0:
                self._evaluate_at_nodes(current, arrays)
            if self.evaluate and (found := figures(self.evaluate(number, arrays_of(arrays)))) is not None:
                current["central"] = found
                LOG.info("Global evaluation")
                LOG.info("\t└──> MetricRecord: %s", found)
            current["seconds"] = round(time.monotonic() - started, 3)
            rounds.append(current)
            if self.keep:
                self.keep(number, arrays, rounds)
        LOG.info("Strategy execution finished in %.2fs", time.monotonic() - begun)
        return arrays

    def _train(self, current: dict[str, Any], arrays: ArrayRecord) -> ArrayRecord:
        settings = self.settings
        needed = max(settings.min_available_clients, settings.min_fit_clients)
        chosen = self.roster.gather(current["round"], needed)
        config = ConfigRecord({**self.tell, "num-server-rounds": settings.num_server_rounds, OFFER: True})
        messages = list(self.strategy.configure_train(current["round"], arrays, config, chosen))
        answers = self._exchange(messages)
        weight = self.strategy.weighted_by_key
        answers = screened(answers, messages, arrays, weight, self.strategy.all_finite)
        current.update(_counted(messages, answers))
        combined, metrics = self.strategy.aggregate_train(current["round"], answers)
        current.update(aggregated=combined is not None, train=figures(metrics))
        if combined is None and current["results"]:
            # By this line, and the warning of the strategy before it, the run is judged: flower_ops.runs.log.
            LOG.warning(UNUSED, current["results"], current["round"])
        if metrics is not None:
            LOG.info("\t└──> Aggregated MetricRecord: %s", current["train"])
        return arrays if combined is None else combined

    def _exchange(self, messages: list[Message]) -> list[Message]:
        """What nodes answer within the deadline."""
        self._parcels.wrap(messages)
        answers = self.grid.send_and_receive(messages, timeout=self.settings.round_timeout)
        self._parcels.unwrap(answers)
        return answers

    def _evaluate_at_nodes(self, current: dict[str, Any], arrays: ArrayRecord) -> None:
        """Metrics of the nodes' own data; left out, and told, when too few nodes are there at the moment."""
        settings = self.settings
        needed = max(settings.min_available_clients, settings.min_evaluate_clients)
        found = self.roster.fit()
        if len(found) < needed:
            LOG.warning("No evaluation at the nodes in this round: %d of %d are there.", len(found), needed)
            current["evaluating"] = {"nodes": needed, "results": 0, "failures": {}}
            return
        chosen = Chosen(self.grid, found)
        messages = list(self.strategy.configure_evaluate(current["round"], arrays, ConfigRecord({**self.tell}), chosen))
        answers = self._exchange(messages)
        answers = screened(answers, messages, None, self.strategy.weighted_by_key)
        current["evaluating"] = _counted(messages, answers)
        metrics = self.strategy.aggregate_evaluate(current["round"], answers)
        current["evaluate"] = figures(metrics)
        if metrics is not None:
            LOG.info("\t└──> Aggregated MetricRecord: %s", current["evaluate"])


def _counted(messages: list[Message], answers: list[Message]) -> dict[str, Any]:
    """Of a round: how many nodes were asked, how many answers are of use, and why the others are not.

    The reasons by node id, which JSON wants as text.
    """
    bad = sorted((one for one in answers if one.has_error()), key=lambda one: one.metadata.src_node_id)
    failures = {str(one.metadata.src_node_id): str(one.error.reason) for one in bad}
    return {"nodes": len(messages), "results": len(answers) - len(bad), "failures": failures}
