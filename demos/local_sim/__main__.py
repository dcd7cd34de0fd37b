# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Train a demo, or any Flower app, on this machine: `tools/local-sim pytorch --nodes 2 --set num-server-rounds=5`."""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from flower_ops import profiles
from flower_ops.flower_cli.flwr_cli import FlwrCliError
from flower_ops.runs.app import check_run_config, load_app
from flower_ops.runs.errors import RunError
from flower_ops.training.settings import Settings

from local_sim.environment import ROOT, environment, frameworks
from local_sim.federation import Federation, SimulationError, sizes
from local_sim.show import PAGE, Table, data_of, write_report

DEMOS = ROOT / "demos"


def options_of(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="tools/local-sim", description=(__doc__ or "").partition(":")[0] + ".")
    parser.add_argument("app", help="a folder of demos/ (sklearn, pytorch, tensorflow, llm), or an app's folder")
    parser.add_argument("--nodes", type=int, default=2, help="how many SuperNodes (default: 2)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="run configuration; repeatable")
    parser.add_argument("--flower", default=profiles.DEFAULT, choices=profiles.known(), help="version of Flower")
    parser.add_argument("--framework", choices=frameworks(), help="its packages; default: the demo's, else sklearn")
    parser.add_argument("--packages", default="", help="more packages, pinned, such as flwr-datasets[vision]==0.6.1")
    parser.add_argument("--venv", type=Path, help="use this environment instead of making one")
    parser.add_argument("--report", type=Path, default=Path("reports/local-sim"), help="folder of the results")
    options = parser.parse_args(arguments)
    if not 1 <= options.nodes <= 100:
        parser.error(f"--nodes {options.nodes}: use a number from 1 to 100")
    wrong = [one for one in options.set if "=" not in one]
    if wrong:
        parser.error(f"--set {' '.join(wrong)}: expected KEY=VALUE")
    named, known = DEMOS / options.app, sorted(path.parent.name for path in DEMOS.glob("*/pyproject.toml"))
    if named.name not in known and not Path(options.app).is_dir():
        parser.error(f"there is no folder and no demo {options.app}; the demos: {', '.join(known)}")
    options.folder = (named if (named / "pyproject.toml").is_file() else Path(options.app)).resolve()
    options.framework = options.framework or (named.name if named.name in frameworks() else "sklearn")
    return options


def prepare(app: Path, nodes: int, folder: Path) -> tuple[dict[int, str], dict[str, str]]:
    """(configuration by node, run configuration) of an app that cuts its data beforehand, as demos/sklearn does."""
    if not (app / "make_shards.py").is_file():
        return {}, {}
    command = [sys.executable, str(app / "make_shards.py"), f"--out={folder}", f"--shards={nodes}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return {k: f'data="{folder}/shard-{k}.npz"' for k in range(nodes)}, {"test-data": f"{folder}/test.npz"}


def check(app: Path, given: dict[str, str], nodes: int) -> None:
    """RunError for what is wrong with a run of so many nodes, before anything is made or started."""
    found = load_app(app)
    values = {**found.config, **sizes(found, nodes), **check_run_config(found, given)}
    # Other apps may mean something else by the same keys.
    if {"training", "checkpoint-path"} <= set(found.config):
        try:
            Settings.read(values)
        except ValueError as error:
            raise RunError(f"{error}.") from error


def train(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The finished run of the app on a federation that lives in the folder; its report is written."""
    given = dict(one.split("=", 1) for one in options.set)
    check(options.folder, given, options.nodes)
    venv = options.venv or environment(options.flower, options.framework, options.packages.split())
    node_config, run_config = prepare(options.folder, options.nodes, folder / "data")
    print(f"Starting a SuperLink and {options.nodes} SuperNode{'s'[: options.nodes - 1]} on loopback.", flush=True)
    with Federation(folder, venv.resolve(), options.nodes, node_config) as federation:
        run_id = federation.submit(options.folder, {**run_config, **given})
        table, seen, finished = Table(), "", False
        while not finished:
            run = federation.look(run_id, seen)
            table.add(run)
            seen, finished = run["progress"], run["finished"]
        cut = "shards of the app's make_shards.py" if node_config else ""
        run["data"] = data_of(federation.log(run_id)) or cut
        write_report(run, options.report)
    return run


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 0 when the run has trained something."""
    options = options_of(arguments)
    folder = Path(tempfile.mkdtemp(prefix="local-sim-"))
    try:
        run = train(options, folder)
    except (SimulationError, RunError, FlwrCliError) as error:
        print(f"{error}{f' The logs: {folder}' if any(folder.iterdir()) else ''}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"A command failed with status {error.returncode}: {' '.join(map(str, error.cmd))}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted; everything is stopped.", file=sys.stderr)
        shutil.rmtree(folder)
        return 130
    finally:
        # Empty until the federation stands; afterwards it is kept for whoever wants to know why a run failed.
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    if not run["succeeded"]:
        tail = "\n".join(run["log_tail"][-15:])
        print(f"{tail}\nThe run ended as {run['status']}: {run['reason'] or 'see above'}", file=sys.stderr)
        print(f"The logs: {folder}", file=sys.stderr)
        return 1
    if run["degraded"]:
        print(f"Results are missing: {run['reason']}.")
    if run["data"]:
        print(f"data: {run['data']}")
    print(f"The curves: {options.report / PAGE}")
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    # Whoever ends this ends the federation.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
