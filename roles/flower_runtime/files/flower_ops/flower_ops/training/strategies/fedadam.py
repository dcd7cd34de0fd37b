# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Adam on the server (Reddi et al. 2021), with moments that survive a restart."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from flower_ops.training.flower import LOG
from flower_ops.training.strategies.base import OVERFLOW, State, Strategy
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp import strategy as flower


class FedAdam(Strategy, flower.FedAdam):
    """Flower's FedAdam: beta_1 0.9, beta_2 0.99, tau 0.001, bias correction by the round's number.

    eta is the step of the server (`server-lr`). eta_l, the step of the nodes (`client-lr`), goes to them as
    `client-lr` with each training message; what a node does with it is the app's business.
    """

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Tell nodes their learning rate."""
        config["client-lr"] = float(self.eta_l)
        messages = super().configure_train(server_round, arrays, config, grid)
        # As answers are compared with it: see base.py.
        self.current_arrays = {name: np.atleast_1d(one) for name, one in (self.current_arrays or {}).items()}
        return messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Flower's; a round that would bring moments which are not finite, and so still every later step, is void."""
        before = self.m_t, self.v_t
        arrays, metrics = super().aggregate_train(server_round, replies)
        moments = [one for some in (self.m_t, self.v_t) for one in (some or {}).values()]
        finite = all(np.isfinite(one).all() for one in moments)
        if arrays is not None and finite:
            return arrays, metrics
        if not finite:
            LOG.warning(OVERFLOW, "the moments of FedAdam", server_round)
        # Flower puts new dictionaries in their place and leaves the old ones as they are.
        self.m_t, self.v_t = before
        return None, None

    def state(self) -> State:
        """Both moments, arrays in one order, and their names; nothing before the first aggregation."""
        if not self.m_t or not self.v_t:
            return {}
        names = list(self.m_t)
        return {
            "names": json.dumps(names),
            "first_moments": [np.array(self.m_t[name]) for name in names],
            "second_moments": [np.array(self.v_t[name]) for name in names],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Put the moments back; ValueError when the state is not FedAdam's."""
        if not state:
            self.m_t = self.v_t = None
            return
        try:
            names = json.loads(state["names"])
            self.m_t = dict(zip(names, map(np.asarray, state["first_moments"]), strict=True))
            self.v_t = dict(zip(names, map(np.asarray, state["second_moments"]), strict=True))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"the checkpoint holds no moments of FedAdam ({error})") from error
