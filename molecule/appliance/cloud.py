# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A sandbox cloud inside a machine, with one VM of the dummy driver: the machine itself.

`serve` runs the cloud; when the VM is deployed its CONTEXT is unpacked at the machine's root, as on a CONTEXT CD.
`show` prints the user template of the VM as JSON.
"""

from __future__ import annotations

import json
import signal
import sys
import tarfile
import xmlrpc.client
from io import BytesIO
from pathlib import Path
from threading import Event
from typing import Any
from xml.etree import ElementTree

from one_sandbox.context import archive
from one_sandbox.drivers import VmSpec
from one_sandbox.sandbox import Sandbox

HOME = Path("/var/lib/one-cloud")
TEMPLATE = """
NAME = "appliance"
CPU = "1"
MEMORY = "1024"
CONTEXT = [ TOKEN = "YES", ONEAPP_FL_ROLE = "superlink", ONEAPP_FL_NUM_PARTITIONS = "3" ]
"""


def serve() -> None:
    """Serve until SIGTERM. The first time, make the VM."""
    sandbox = Sandbox(HOME, "dummy", xmlrpc_port=2633, oneflow_port=2474, onegate_port=5030)
    over = Event()
    signal.signal(signal.SIGTERM, lambda *_signal: over.set())
    with sandbox:
        plain = sandbox.drivers["dummy"].deploy

        def deploy(vm: VmSpec) -> str:
            with tarfile.open(fileobj=BytesIO(archive(vm.context, vm.token))) as tar:
                tar.extractall("/")
            return plain(vm)

        sandbox.drivers["dummy"].deploy = deploy  # type: ignore[method-assign]
        if not HOME.joinpath("made").exists():
            call("vm.allocate", TEMPLATE, False)
            HOME.joinpath("made").touch()
        over.wait()


def call(method: str, *arguments: Any) -> Any:
    """A call of the cloud's XML-RPC; ends the program when the cloud refuses it."""
    answer = xmlrpc.client.ServerProxy("http://127.0.0.1:2633/RPC2")
    result = getattr(answer, f"one.{method}")(HOME.joinpath("one_auth").read_text().strip(), *arguments)
    if not result[0]:
        raise SystemExit(str(result[1]))
    return result[1]


def show() -> None:
    """Print what the VM has said of itself."""
    root = ElementTree.fromstring(call("vm.info", 0))
    print(json.dumps({item.tag: item.text or "" for item in root.find("USER_TEMPLATE") or ()}))


if __name__ == "__main__":
    {"serve": serve, "show": show}[sys.argv[1]]()
