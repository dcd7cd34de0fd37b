# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many `flwr` commands through one process, for who registers a whole federation at once."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import time

from flower_ops.flower_cli.flwr_cli import FlwrCli, plain
from flower_ops.flower_cli.flwr_commands import END

_BLOCK = 65536


class FlwrSession(FlwrCli):
    """FlwrCli whose commands share a process. It is started by the first of them, or ahead of it by `warm_up`.

    A command takes 0.05 s of processor time this way, 1.2 s by itself. Waiting, the process holds about 90 MB, so
    `close` it when nothing more is expected; the next command starts another one.
    """

    _child: subprocess.Popen[bytes] | None = None

    def warm_up(self) -> None:
        """Start importing Flower now, without waiting for it."""
        if self._child is not None and self._child.poll() is None:
            return
        self.close()
        command = [str(self.binary.parent / "python"), "-m", "flower_ops.flower_cli.flwr_commands"]
        # Not in the folder of the service account: who starts it may be barred from there.
        process = {**self._process(), "cwd": "/"}
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **process
        )

    def expect(self, commands: bool) -> None:
        """Be ready when commands are likely to follow, and hold no memory when they are not."""
        if commands:
            self.warm_up()
        else:
            self.close()

    def close(self) -> None:
        """End the process, if there is one."""
        if self._child is None:
            return
        self._child.kill()
        for stream in (self._child.stdin, self._child.stdout):
            if stream is not None:
                stream.close()
        self._child.wait()
        self._child = None

    def _output(self, arguments: list[str]) -> tuple[str, str]:
        self.warm_up()
        try:
            return self._ask(arguments), ""
        except (OSError, subprocess.TimeoutExpired):
            # Its next answer would be one to this question.
            self.close()
            raise

    def _ask(self, arguments: list[str]) -> str:
        child = self._child
        assert child is not None and child.stdin is not None and child.stdout is not None
        child.stdin.write(json.dumps(arguments).encode() + b"\n")
        child.stdin.flush()
        end, said = time.monotonic() + self.timeout, b""
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout, selectors.EVENT_READ)
            while not said.endswith(f"\n{END}\n".encode()):
                if not selector.select(max(0.0, end - time.monotonic())):
                    raise subprocess.TimeoutExpired("flwr", self.timeout)
                block = os.read(child.stdout.fileno(), _BLOCK)
                if not block:
                    # It ended by itself: what it said last is the answer, and no JSON.
                    self.close()
                    return plain(said)
                said += block
        return plain(said[: -len(END) - 2])
