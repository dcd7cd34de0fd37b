# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Command line: python3 -m one_sandbox fault add|host|list|clear, for faults of a sandbox in another process."""

from __future__ import annotations

import argparse
import json
import secrets
from pathlib import Path
from typing import Any

from .faults import ACTIONS, APIS, GARBLES, FaultFile, FaultRuleError, Rule, checked


def add_parser(commands: Any) -> None:
    """Add the command `fault` to the parser of the package."""
    fault = commands.add_parser("fault", help="make a running sandbox fail on request, see one_sandbox/faults.py")
    what = fault.add_subparsers(dest="what", required=True)
    add = what.add_parser("add", help="add a fault of an API, print its id")
    add.add_argument("--call", required=True, help='e.g. one.vm.info, "POST /service/:id/scale", one.image.*')
    add.add_argument("--do", required=True, choices=ACTIONS)
    add.add_argument("--on", choices=APIS)
    add.add_argument("--times", type=int, help="how often; always without it")
    add.add_argument("--skip", type=int, default=0, help="so many calls pass first")
    add.add_argument("--seconds", type=float, default=0.0, help="of slow")
    add.add_argument("--code", type=int, default=0, help="of error and http")
    add.add_argument("--text", default="", help="of error and http")
    add.add_argument("--how", choices=GARBLES, default="html", help="of garble")
    host = what.add_parser("host", help="let every VM on a host fail")
    host.add_argument("name", help='the host, or "*"')
    host.add_argument("--boot", help="text of a BOOT_FAILURE")
    host.add_argument("--prolog", help="text of a PROLOG_FAILURE")
    clear = what.add_parser("clear", help="end all faults, or those named")
    clear.add_argument("--id", action="append", default=[])
    clear.add_argument("--host", action="append", default=[])
    for command in (add, host, clear, what.add_parser("list", help="print the faults as JSON")):
        command.add_argument("--home", type=Path, required=True)


def run(args: argparse.Namespace) -> None:
    """Do what the arguments say. Raises FaultRuleError and OSError."""
    home: Path = args.home.expanduser().resolve()
    if not home.is_dir():
        raise FaultRuleError(f"There is no sandbox in {home}.")
    file = FaultFile.load(home)
    if args.what == "add":
        names = ("call", "do", "on", "times", "skip", "seconds", "code", "text", "how")
        rule = Rule.parse({"id": secrets.token_hex(4), **{name: getattr(args, name) for name in names}})
        file.rules.append(rule)
        file.save()
        print(rule.id)
    elif args.what == "host":
        stages = {stage: text for stage, text in (("boot", args.boot), ("prolog", args.prolog)) if text}
        if not stages:
            raise FaultRuleError("A host needs --boot or --prolog with the text of its failure.")
        file.hosts[args.name] = checked(stages)
        file.save()
    elif args.what == "clear":
        everything = not args.id and not args.host
        file.rules = [rule for rule in file.rules if not everything and rule.id not in args.id]
        file.hosts = {name: file.hosts[name] for name in file.hosts if not everything and name not in args.host}
        file.save()
    else:
        print(json.dumps({"rules": [rule.describe() for rule in file.rules], "hosts": file.hosts}, indent=2))
