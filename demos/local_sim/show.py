# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person sees of a run: a line for each round, and at the end a page with the curves."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.opennebula.flower.plugins.module_utils.flower.figures import (
    ACCURACY,
    LOSS,
    figures,
    number,
    pick,
)
from ansible_collections.opennebula.flower.plugins.module_utils.flower.report import render

PAGE = "index.html"
# As flower_ops.training.data says it in the ServerApp: "Data (test): 359 samples … from the bundled …, because …."
DATA = re.compile(r"Data \(\w+\): \d+ samples(?: in \d+ classes)? from (.+)\.\s*$", re.MULTILINE)
FILES = ("model.npz", "metrics.json")
HEAD = f"{'round':>7} {'loss':>9} {'accuracy':>9} {'results':>8} {'seconds':>8}"


def line_of(one: Mapping[str, Any]) -> str:
    """A round in the columns of HEAD; the untrained model is round 0 and has fewer."""
    _source, found = figures(one)
    cells = [pick(found, LOSS), pick(found, ACCURACY)]
    loss, accuracy = ("–" if value is None else number(value) for value in cells)
    results = "–" if one.get("results") is None else f"{one['results']} of {one['nodes']}"
    seconds = "–" if one.get("seconds") is None else f"{one['seconds']:.1f}"
    return f"{one['round']:>7} {loss:>9} {accuracy:>9} {results:>8} {seconds:>8}"


class Table:
    """Prints each round once, as soon as it has ended."""

    def __init__(self) -> None:
        self._told: set[int] = set()

    def add(self, run: Mapping[str, Any]) -> None:
        """Take in the state of the run."""
        first = [{"round": 0, "central": run["initial"]}] if run.get("initial") else []
        for one in [*first, *(one for one in run["rounds"] if one["done"])]:
            if one["round"] in self._told:
                continue
            if not self._told:
                print(HEAD, flush=True)
            self._told.add(one["round"])
            print(line_of(one), flush=True)


def data_of(log: str) -> str:
    """On which data was trained, by the log of a ServerApp; empty where the app does not say it."""
    found = DATA.search(log)
    return found[1] if found else ""


def write_report(run: Mapping[str, Any], folder: Path) -> Path:
    """The page, what is known of the run, its model and its figures; returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    # Those of an earlier run are none of this one.
    for name in FILES:
        (folder / name).unlink(missing_ok=True)
    title = f"{(run.get('app') or {}).get('name', 'A run')} on this machine"
    page = folder / PAGE
    page.write_text(render(run, title), encoding="utf-8")
    (folder / "run.json").write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    for file in run.get("files") or []:
        if file["name"] in FILES:
            shutil.copyfile(file["path"], folder / file["name"])
    return page
