# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A laptop: the tunnel that connect has left, as a process, and Flower's own command line with settings of its own."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

QUICKSTART = Path(__file__).parent / "apps/quickstart"
OFFLINE = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Laptop:
    """`place` is what the playbook connect has left; `flwr` belongs to an environment with the federation's version."""

    def __init__(self, folder: Path, place: Path, flwr: Path, connection: str) -> None:
        self.place, self.flwr, self.connection = place, flwr, connection
        self.app = folder / "quickstart"
        shutil.copytree(QUICKSTART, self.app, ignore=shutil.ignore_patterns("__pycache__"))
        home = folder / "flwr-home"
        home.mkdir()
        shutil.copy(place / "config.toml", home)
        self.environment = {**os.environ, **OFFLINE, "FLWR_HOME": str(home), "HOME": str(folder)}

    @contextmanager
    def tunnel(self, port: int) -> Iterator[None]:
        """The tunnel, open."""
        with subprocess.Popen([self.place / "tunnel.sh", "-o", "BatchMode=yes"]) as process:
            try:
                end = time.monotonic() + 30
                while not _listens(port):
                    assert process.poll() is None, "the tunnel did not open"
                    assert time.monotonic() < end, "the tunnel does not open"
                    time.sleep(0.2)
                yield
            finally:
                process.terminate()

    def train(self) -> str:
        """What `flwr run` says while it follows the run."""
        return self._output("run", str(self.app), self.connection, "--stream")

    def runs(self) -> list[dict[str, Any]]:
        """Runs, by `flwr ls`."""
        text = self._output("ls", self.connection, "--format", "json")
        return list(json.loads(text[text.index("{") :])["runs"])

    def _output(self, *words: str) -> str:
        command = [self.flwr, *words]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False, timeout=300)
        print(done.stdout + done.stderr, flush=True)
        return done.stdout + done.stderr


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
