# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Command line `flower-ops run …`. Answers are JSON on standard output, an error is {"error": "sentence"}, status 1."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flower_ops.flower_cli.flwr_cli import FlwrCliError
from flower_ops.runs import submit as submitting
from flower_ops.runs.connection import connection
from flower_ops.runs.errors import RunError
from flower_ops.runs.files import read
from flower_ops.runs.known import known, stop_known
from flower_ops.runs.record import Places
from flower_ops.runs.status import list_runs, status
from flower_ops.runs.watch import Watcher


def add_parser(commands: Any) -> None:
    """Add `run` and its commands to the subparsers of a larger command line; `handler` takes the parsed arguments."""
    parser = commands.add_parser("run", help="submit, follow and stop training runs")
    parser.set_defaults(handler=handle)
    _add_commands(parser)


def main(arguments: list[str] | None = None) -> int:
    """`python -m flower_ops.runs …`, what comes after `flower-ops run`. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="flower-ops run", description="Submit, follow and stop training runs.")
    _add_commands(parser)
    return handle(parser.parse_args(arguments))


def handle(options: argparse.Namespace) -> int:
    """Run one command; returns the exit status."""
    try:
        answer = COMMANDS[options.run_command](Places(options.root), options)
    except (RunError, FlwrCliError) as error:
        if options.json:
            print(json.dumps({"error": str(error)}))
        else:
            print(error, file=sys.stderr)
        return 1
    print(json.dumps(answer, indent=None if options.json else 2))
    return 0


def _add_commands(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="run_command", required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="answer on one line, errors as JSON too")
    common.add_argument("--root", type=Path, default=Path("/"), help="folder that stands for / (for tests)")
    one_run = argparse.ArgumentParser(add_help=False)
    one_run.add_argument("--run-id", required=True)

    new = commands.add_parser("submit", parents=[common], help="hand an app to the SuperLink and follow its run")
    new.add_argument("--app", required=True, help="folder with the app's pyproject.toml")
    new.add_argument("--run-config", default="{}", help="JSON object of overrides; - reads it from standard input")
    new.add_argument("--output-dir", help="folder for the app's files (default: a new one under /opt/flower/runs)")
    new.add_argument("--check", action="store_true", help="only say whether it could be submitted")
    state = commands.add_parser("status", parents=[common, one_run], help="state, rounds and files of a run")
    state.add_argument("--wait", type=float, default=0.0, help="seconds to wait for news at most")
    state.add_argument("--seen", help="the progress already known; news is anything else")
    file = commands.add_parser("file", parents=[common], help="a part of a file that a run left, in base64")
    file.add_argument("--folder", required=True, type=Path, help="output folder of the run, as its status names it")
    file.add_argument("--file", required=True, help="name of the file, as the status lists it")
    file.add_argument("--offset", type=int, default=0, help="bytes before the part")
    file.add_argument("--state", default="", help="state of the file that the first part was told with")
    commands.add_parser("stop", parents=[common, one_run], help="stop a run")
    commands.add_parser("list", parents=[common], help="runs recorded on this SuperLink")
    info = commands.add_parser("info", parents=[common], help="all that is known of the runs, those of others too")
    info.add_argument("--run-id", default="", help="of this one only")
    reach = commands.add_parser("connection", parents=[common], help="how to reach the Control API from elsewhere")
    reach.add_argument("--name", default="flower", help="name of the connection in the profile")
    reach.add_argument("--address", default="", help="host:port at which it is reached there (default: as here)")
    reach.add_argument("--certificates", default="", help="file of the authority's certificate there")
    commands.add_parser("watch", parents=[common, one_run], help="follow a run to its end (what the unit does)")


def read_config(text: str) -> dict[str, Any]:
    """The argument of --run-config, `-` for standard input; RunError for what is no JSON object."""
    try:
        overrides = json.loads((sys.stdin.read() if text == "-" else text) or "{}")
    except ValueError as error:
        raise RunError(f"The run configuration is not JSON: {error}.") from error
    if not isinstance(overrides, dict):
        raise RunError("The run configuration is not a JSON object of keys and values.")
    return overrides


def _submit(places: Places, options: argparse.Namespace) -> dict[str, Any]:
    overrides = read_config(options.run_config)
    if options.check:
        return submitting.foresee(options.app, overrides)
    return submitting.submit(places, options.app, overrides, options.output_dir)


def _watch(places: Places, options: argparse.Namespace) -> dict[str, Any]:
    record = Watcher(places.record(options.run_id), places.cli(), places.user).watch()
    return {"run_id": record["run_id"], "status": record["status"], "reason": record["reason"]}


COMMANDS: dict[str, Callable[[Places, argparse.Namespace], Any]] = {
    "submit": _submit,
    "status": lambda places, options: status(places, options.run_id, options.wait, options.seen),
    "file": lambda places, options: read(options.folder, options.file, options.offset, options.state, places.user),
    "stop": lambda places, options: stop_known(places, options.run_id),
    "list": lambda places, options: list_runs(places),
    "info": lambda places, options: known(places, options.run_id),
    "connection": lambda places, options: connection(places, options.name, options.address, options.certificates),
    "watch": _watch,
}
