# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends packets at the firewall of this SuperLink, from a neighbour made of a network namespace. Needs root.

The neighbour has two addresses per family: one that is admitted as a member's, and one of a stranger. Prints what went
otherwise than it should; its exit status is the number of such things.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from flower_ops.firewall import firewall
from flower_ops.machine.errors import NodeError
from flower_ops.machine.paths import Paths
from flower_ops.membership.members import Member
from flower_ops.membership.membership import Membership

FLEET, OTHER, MAIL = 9092, 7777, (25, 26, 465, 587, 2525)
HERE = {4: "10.77.0.1", 6: "fd77::1"}
MEMBER = {4: "10.77.0.2", 6: "fd77::2"}
STRANGER = {4: "10.77.0.3", 6: "fd77::3"}
CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 1.0, (sys.argv[3], 0) if sys.argv[3] else None).close()
    print("open")
except ConnectionRefusedError:
    print("refused")
except OSError:
    print("silent")
"""
LISTEN = """
import socket, sys, time
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
sockets = [socket.create_server((sys.argv[1], int(port)), family=family) for port in sys.argv[2:]]
print("ready", flush=True)
time.sleep(600)
"""
faults: list[str] = []


def ip(words: str, must: bool = True) -> None:
    """One command of iproute2."""
    subprocess.run(["ip", *words.split()], check=must, capture_output=not must)


def expect(what: str, seen: object, wanted: object) -> None:
    """Note a difference."""
    if seen != wanted:
        faults.append(f"{what}: {seen} instead of {wanted}")


def knock(address: str, port: int, source: str = "", inside: bool = True) -> str:
    """open, refused (an answer says no) or silent, as seen by the neighbour or (`inside` False) by this machine."""
    where = ["ip", "netns", "exec", "neighbour"] if inside else []
    words = [*where, sys.executable, "-c", CONNECT, address, str(port), source]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


@contextlib.contextmanager
def neighbour() -> Iterator[None]:
    """A machine next door that listens on mail ports and one other port."""
    ip("netns del neighbour", must=False)
    ip("netns add neighbour")
    listeners = []
    try:
        ip("link add flower0 type veth peer name flower1 netns neighbour")
        # Engines switch IPv6 off for cards that they did not make.
        subprocess.run(["mount", "-o", "remount,rw", "/proc/sys"], check=True)
        Path("/proc/sys/net/ipv6/conf/flower0/disable_ipv6").write_text("0")
        for family, size in ((4, 24), (6, "64 nodad")):
            ip(f"address add {HERE[family]}/{size} dev flower0")
            for address in (MEMBER[family], STRANGER[family]):
                ip(f"-n neighbour address add {address}/{size} dev flower1")
        ip("link set flower0 up")
        ip("-n neighbour link set flower1 up")
        for address in MEMBER.values():
            words = ["ip", "netns", "exec", "neighbour", sys.executable, "-c", LISTEN, address]
            listener = subprocess.Popen([*words, *map(str, (*MAIL, OTHER))], stdout=subprocess.PIPE)
            listeners.append(listener)
            assert listener.stdout is not None and listener.stdout.readline() == b"ready\n"
        yield
    finally:
        for listener in listeners:
            listener.kill()
            listener.wait()
        ip("netns del neighbour", must=False)
        ip("link del flower0", must=False)


def accept(server: socket.socket) -> None:
    """Take what comes."""
    while True:
        try:
            server.accept()[0].close()
        except OSError:
            return


def stored() -> list[str]:
    """Addresses of the members as they are."""
    members: list[Member] = Membership(Paths(), registry=None).members()  # type: ignore[arg-type]
    return [address for member in members for address in member.addresses]


def fleet(moment: str, member: str) -> None:
    """Who reaches the Fleet API at a moment."""
    for family, address in HERE.items():
        expect(f"{moment}, member, IPv{family}", knock(address, FLEET, MEMBER[family]), member)
        expect(f"{moment}, stranger, IPv{family}", knock(address, FLEET, STRANGER[family]), "silent")


def main() -> int:
    """Go through it all."""
    before = stored()
    six = socket.AF_INET6
    servers = [socket.create_server((HERE[6], OTHER), family=six), socket.create_server((HERE[4], OTHER))]
    with contextlib.suppress(OSError):
        # Unless the Fleet API itself listens on IPv6 as well.
        servers.append(socket.create_server((HERE[6], FLEET), family=six))
    for server in servers:
        threading.Thread(target=accept, args=(server,), daemon=True).start()
    try:
        fleet("before admission", "silent")
        firewall.admit(Paths(), [*before, *MEMBER.values()])
        fleet("after admission", "open")
        for family, address in HERE.items():
            expect(f"another port, IPv{family}", knock(address, OTHER, MEMBER[family]), "silent")
            expect(f"SSH, IPv{family}", knock(address, 22, STRANGER[family]) in ("open", "refused"), True)
        for family, address in MEMBER.items():
            for port in MAIL:
                expect(f"outgoing mail, port {port}, IPv{family}", knock(address, port, inside=False), "refused")
            expect(f"outgoing, another port, IPv{family}", knock(address, OTHER, inside=False), "open")
        try:
            firewall._load(
                "table inet flower\ndelete table inet flower\ntable inet flower { chain input { nonsense } }"
            )
            faults.append("rules that make no sense were taken")
        except NodeError:
            fleet("after rules that were refused", "open")
        subprocess.run(["systemctl", "reload", firewall.UNIT], check=True)
        fleet("after a reload", "open")
        subprocess.run(["nft", "delete", "table", "inet", "flower"], check=True)
        expect("rules that are lost are seen", firewall.in_force(Paths()), False)
        subprocess.run(["systemctl", "restart", firewall.UNIT], check=True)
        fleet("after a restart", "open")
        firewall.admit(Paths(), before)
        fleet("after removal", "silent")
    finally:
        firewall.admit(Paths(), before)
        for server in servers:
            server.close()
    return len(faults)


if __name__ == "__main__":
    with neighbour():
        code = main()
    print("\n".join(faults))
    sys.exit(code)
