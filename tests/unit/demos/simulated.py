# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real apps of demos/ in one process: the ServerApp's function, the ClientApps of some nodes, no network."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from local_grid import LocalGrid

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DEMOS = Path(__file__).resolve().parents[3] / "demos"


def config_of(demo: str, **more: Any) -> dict[str, Any]:
    """Run configuration of a demo; without TOML's dashes in names."""
    with (DEMOS / demo / "pyproject.toml").open("rb") as stream:
        found = tomllib.load(stream)["tool"]["flwr"]["app"]["config"]
    given = {name.replace("_", "-"): value for name, value in more.items()}
    assert set(given) <= set(found)
    return {**found, **given}


class Nodes(LocalGrid):
    """Nodes 1 to `count` of an app with the run configuration, each with its partition and more of its own."""

    def __init__(self, app: ClientApp, count: int, config: dict[str, Any], **more: str) -> None:
        super().__init__({node: self._of_run(app, config) for node in range(1, count + 1)}, self._node_config)
        self._count, self._more = count, more

    def _node_config(self, node: int) -> dict[str, Any]:
        own = {key: value.format(node - 1) for key, value in self._more.items()}
        return {"partition-id": node - 1, "num-partitions": self._count, **own}

    @staticmethod
    def _of_run(app: ClientApp, config: dict[str, Any]) -> Any:
        def answer(message: Message, context: Context) -> Message:
            context.run_config = config
            return app(message, context)

        return answer


def context(config: dict[str, Any]) -> Context:
    """What a ServerApp gets."""
    return Context(77, 1, {}, RecordDict(), config)
