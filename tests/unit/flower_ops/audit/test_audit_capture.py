# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real packets: of the loopback, captured by the kernel's own socket, judged as those of a SuperNode."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from audit_support import SALT, node_with
from flower_ops.audit import peers, place, reads, steps, watch, wire
from flower_ops.audit.place import Place


class Sink(threading.Thread):
    """Takes one connection on the loopback and all that comes through it."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self.got = 0

    def run(self) -> None:
        connection, _peer = self._listening.accept()
        with connection:
            while part := connection.recv(65536):
                self.got += len(part)
            connection.sendall(b"thanks")
        self._listening.close()


def send(port: int, data: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(100):
            continue


@pytest.fixture
def quiet() -> Iterator[None]:
    """A network of the test's own: other programs of this machine use its loopback, too."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net", "rb") as before:
        assert libc.unshare(0x40000000) == 0, os.strerror(ctypes.get_errno())
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
                # SIOCSIFFLAGS with IFF_UP: a new loopback is down.
                fcntl.ioctl(control, 0x8914, struct.pack("16sH22x", b"lo", 1))
            yield
        finally:
            assert libc.setns(before.fileno(), 0) == 0


@pytest.fixture
def watched(quiet: None, tmp_path: Path) -> Iterator[tuple[Place, threading.Event, threading.Thread]]:
    here = Place(tmp_path)
    here.make()
    end = threading.Event()
    thread = threading.Thread(target=watch.watch, args=(here, "supernode", 8 << 20, end, True))
    thread.start()
    try:
        assert watch.wait(here.ready.is_file, 10)
        yield here, end, thread
    finally:
        end.set()
        thread.join()


def test_every_byte_of_a_connection_is_counted(watched: tuple[Place, threading.Event, threading.Thread]) -> None:
    here, end, thread = watched
    sink = Sink()
    sink.start()
    send(sink.port, os.urandom(3_000_000))
    sink.join()
    end.set()
    thread.join()
    figures = place.load(here.figures)
    (row,) = [one for one in figures["table"] if one["port"] == sink.port and one["opened_by"] == "node"]
    # The loopback shows each packet going out and coming in, so both ways carry both.
    assert row["payload_out"] >= 3_000_000 and figures["dropped"] == 0
    assert not row["tls"]["encrypted"] and row["tls"]["opened_before"] == 0
    assert sum(path.stat().st_size for path in here.folder.glob("capture-*")) > 3_000_000


def test_samples_in_plain_are_found_in_the_capture(
    watched: tuple[Place, threading.Event, threading.Thread], tmp_path: Path
) -> None:
    here, end, thread = watched
    data, prints = node_with(tmp_path, 1, "node-1")
    sink = Sink()
    sink.start()
    send(sink.port, b"POST /collect HTTP/1.1\r\n\r\n" + data)
    sink.join()
    end.set()
    thread.join()
    found = wire.search(here.folder, prints, SALT)
    assert [(one["port"], one["samples"]) for one in found if one["port"] == sink.port] == [(sink.port, 20)]
    assert found[0]["forms"] == ["the bytes as stored"]


ROW = {"bytes_in": 0, "payload_in": 0, "payload_out": 5, "opened_by": "node"}


def row(protocol: str, address: str, port: int, sent: int = 100, opened_by: str = "node") -> dict[str, object]:
    return {**ROW, "protocol": protocol, "address": address, "port": port, "bytes_out": sent, "opened_by": opened_by}


def test_peers_have_names_and_limits() -> None:
    known = peers.rules_for(
        "10.0.0.1:9092", "10.0.0.254:5030", "10.0.0.9", [{"name": "backup", "address": "10.9.0.0/16", "max_bytes": 10}]
    )
    table = [
        row("tcp", "10.0.0.1", 9092, 10**9),
        row("tcp", "10.0.0.254", 5030),
        row("tcp", "10.0.0.9", 22, opened_by="peer"),
        row("tcp", "10.0.0.9", 22),
        row("udp", "10.0.0.53", 53),
        row("udp", "8.8.8.8", 53, 65500),
        row("tcp", "10.9.1.1", 873),
        row("tcp", "10.0.0.1", 9093),
        row("arp", "", 0),
    ]
    named = [(one["name"], one["allowed"]) for one in peers.name(table, known)]
    assert named == [
        (peers.FLEET, True),
        (peers.ONEGATE, True),
        (peers.SSH, True),
        ("", False),
        # Together they are more than names need: a way out for somebody with patience.
        ("DNS", False),
        ("DNS", False),
        ("backup", False),
        ("", False),
        ("neighbours on the link", True),
    ]


def test_endpoints_of_a_node_are_read_from_its_configuration(tmp_path: Path) -> None:
    here = Place(tmp_path)
    assert here.fleet() == here.gate() == ""
    (tmp_path / "opt/flower/config").mkdir(parents=True)
    text = 'FLOWER_ARGS="--superlink [fd00::1]:9092 --isolation subprocess"\n'
    (tmp_path / "opt/flower/config/supernode.env").write_text(text, encoding="ascii")
    (tmp_path / "run/one-context").mkdir(parents=True)
    text = 'export ONEGATE_ENDPOINT="http://10.0.0.254:5030"\nexport VMID="3"\n'
    (tmp_path / "run/one-context/one_env").write_text(text, encoding="ascii")
    assert here.fleet() == "[fd00::1]:9092" and here.gate() == "10.0.0.254:5030"


def test_the_control_machine_is_who_is_logged_in_above(tmp_path: Path) -> None:
    """sudo keeps the variable from its child."""
    for pid, parent, environment in (
        (os.getpid(), 7, b"A=1\0"), (7, 6, b"SSH_CLIENT=10.0.0.9 50000 22\0B=2\0"), (6, 1, b"SSH_CLIENT=1.1.1.1 1 2")
    ):  # fmt: skip
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "environ").write_bytes(environment)
        (tmp_path / str(pid) / "status").write_text(f"Name:\tx\nPPid:\t{parent}\n", encoding="ascii")
    assert peers.control_machine(tmp_path) == "10.0.0.9"
    assert peers.control_machine(tmp_path / "none") == ""


def test_a_whole_walk_of_steps(watched: tuple[Place, threading.Event, threading.Thread], tmp_path: Path) -> None:
    """Without systemd, whose place the fixture takes."""
    here, end, thread = watched
    (tmp_path / "opt/flower/config").mkdir(parents=True)
    sink = Sink()
    sink.start()
    env = tmp_path / "opt/flower/config/supernode.env"
    env.write_text(f"FLOWER_ARGS=--superlink 127.0.0.1:{sink.port}\n", encoding="ascii")
    asked = {"salt": SALT.hex(), "node": "node-1", "data": ["/opt/flower/data"], "form": "digits"}
    (tmp_path / "opt/flower/data").mkdir()
    ready = here.ready.read_text(encoding="utf-8")
    assert steps.canary(here, asked, "")["files"] == 1
    made = steps.fingerprint(here, asked, "")
    assert made["rows"] == 120 and made["fingerprints"] > 10000 and "salt" not in made
    here.ready.write_text(ready, encoding="utf-8")
    place.save(here.begun, {"since": 1.0, "control": ""})
    send(sink.port, b"\x16\x03\x01\x00\x02\x01\x00" + b"in plain")
    sink.join()
    end.set()
    thread.join()
    answer = steps.stop(here, asked, "")
    (fleet,) = [one for one in answer["peers"] if one["limit"] < 0]
    assert fleet["name"] == peers.FLEET and fleet["allowed"] and not fleet["tls"]["encrypted"]
    here.others.mkdir()
    (here.others / "node-1.prints").write_bytes(here.prints.read_bytes())
    (tmp_path / "tmp").mkdir()
    found = steps.look(here, {**asked, "node": "superlink"}, "")
    # Its own canaries, on what the test calls another machine.
    assert {one["path"] for one in found["findings"]} == {str(tmp_path / "opt/flower/data/shard.npz")}
    assert steps.clean(here, {}, "")["changed"] and not steps.clean(here, {}, "")["changed"]
    assert not any((tmp_path / "opt/flower/data").iterdir()) and not here.folder.exists()


def test_whether_samples_were_opened_is_known(tmp_path: Path) -> None:
    (tmp_path / "data/cat").mkdir(parents=True)
    for name in ("x.npz", "cat/1.npy"):
        (tmp_path / "data" / name).write_bytes(b"samples")
    watching = reads.Reads([tmp_path / "data"])
    # To look at a folder is not to read what is in it.
    assert len(list((tmp_path / "data").rglob("*"))) == 3 and watching.count() == 0
    for _turn in range(3):
        (tmp_path / "data/cat/1.npy").read_bytes()
    assert watching.count() == 1
    (tmp_path / "data/x.npz").read_bytes()
    assert watching.count() == 2
    watching.close()
    assert reads.Reads([tmp_path / "none"]).count() is None
