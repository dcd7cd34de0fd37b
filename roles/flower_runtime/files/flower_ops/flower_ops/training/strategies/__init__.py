# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Strategies by name: Flower's own classes, with state that a checkpoint can hold and with what they lack."""

from __future__ import annotations

from typing import Any

from flower_ops.training.settings import Settings
from flower_ops.training.strategies.averages import (
    FaultTolerantFedAvg,
    FedAvg,
    FedMedian,
    FedProx,
    FedTrimmedAvg,
)
from flower_ops.training.strategies.base import Strategy
from flower_ops.training.strategies.fedadam import FedAdam
from flower_ops.training.strategies.robust import Bulyan, Krum, MultiKrum

__all__ = ["Strategy", "build"]


def build(settings: Settings, **common: Any) -> Strategy:
    """The strategy of the settings; `common` goes to Flower's class too, for example `weighted_by_key`."""
    common = {
        "fraction_train": 1.0,
        "fraction_evaluate": settings.fraction_evaluate,
        "min_train_nodes": settings.min_fit_clients,
        "min_evaluate_nodes": settings.min_evaluate_clients,
        "min_available_nodes": settings.min_available_clients,
        **common,
    }
    match settings.strategy:
        case "FedAvg":
            return FedAvg(**common)
        case "FedProx":
            return FedProx(proximal_mu=settings.proximal_mu, **common)
        case "FedAdam":
            return FedAdam(eta=settings.server_lr, eta_l=settings.client_lr, **common)
        case "Krum":
            return Krum(num_malicious_nodes=settings.num_malicious, **common)
        case "MultiKrum":
            return MultiKrum(num_malicious_nodes=settings.num_malicious, **common)
        case "Bulyan":
            return Bulyan(num_malicious_nodes=settings.num_malicious, **common)
        case "FedTrimmedAvg":
            return FedTrimmedAvg(beta=settings.trim_beta, **common)
        case "FedMedian":
            return FedMedian(**common)
        case "FaultTolerantFedAvg":
            return FaultTolerantFedAvg(min_completion_rate=settings.min_completion_rate, **common)
    raise ValueError(f"there is no strategy {settings.strategy!r}")
