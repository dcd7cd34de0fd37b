# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Three rounds of the demo app on a deployed federation, against the same app on bare Flower processes."""

from __future__ import annotations

import json
import platform

from .bare import Bare
from .figures import Figure
from .place import ROOT, Place

APP = ROOT / "demos/sklearn"
NODES = 2


def rounds(place: Place, pairs: int) -> list[Figure]:
    """Interleaved pairs; every second one begins with bare Flower, so that a drift of the machine cancels out.

    Both sides stand all the time, and each has trained once before: no run pays for a first start.
    """
    place.deploy_once()
    place.playbook("demos/sklearn/prepare.yml")
    shards = place.state / "shards"
    ours: list[float] = []
    bare: list[float] = []
    folder = place.folder / "bare"
    folder.mkdir()
    with Bare(folder, [shards / f"shard-{number}.npz" for number in range(NODES)], shards / "test.npz") as flower:
        _train(place)
        flower.run(APP)
        for pair in range(pairs):
            if pair % 2:
                bare.append(flower.run(APP))
            ours.append(_train(place))
            if not pair % 2:
                bare.append(flower.run(APP))
    ratios = tuple(mine / other for mine, other in zip(ours, bare, strict=True))
    note = (
        "median of pairs; Flower's own time of the run; bare: same flags, TLS and database, no SuperNode "
        f"authentication, Python {platform.python_version()}"
    )
    return [
        Figure("three rounds on the federation", "s", tuple(ours)),
        Figure("three rounds on bare Flower", "s", tuple(bare)),
        Figure("federation / bare", "", ratios, 1.10, note),
    ]


def _train(place: Place) -> float:
    report = place.folder / "report"
    place.playbook("train", app=str(APP), train_report_dir=str(report))
    return float(json.loads((report / "run.json").read_text(encoding="utf-8"))["duration_s"])
