# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator may say about a training run: `context.run_config` becomes one checked, frozen Settings.

All faults are told at once and before the first round. Forms and ranges are checked for every value, rules about
several values only for the chosen strategy. Keys that are absent have defaults; keys that are not ours are left alone,
they belong to the app.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from flower_ops.robustness import least_nodes
from flower_ops.training import forms
from flower_ops.training.forms import Form

STRATEGIES = (
    "FedAvg",
    "FedProx",
    "FedAdam",
    "Krum",
    "MultiKrum",
    "Bulyan",
    "FedTrimmedAvg",
    "FedMedian",
    "FaultTolerantFedAvg",
)

FORMS: dict[str, Form] = {
    "strategy": forms.one_of(*STRATEGIES),
    "num-server-rounds": forms.whole(1),
    "min-fit-clients": forms.whole(1),
    "min-evaluate-clients": forms.whole(1),
    "min-available-clients": forms.whole(1),
    "fraction-evaluate": forms.number(0, 1, "from 0 to 1; 0 asks nodes for no evaluation"),
    "proximal-mu": forms.number(0, None, "0 or more"),
    "server-lr": forms.number(0, None, "above 0", open_low=True),
    "client-lr": forms.number(0, None, "above 0", open_low=True),
    "num-malicious": forms.whole(0),
    "trim-beta": forms.number(0, 0.5, "above 0 and below 0.5", open_low=True, open_high=True),
    "min-completion-rate": forms.number(0, 1, "from 0 to 1"),
    "round-timeout": forms.number(0, None, "above 0, in seconds", open_low=True),
    "node-wait-timeout": forms.number(0, None, "above 0, in seconds", open_low=True),
    "poll-interval": forms.number(0, None, "above 0, in seconds", open_low=True),
    "require-framework": forms.text(),
    "require-flower-version": forms.version(),
    "checkpoint-enabled": forms.flag(),
    "checkpoint-interval": forms.whole(1),
    "checkpoint-path": forms.text(),
    "checkpoint-keep": forms.whole(1),
    "checkpoint-disk": forms.text(),
    "training": forms.name(),
    "output-dir": forms.text(),
}


@dataclass(frozen=True)
class Settings:
    """One training run. Times in seconds; fields are the keys of the run configuration with `_` for `-`.

    round_timeout: how long a round waits for answers before it goes on without the missing ones.
    node_wait_timeout: how long a round waits to begin while too few nodes are connected; then the run ends.
    poll_interval: the longest pause between two looks for answers; in short rounds the pauses are shorter.
    require_framework, require_flower_version: only such nodes are chosen (see roster.py); empty: every node.
    training: name of the training that this run belongs to. Its checkpoints lie in a folder of that name, and a later
        run with the same name goes on from them. Empty: the run is a training of its own and starts anew.
    checkpoint_path: folder on the SuperLink; empty: `checkpoints` in output_dir, and without that none are written.
    checkpoint_disk: where a disk must be mounted that holds that folder; empty: any disk will do.
    """

    strategy: str = "FedAvg"
    num_server_rounds: int = 3
    min_fit_clients: int = 2
    min_evaluate_clients: int = 2
    min_available_clients: int = 2
    fraction_evaluate: float = 0.0
    proximal_mu: float = 1.0
    server_lr: float = 0.1
    client_lr: float = 0.1
    num_malicious: int = 0
    trim_beta: float = 0.2
    min_completion_rate: float = 0.5
    round_timeout: float = 600.0
    node_wait_timeout: float = 600.0
    poll_interval: float = 1.0
    require_framework: str = ""
    require_flower_version: str = ""
    checkpoint_enabled: bool = True
    checkpoint_interval: int = 1
    checkpoint_path: str = ""
    checkpoint_keep: int = 3
    checkpoint_disk: str = ""
    training: str = ""
    output_dir: str = ""

    @classmethod
    def read(cls, run_config: Mapping[str, Any]) -> Settings:
        """The settings of a run configuration; ValueError with one line for every fault of it."""
        values: dict[str, Any] = {}
        faults: list[str] = []
        for one in fields(cls):
            key = one.name.replace("_", "-")
            if key in run_config:
                value, expected = FORMS[key](run_config[key])
                if expected is None:
                    values[one.name] = value
                else:
                    faults.append(f"{key} = {run_config[key]!r}: expected {expected}")
        # What could not be read has its default here: nothing more is said about it.
        settings = cls(**{**_sizes(values, values.get("strategy", "FedAvg")), **values})
        faulty = {fault.split(" = ")[0] for fault in faults}
        faults += [
            text for key, text in rules(settings) if key not in faulty and not (faulty & _NEEDED.get(key, set()))
        ]
        if faults:
            count = "a fault" if len(faults) == 1 else f"{len(faults)} faults"
            raise ValueError(f"The run configuration has {count}: " + "; ".join(faults))
        return settings

    def notes(self) -> list[str]:
        """What is allowed and yet hardly what somebody wants, one sentence each."""
        found = []
        if self.strategy in ("Krum", "MultiKrum", "Bulyan") and self.num_malicious == 0:
            found.append(f"{self.strategy} with num-malicious 0 is on guard against nobody")
        trimmed = int(self.trim_beta * self.min_available_clients)
        if self.strategy == "FedTrimmedAvg" and trimmed == 0:
            found.append(
                f"FedTrimmedAvg with trim-beta {self.trim_beta:g} trims nothing while only "
                f"{self.min_available_clients} nodes answer"
            )
        return found


# A rule about a key says nothing when one of these could not be read.
_NEEDED = {
    "min-fit-clients": {"min-available-clients"},
    "min-evaluate-clients": {"min-available-clients"},
    "num-malicious": {"min-available-clients", "strategy"},
}


def _sizes(values: Mapping[str, Any], strategy: str) -> dict[str, int]:
    """Defaults of the numbers of nodes: two, one with the strategy for flaky nodes, but no more than available ones."""
    usual = 1 if strategy == "FaultTolerantFedAvg" else 2
    available = values.get("min_available_clients", max(usual, values.get("min_fit_clients", 0)))
    smaller = min(usual, available)
    return {"min_available_clients": available, "min_fit_clients": smaller, "min_evaluate_clients": smaller}


def rules(settings: Settings) -> list[tuple[str, str]]:
    """(key, sentence) of values that do not fit together."""
    found: list[tuple[str, str]] = []
    nodes, bad = settings.min_available_clients, settings.num_malicious
    sizes = {"min-fit-clients": settings.min_fit_clients}
    if settings.fraction_evaluate > 0:
        sizes["min-evaluate-clients"] = settings.min_evaluate_clients
    for key, size in sizes.items():
        if size > nodes:
            found.append((key, f"{key} = {size}: expected at most min-available-clients, which is {nodes}"))
    needed, rule = least_nodes(settings.strategy, bad)
    if nodes < needed:
        expected = f"{settings.strategy} expects min-available-clients of at least {rule} = {needed}, which is {nodes}"
        found.append(("num-malicious", f"num-malicious = {bad}: {expected}"))
    return found
