# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Command line `flower-ops training …`. Answers are JSON on standard output, an error is {"error": "sentence"}."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flower_ops.flower_cli.flwr_cli import FlwrCliError
from flower_ops.runs.cli import read_config
from flower_ops.runs.errors import RunError
from flower_ops.runs.record import Places
from flower_ops.supervisor import handed, view


def main(arguments: list[str]) -> int:
    """What comes after `flower-ops training`. Returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        answer = COMMANDS[options.training_command](Places(options.root), options)
    except (RunError, FlwrCliError) as error:
        if options.json:
            print(json.dumps({"error": str(error)}))
        else:
            print(error, file=sys.stderr)
        return 1
    print(json.dumps(answer, indent=None if options.json else 2))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="flower-ops training", description="Trainings that are supervised: run until they are done."
    )
    commands = parser.add_subparsers(dest="training_command", required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="answer on one line, errors as JSON too")
    common.add_argument("--root", type=Path, default=Path("/"), help="folder that stands for / (for tests)")
    check = argparse.ArgumentParser(add_help=False)
    check.add_argument("--check", action="store_true", help="only say what would change")
    config = argparse.ArgumentParser(add_help=False)
    config.add_argument("--run-config", default="{}", help="JSON object of overrides; - reads it from standard input")
    one = argparse.ArgumentParser(add_help=False)
    one.add_argument("--training", required=True, help="name as the list shows it, or as it was given")

    new = commands.add_parser("start", parents=[common, config, check], help="hand over an app to be trained")
    new.add_argument("--app", required=True, help="folder with the app's pyproject.toml")
    new.add_argument("--name", default="", help="beginning of the training's name (default: the app's)")
    new.add_argument("--once", action="store_true", help="take the same one that is under way, if there is one")
    commands.add_parser("resume", parents=[common, config, one, check], help="go on with one that has ended")
    state = commands.add_parser("status", parents=[common, one], help="state, runs, rounds and files")
    state.add_argument("--wait", type=float, default=0.0, help="seconds to wait for news at most")
    state.add_argument("--seen", help="the progress already known; news is anything else")
    commands.add_parser("stop", parents=[common, one, check], help="stop it; its checkpoints stay")
    commands.add_parser("remove", parents=[common, one, check], help="forget one that has ended, with its checkpoints")
    commands.add_parser("list", parents=[common], help="all trainings of this SuperLink, with runs and rounds")
    return parser


COMMANDS: dict[str, Callable[[Places, argparse.Namespace], Any]] = {
    "start": lambda places, options: handed.hand_over(
        places, options.app, read_config(options.run_config), options.name, options.once, options.check
    ),
    "resume": lambda places, options: handed.again(
        places, options.training, read_config(options.run_config), options.check
    ),
    "status": lambda places, options: view.status(places, options.training, options.wait, options.seen),
    "stop": lambda places, options: handed.withdraw(places, options.training, options.check),
    "remove": lambda places, options: handed.remove(places, options.training, options.check),
    "list": lambda places, options: view.trainings(places),
}
