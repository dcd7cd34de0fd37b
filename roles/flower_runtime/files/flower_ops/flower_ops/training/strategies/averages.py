# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Averages of all answers: weighted, proximal, median, trimmed, and one for nodes that often fail."""

from __future__ import annotations

from typing import Any

from flower_ops.training.flower import LOG
from flower_ops.training.strategies.base import Strategy
from flower_ops.training.strategies.mean import Averaging
from flwr.app import Message
from flwr.serverapp import strategy as flower


class FedAvg(Averaging):
    """Mean, weighted by numbers of examples (McMahan et al. 2017)."""


class FedProx(Averaging, flower.FedProx):
    """FedAvg whose nodes stay near the global model (Li et al. 2020).

    The server only tells `proximal-mu`; the term itself is the node's: see `flower_ops.training.client.proximal`.
    """


class FedMedian(Strategy, flower.FedMedian):
    """Median of each coordinate (Yin et al. 2018)."""


class FedTrimmedAvg(Strategy, flower.FedTrimmedAvg):
    """Mean of each coordinate without the share `beta` of the smallest and of the greatest values (Yin et al. 2018)."""

    def select(self, replies: list[Message], is_train: bool) -> list[Message]:
        """All answers; none when nothing would be trimmed of so few, though it would be if all had come.

        One node that lies could otherwise win by another one's failure.
        """
        if not is_train or int(self.beta * len(replies)) or not int(self.beta * self.chosen):
            return replies
        LOG.warning(
            "FedTrimmedAvg with trim-beta %g trims nothing of %d answers, and %d nodes were chosen: this round's "
            "answers are dropped.",
            self.beta,
            len(replies),
            self.chosen,
        )
        return []


class FaultTolerantFedAvg(Averaging):
    """FedAvg that aggregates only when a given share of the chosen nodes has answered.

    Flower has it in its former API only. A round with fewer answers is void: the global model stays as it is, so that
    the few nodes which happen to be up cannot pull it to their data.
    """

    def __init__(self, min_completion_rate: float = 0.5, **common: Any) -> None:
        super().__init__(**common)
        self.min_completion_rate = min_completion_rate

    def select(self, replies: list[Message], is_train: bool) -> list[Message]:
        """All answers, or none of them."""
        rate = len(replies) / self.chosen if self.chosen else 0.0
        if rate >= self.min_completion_rate:
            return replies
        LOG.warning(
            "Only %d of %d nodes answered, less than min-completion-rate %g allows: this round's answers are dropped.",
            len(replies),
            self.chosen,
            self.min_completion_rate,
        )
        return []
