# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A federation in one process: the ServerApp of a use case and its ClientApp on several nodes, real code all over."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flower_ops.runs.app import load_app
from flower_ops.training import train as training
from flower_ops.training.result import Result
from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from local_grid import LocalGrid

USE_CASES = Path(__file__).resolve().parents[3] / "roles/superlink/files/use_cases"


def config_of(case: str, **more: Any) -> dict[str, Any]:
    """The app's run configuration, some keys changed."""
    declared = dict(load_app(USE_CASES / case).config)
    given = {name.replace("_", "-"): value for name, value in more.items()}
    assert set(given) <= set(declared), "no such key"
    return {**declared, **given}


class Nodes(LocalGrid):
    """Nodes of one app, whose functions get the run configuration, as in Flower."""

    def __init__(self, app: ClientApp, configs: Mapping[int, Mapping[str, Any]], run_config: dict[str, Any]) -> None:
        super().__init__({node: self._wrapped(app, run_config) for node in configs}, lambda node: dict(configs[node]))

    @staticmethod
    def _wrapped(app: ClientApp, run_config: dict[str, Any]) -> Any:
        def call(message: Message, context: Context) -> Message:
            context.run_config = dict(run_config)
            return app(message, context)

        return call

    def kinds(self) -> list[str]:
        """Types of all messages that were sent."""
        return [message.metadata.message_type for message in self.sent]


class Case:
    """One use case with nodes by id; `configs` are those of the nodes, by default one partition each."""

    def __init__(self, case: str, nodes: int = 2, configs: Mapping[int, Mapping[str, Any]] | None = None) -> None:
        self.case = case
        package = case.replace("-", "_")
        self.server = importlib.import_module(f"{package}.server_app")
        self.client = importlib.import_module(f"{package}.client_app")
        self.configs = configs or {
            node: {"partition-id": node - 1, "num-partitions": nodes} for node in range(1, nodes + 1)
        }

    def run(self, run_id: int = 77, **config: Any) -> tuple[Result, Nodes]:
        """The result of a run, and the nodes with all that went over the wire."""
        run_config = config_of(self.case, **{"checkpoint_enabled": False, **config})
        grid = Nodes(self.client.app, self.configs, run_config)
        results: list[Result] = []

        def train(*args: Any, **kwargs: Any) -> Result:
            results.append(training.train(*args, **kwargs))
            return results[-1]

        context = Context(run_id, 1, {}, RecordDict(), run_config)
        before = self.server.train
        self.server.train = train
        try:
            self.server.app(grid, context)
        finally:
            self.server.train = before
        return results[-1], grid


def plan_in(folder: Path) -> dict[str, Any]:
    """plan.json of an output folder."""
    return dict(json.loads((folder / "plan.json").read_text()))
