# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `flower-ops`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="flower-ops", description="Configures and watches Flower inside a VM.")
    commands = parser.add_subparsers(dest="command", required=True)

    configure = commands.add_parser("configure", help="configure this VM for its role")
    configure.add_argument("--role", required=True, choices=("superlink", "supernode", "auto"))
    configure.add_argument("--json", action="store_true", help="answer in JSON")
    configure.add_argument("--check", action="store_true", help="only say what would change")
    configure.add_argument("--diff", action="store_true", help="show the differences (text answer)")
    configure.add_argument("--root", type=Path, default=Path("/"), help="configure a tree of files instead of this VM")
    configure.add_argument("--timeout", type=float, default=120.0, help="seconds to wait for a healthy service")
    configure.add_argument("--identity-only", action="store_true", help="only make keys and certificates")

    boot = commands.add_parser("boot", help="configure this VM from its CONTEXT and say how it goes (a service)")
    boot.add_argument("--root", type=Path, default=Path("/"), help="a tree of files instead of this VM")
    boot.add_argument("--timeout", type=float, default=120.0, help="seconds to wait for a healthy service")

    keep = commands.add_parser("keep", help="follow changes and mend what breaks (a service)")
    keep.add_argument("--root", type=Path, default=Path("/"))

    registrar = commands.add_parser("registrar", help="admit the SuperNodes of the own service (a service)")
    registrar.add_argument("--root", type=Path, default=Path("/"))

    member = commands.add_parser("member", help="SuperNodes that OneGate does not know: add, remove, list")
    member.add_argument("action", choices=("add", "remove", "list"))
    member.add_argument("--site", default="local")
    member.add_argument("--name", default="")
    member.add_argument(
        "--address", action="append", metavar="ADDRESS", help="address or network it comes from, for the firewall"
    )
    member.add_argument("--check", action="store_true")
    member.add_argument("--json", action="store_true", help="answer in JSON")
    member.add_argument("--root", type=Path, default=Path("/"))

    rotate = commands.add_parser("rotate", help="replace certificates and keys, between runs")
    rotate.add_argument("kind", choices=("idle", "server", "ca-begin", "ca-finish", "trust", "node-key"))
    rotate.add_argument(
        "--force", action="store_true", help="also while a run is active, and without waiting for nodes"
    )
    rotate.add_argument("--min-age", type=float, default=0.0, help="leave what was made less than so many seconds ago")
    rotate.add_argument("--timeout", type=float, default=120.0, help="seconds to wait for services and other nodes")
    rotate.add_argument("--check", action="store_true", help="only say what would change")
    rotate.add_argument("--json", action="store_true", help="answer in JSON")
    rotate.add_argument("--root", type=Path, default=Path("/"))

    supervise = commands.add_parser("supervise", help="see that trainings are run to their end (a service)")
    supervise.add_argument("--root", type=Path, default=Path("/"))

    commands.add_parser("run", help="training runs (see flower-ops run --help)", add_help=False)
    commands.add_parser("training", help="supervised trainings (see flower-ops training --help)", add_help=False)
    commands.add_parser("audit", help="steps of a privacy audit (see flower-ops audit --help)", add_help=False)
    return parser


def _overrides() -> dict[str, str] | None:
    """`{"variables": {...}}` from standard input; nothing there (None) means those of the last run that had any."""
    text = "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read()
    if not text.strip():
        return None
    given = json.loads(text).get("variables", {})
    return {str(name): _plain(value) for name, value in given.items() if value is not None}


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "YES" if value else "NO"
    return str(value)


def _configure(options: argparse.Namespace) -> int:
    from flower_ops.agent import agent

    try:
        overrides = _overrides()
    except (ValueError, AttributeError):
        return _answer(options, agent.FAILED, {"message": 'Standard input is not JSON of the form {"variables": {…}}.'})
    request = agent.Request(
        options.role, overrides, options.check, options.root, options.timeout, options.identity_only
    )
    code, answer = agent.configure(request)
    return _answer(options, code, answer)


def _boot(options: argparse.Namespace) -> int:
    from flower_ops.agent import boot

    return boot.boot(options.root, options.timeout)


def _keep(options: argparse.Namespace) -> int:
    from flower_ops.keeper import keeper

    return keeper.serve(options.root)


def _answer(options: argparse.Namespace, code: int, answer: dict[str, Any]) -> int:
    if options.json:
        print(json.dumps(answer))
        return code
    if getattr(options, "diff", False):
        for change in answer.get("diff", []):
            print(f"--- {change['before_header']}\n{change['before']}+++ {change['after_header']}\n{change['after']}")
    for warning in answer.get("warnings", []):
        print(f"warning: {warning}", file=sys.stderr)
    if code:
        print(answer.get("message", ""), file=sys.stderr)
    else:
        done = "would change" if options.check else "changed"
        print(f"{options.command}: {done if answer.get('changed') else 'nothing to change'}")
    return code


def _member(options: argparse.Namespace) -> int:
    from flower_ops.membership import member_command

    code, answer = member_command.command(
        options.action,
        options.site,
        options.name,
        options.root,
        options.check,
        sys.stdin,
        # An empty one takes all addresses away, none at all leaves them as they are.
        addresses=None if options.address is None else list(filter(None, options.address)),
    )
    if options.action == "list" and not options.json:
        for node in answer.get("supernodes", []):
            partition = f"partition {node['partition_id']}"
            print(f"{node['site']}/{node['name']} {partition} node {node['node_id']} {node['status']}")
        return code
    return _answer(options, code, answer)


def _rotate(options: argparse.Namespace) -> int:
    from flower_ops.agent import rotation

    request = rotation.Request(
        options.kind, options.check, options.force, options.min_age, options.root, options.timeout
    )
    code, answer = rotation.rotate(request)
    if not options.json:
        for row in answer["replaced"]:
            until = f", valid until {row['valid_until']}" if row["valid_until"] else ""
            print(f"{row['what']}: {row['before'][:16] or 'none'} -> {row['after'][:16] or 'a new one'}{until}")
    return _answer(options, code, answer)


def _registrar(options: argparse.Namespace) -> int:
    from flower_ops.membership import registrar_service

    return registrar_service.serve(options.root)


def _supervise(options: argparse.Namespace) -> int:
    from flower_ops.supervisor import service

    return service.serve(options.root)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["run"]:
        from flower_ops.runs import cli as runs

        return int(runs.main(words[1:]))
    if words[:1] == ["training"]:
        from flower_ops.supervisor import cli as trainings

        return trainings.main(words[1:])
    if words[:1] == ["audit"]:
        from flower_ops.audit import cli as audit

        return audit.main(words[1:])
    options = _parser().parse_args(words)
    commands = {
        "boot": _boot,
        "configure": _configure,
        "keep": _keep,
        "member": _member,
        "registrar": _registrar,
        "supervise": _supervise,
        "rotate": _rotate,
    }
    return commands[options.command](options)


if __name__ == "__main__":
    sys.exit(main())
