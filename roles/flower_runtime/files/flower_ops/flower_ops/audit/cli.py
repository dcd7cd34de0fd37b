# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Command line `flower-ops audit …`. A step reads its request as JSON from standard input and answers in JSON."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from flower_ops.audit import steps, watch
from flower_ops.audit.errors import AuditError
from flower_ops.audit.place import Place
from flower_ops.runs.errors import RunError


def main(arguments: list[str]) -> int:
    """What comes after `flower-ops audit`. Returns the exit status."""
    options = _parser().parse_args(arguments)
    place = Place(options.root)
    if options.step == "watch":
        watch.watch(place, options.role, options.limit, data=options.data)
        return 0
    try:
        answer = steps.STEPS[options.step](place, _request(), str(options.binary))
    except (AuditError, RunError) as error:
        return _answer({"message": str(error)}, 1)
    except OSError as error:
        return _answer({"message": f"{error.filename or 'A file'} cannot be used: {error.strerror}."}, 1)
    return _answer(answer, 0)


def _answer(answer: dict[str, Any], code: int) -> int:
    print(json.dumps(answer))
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="flower-ops audit", description="Steps of a privacy audit; the playbook privacy_audit.yml takes them."
    )
    commands = parser.add_subparsers(dest="step", required=True, metavar="STEP")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--root", type=Path, default=Path("/"), help="folder that stands for / (for tests)")
    common.add_argument("--binary", type=Path, default=Path("/opt/flower/venv/bin/flower-ops"))
    helps = {
        "canary": "make samples for a node that has none",
        "fingerprint": "fingerprints of this node's samples",
        "start": "begin to watch",
        "stop": "end the capture and say who was talked to",
        "search": "look for samples of other nodes on the disks",
        "clean": "remove all that an audit has made",
    }
    for name, text in helps.items():
        commands.add_parser(name, parents=[common], help=text)
    watcher = commands.add_parser("watch", parents=[common], help="watch until told to end (a service)")
    watcher.add_argument("--role", choices=("superlink", "supernode"), required=True)
    watcher.add_argument("--limit", type=int, default=steps.MOST_CAPTURED, help="bytes of packets to keep")
    watcher.add_argument("--data", action="append", default=[], help="a folder of samples; repeatable")
    return parser


def _request() -> dict[str, Any]:
    try:
        found = json.loads(sys.stdin.read() or "{}")
    except ValueError as error:
        raise AuditError(f"The request is not JSON: {error}.") from error
    if not isinstance(found, dict):
        raise AuditError("The request is not a JSON object.")
    return found
