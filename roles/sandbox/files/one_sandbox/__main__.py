# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Command line: python3 -m one_sandbox serve|down|status|fault."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from . import fault_command
from .drivers import DriverError, make_driver
from .faults import FaultRuleError
from .home import Home, HomeBusyError
from .oned import states
from .oned.store import Store
from .sandbox import NETWORK, SUBNET, Sandbox

_STOP_WAIT = 30.0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="one_sandbox", description="A small OpenNebula look-alike for one machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="run in the foreground until SIGTERM; VMs survive")
    serve.add_argument("--driver", choices=("docker", "dummy"), default="docker")
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--xmlrpc-port", type=int, default=2633)
    serve.add_argument("--oneflow-port", type=int, default=2474)
    serve.add_argument("--onegate-port", type=int, default=5030)
    serve.add_argument("--subnet", default=SUBNET)
    serve.add_argument("--network", default=NETWORK)
    down = commands.add_parser("down", help="remove all VMs, networks and images of this home")
    status = commands.add_parser("status", help="print what runs, as JSON")
    status.add_argument("--serving", action="store_true", help="print nothing, end with 1 unless it serves")
    for command in (serve, down, status):
        command.add_argument("--home", type=Path, required=True)
    fault_command.add_parser(commands)
    return parser


def _serve(args: argparse.Namespace) -> None:
    sandbox = Sandbox(
        args.home, args.driver, host=args.host, xmlrpc_port=args.xmlrpc_port, oneflow_port=args.oneflow_port,
        onegate_port=args.onegate_port, subnet=args.subnet, network=args.network,
    )  # fmt: skip
    wake = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: wake.set())
    with sandbox:
        print(json.dumps({"home": str(sandbox.home.path), "endpoints": vars(sandbox.endpoints)}), flush=True)
        wake.wait()


def _stop_server(home: Home) -> None:
    pid = home.description().get("pid")
    if not home.busy or not isinstance(pid, int):
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_WAIT
    while home.busy:
        if time.monotonic() > deadline:
            raise HomeBusyError(f"The sandbox on {home.path} (pid {pid}) does not stop; end it, then try again.")
        time.sleep(0.1)


def _down(args: argparse.Namespace) -> None:
    home = Home(args.home)
    if not home.path.is_dir():
        return
    _stop_server(home)
    home.lock()
    try:
        described = home.description()
        driver = described.get("driver", "dummy")
        make_driver(
            driver, home.id, described.get("network", NETWORK), described.get("subnet", SUBNET)
        ).purge()
        home.clear()
    finally:
        home.unlock()


def _is_serving(home: Home) -> bool:
    """Whether a server has finished its start. Looks at files only: the lock may be wanted by one that starts."""
    description = home.description()
    return bool(description.get("endpoints")) and Path(f"/proc/{description.get('pid')}").exists()


def _status(args: argparse.Namespace) -> None:
    home = Home(args.home)
    if args.serving:
        sys.exit(not _is_serving(home))
    result: dict[str, Any] = {"home": str(home.path), "running": home.busy, **home.description(), "calls": home.calls()}
    database = home.path / "one.db"
    if database.exists():
        store = Store(database)
        records = store.load()
        store.close()
        vms = Counter(states.name_of(record) for record in records if record.kind == "vm")
        vms.pop("DONE", None)
        result["vms"] = dict(vms)
        for kind in ("image", "template", "host"):
            result[f"{kind}s"] = sum(record.kind == kind for record in records)
        result["services"] = sum(record.kind == "document" and record.data["type"] == 100 for record in records)
    if not result["running"]:
        result.pop("pid", None)
    print(json.dumps(result, indent=2))


def main() -> int:
    """0, or 1 with one sentence on stderr."""
    args = _parser().parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        {"serve": _serve, "down": _down, "status": _status, "fault": fault_command.run}[args.command](args)
    except (HomeBusyError, DriverError, FaultRuleError, OSError) as error:
        print(f"one_sandbox {args.command}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
