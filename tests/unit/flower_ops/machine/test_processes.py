# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes and connections of this machine, as the kernel tells them."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path

import pytest
from flower_ops.machine import processes


def test_connections_and_processes_are_read_from_the_kernel() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = f"127.0.0.1:{server.getsockname()[1]}"
        assert not processes.connected(endpoint)
        with socket.create_connection(server.getsockname()):
            assert processes.connected(endpoint)
            assert not processes.connected(endpoint.replace("127.0.0.1", "127.0.0.2"))
        assert not processes.connected(endpoint)
    with subprocess.Popen(["sh", "-c", "sleep 30 & wait"]) as parent:
        end = time.monotonic() + 10
        while not (below := processes.descendants(parent.pid)) and time.monotonic() < end:
            time.sleep(0.02)
        assert any("sleep" in words for words in below.values())
        assert 0 <= processes.age(parent.pid) < 60 < processes.age(1)
        for pid in below:
            os.kill(pid, 15)
    assert processes.descendants(parent.pid) == {} and processes.command(parent.pid) == ""
    assert processes.age(parent.pid) == float("inf")


@pytest.mark.parametrize(
    ("name", "row", "endpoint"),
    [
        ("tcp", "0100000A:1000 0400000A:2384 01 00000000:00000000 00:00000000 00000000", "10.0.0.4:9092"),
        ("tcp6", f"{'0' * 32}:1000 {'0000000000000000FFFF00000400000A'}:2384 01 0:0 0:0 00000000", "10.0.0.4:9092"),
        (
            "tcp6",
            f"{'0' * 32}:1000 {'000000FD000000000000000000000004'}:2384 01 0:0 0:0 00000000",
            "[fd00::400:0]:9092",
        ),
    ],
)
def test_a_connection_that_gets_no_answers_is_none(tmp_path: Path, name: str, row: str, endpoint: str) -> None:
    (tmp_path / "net").mkdir()
    table = tmp_path / "net" / name
    table.write_text(f"header\n   0: {row} 0 0 1\n")
    assert processes.connected(endpoint, tmp_path)
    table.write_text(f"header\n   0: {row[:-1]}5 0 0 1\n")
    assert not processes.connected(endpoint, tmp_path)
