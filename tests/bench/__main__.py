# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Command line: tools/bench [part …]. Prints a table and writes reports/bench.json; exit code 1 if a part broke."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from .boot import boot
from .demo import demo
from .deploy import deploy, noop
from .figures import Figure, table
from .inventory import inventory
from .modules import modules
from .nodes import nodes
from .place import ROOT, Place
from .play import BenchError
from .rounds import rounds
from .training.training import PIECES

COMPARED = ("modules", "inventory")
WITHOUT_VMS = (*COMPARED, "nodes", "training")
PARTS = (*WITHOUT_VMS, "demo", "deploy", "noop", "rounds", "boot")
LOGS = ROOT / ".cache/bench"
REPORT = ROOT / "reports/bench.json"


def main() -> int:
    """Measure what was asked for, one part after the other; a part that breaks does not stop the others."""
    parser = argparse.ArgumentParser(prog="tools/bench", description=__doc__)
    parts = f"{', '.join(PARTS)}; all of them if none is named; of training also alone: {', '.join(PIECES)}"
    parser.add_argument("parts", nargs="*", metavar="part", help=parts)
    parser.add_argument("--repeat", type=int, default=3, help="repetitions of nodes, deploy, noop and boot")
    parser.add_argument("--tasks", type=int, default=12, help="repetitions of every task of modules")
    parser.add_argument("--lists", type=int, default=5, help="repetitions of every listing of inventory")
    parser.add_argument("--pairs", type=int, default=5, help="pairs of runs")
    parser.add_argument("--subnet", default="172.30.97.0/24", help="private network of the bench's own VMs")
    options = parser.parse_args()
    # Ended from outside, it takes its cloud down all the same.
    signal.signal(signal.SIGTERM, lambda *_ignored: sys.exit(143))
    if unknown := sorted(set(options.parts) - {*PARTS, *PIECES}):
        parser.error(f"there is no part {', '.join(unknown)}; choose from {', '.join((*PARTS, *PIECES))}")
    named = set(options.parts) or set(PARTS)
    pieces = [piece for piece in PIECES if "training" in named or piece in named]
    wanted = [part for part in PARTS if part in named or (part == "training" and pieces)]
    shutil.rmtree(LOGS, ignore_errors=True)
    LOGS.mkdir(parents=True)
    figures: list[Figure] = []
    broken: dict[str, str] = {}

    def measure(part: str, work: Callable[[], list[Figure]]) -> None:
        print(f"== {part} (output in {LOGS.relative_to(ROOT)}/)", flush=True)
        try:
            figures.extend(work())
        except (BenchError, OSError, subprocess.SubprocessError) as error:
            broken[part] = str(error)
            print(f"{part} broke: {error}", file=sys.stderr)

    # Without virtual machines and docker: these need nothing but this checkout.
    for part, compare, times in (("modules", modules, options.tasks), ("inventory", inventory, options.lists),
                                 ("nodes", nodes, options.repeat)):  # fmt: skip
        if part in wanted:
            with folder_of(part) as (folder, logs):
                measure(part, partial(compare, folder, logs, times))
    for piece in pieces:
        with folder_of(piece) as (folder, logs):
            measure(piece, partial(PIECES[piece], folder, options.pairs))
    if "demo" in wanted:
        def fresh() -> list[Figure]:
            with place_of("demo", options.subnet, own_image=True) as place:
                return demo(place)

        measure("demo", fresh)
    if set(wanted) - {"demo", *WITHOUT_VMS}:
        with place_of("federation", options.subnet) as place:
            place.up()
            for part, work, times in (("deploy", deploy, options.repeat), ("noop", noop, options.repeat),
                                      ("rounds", rounds, options.pairs), ("boot", boot, options.repeat)):  # fmt: skip
                if part in wanted:
                    measure(part, partial(work, place, times))
    write(figures, broken)
    print(f"\n{table(figures)}\n\nwritten to {REPORT.relative_to(ROOT)}")
    return 1 if broken else 0


@contextmanager
def folder_of(name: str) -> Iterator[tuple[Path, Path]]:
    """A temporary folder, and one that stays for what programs print."""
    logs = LOGS / name
    logs.mkdir()
    with tempfile.TemporaryDirectory(prefix=f"flower-bench-{name}-") as folder:
        yield Path(folder), logs


@contextmanager
def place_of(name: str, subnet: str, own_image: bool = False) -> Iterator[Place]:
    """A sandbox of our own in a temporary folder; everything of it is removed afterwards, also after a failure."""
    folder = Path(tempfile.mkdtemp(prefix=f"flower-bench-{name}-"))
    # The folder of a VM's image and of the cloud's credentials must be reachable for the user that runs playbooks.
    folder.chmod(0o711)
    logs = LOGS / name
    logs.mkdir()
    place = Place(folder, subnet, logs)
    if own_image:
        place.image_cache = folder / "image"
    try:
        place.write()
        yield place
    finally:
        try:
            place.down()
        finally:
            as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
            subprocess.run([*as_root, "rm", "-rf", str(folder)], check=False)


def write(figures: list[Figure], broken: dict[str, str]) -> None:
    """The figures as JSON, with the machine that they are of. Figures of parts that did not run now are kept."""
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    fresh = {figure.name for figure in figures}
    try:
        kept = [one for one in json.loads(REPORT.read_text(encoding="utf-8"))["figures"] if one["name"] not in fresh]
    except (OSError, ValueError, KeyError, TypeError):
        kept = []
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    report = {
        "machine": {
            "processors": os.cpu_count(), "architecture": platform.machine(), "system": platform.platform(),
            "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        },
        "broken": broken,
        "figures": kept + [{**one.as_dict(), "commit": head.strip(), "measured_at": now} for one in figures],
    }  # fmt: skip
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
