# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which data a run is about, as its configuration says it; the same keys in every app.

data-source      auto, own, hub or bundled: see sources.py
data-dir         folder of own data
data-shared      true: all nodes see the same folder and cut it, as in a simulation
partitioner      iid, dirichlet, by-label or by-file
partition-alpha  of dirichlet
partition-seed   another seed gives another cut
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flower_ops.training.data.errors import DataError
from flower_ops.training.data.load import FOLDER, WHOLE
from flower_ops.training.data.share import Share

SOURCE = "data-source"


@dataclass(frozen=True)
class Choice:
    """What run and node have to say; the values are checked where they are used."""

    source: str = "auto"
    folder: Path = FOLDER
    shared: bool = False
    scheme: str = "iid"
    alpha: float = 0.5
    seed: int = 0

    @classmethod
    def read(cls, run_config: Mapping[str, Any], told: Mapping[str, Any] | None = None) -> Choice:
        """The choice of a run. `told`: what the ServerApp says with each round (see train.py); it decides the source.

        A node that chose for itself could train on other data than the rest, when the hub answers only some of them.
        """
        return cls(
            source=str((told or {}).get(SOURCE, run_config.get(SOURCE, cls.source))),
            folder=Path(str(run_config.get("data-dir") or cls.folder)),
            shared=bool(run_config.get("data-shared", cls.shared)),
            scheme=str(run_config.get("partitioner", cls.scheme)),
            alpha=float(run_config.get("partition-alpha", cls.alpha)),
            seed=int(run_config.get("partition-seed", cls.seed)),
        )

    def whole(self) -> Share:
        """All of it, for the ServerApp. DataError when it could not be cut as the run says, before a node is asked."""
        return Share(0, 1, self.scheme, self.alpha, self.seed)

    def share(self, node_config: Mapping[str, Any]) -> Share:
        """The part of a node by its configuration. DataError when that does not name it, for then all had the same."""
        if self.source == "own" and not self.shared:
            return WHOLE
        missing = [key for key in ("partition-id", "num-partitions") if key not in node_config]
        if missing:
            raise DataError(
                f"The node configuration has no {' and no '.join(missing)}, so it is not known which part of the data "
                'is this node\'s; start the SuperNode with --node-config "partition-id=0 num-partitions=2".'
            )
        number, parts = int(node_config["partition-id"]), int(node_config["num-partitions"])
        return Share(number, parts, self.scheme, self.alpha, self.seed)
