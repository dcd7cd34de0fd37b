# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel tells of processes and connections, read from /proc without starting anything."""

from __future__ import annotations

import ipaddress
import os
import socket
from pathlib import Path

from flower_ops import rules

_ESTABLISHED = "01"
#: Data that was sent this often without an answer: the other side is gone, though nobody said so.
_LOST_AFTER = 3
PROC = Path("/proc")


def descendants(pid: int, proc: Path = PROC) -> dict[int, str]:
    """Command lines (words separated by blanks) of all processes that a process has started, by their id."""
    found: dict[int, str] = {}
    waiting = [pid]
    while waiting:
        for child in _children(waiting.pop(), proc):
            if child not in found:
                found[child] = command(child, proc)
                waiting.append(child)
    return found


def command(pid: int, proc: Path = PROC) -> str:
    """Command line of a process; empty when it is gone."""
    try:
        return (proc / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def age(pid: int, proc: Path = PROC) -> float:
    """Seconds since a process was started; infinite for one that is gone."""
    ticks = _started(pid, proc)
    try:
        up = float((proc / "uptime").read_text(encoding="ascii").split()[0])
    except OSError:
        return float("inf")
    return up - ticks / os.sysconf("SC_CLK_TCK") if ticks is not None else float("inf")


def identity(pid: int, proc: Path = PROC) -> str:
    """What no other process has, before or after a reboot, whatever the clock says; empty for one that is gone."""
    try:
        boot = (proc / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
    ticks = _started(pid, proc)
    return f"{boot}/{pid}/{ticks}" if ticks is not None else ""


def _started(pid: int, proc: Path) -> int | None:
    """When a process was started, in ticks since the machine was; None for one that is gone."""
    try:
        # The name of the program may contain blanks and brackets; what follows its last bracket is fixed.
        fields = (proc / str(pid) / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[19])


def connected(endpoint: str, proc: Path = PROC) -> bool:
    """Whether this machine has a TCP connection to `host:port` that still gets answers."""
    host, port = rules.split_address(endpoint)
    addresses = _addresses(host)
    for name in ("tcp", "tcp6"):
        try:
            lines = (proc / "net" / name).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            field = line.split()
            address, _colon, number = field[2].partition(":")
            if field[3] != _ESTABLISHED or int(number, 16) != port:
                continue
            if int(field[6], 16) < _LOST_AFTER and (not addresses or _address(address) in addresses):
                return True
    return False


def _children(pid: int, proc: Path) -> list[int]:
    found: list[int] = []
    try:
        # Every thread has a list of its own.
        for task in (proc / str(pid) / "task").iterdir():
            found += map(int, (task / "children").read_text(encoding="ascii").split())
    except OSError:
        return found
    return found


def _addresses(host: str) -> set[str]:
    """What a host name stands for; nothing when nobody knows."""
    try:
        return {str(ipaddress.ip_address(host))}
    except ValueError:
        pass
    try:
        return {str(item[4][0]) for item in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError:
        return set()


def _address(text: str) -> str:
    """An address as the kernel prints it: words of four bytes, each in little endian order."""
    raw = bytes.fromhex(text)
    packed = b"".join(raw[start : start + 4][::-1] for start in range(0, len(raw), 4))
    address = ipaddress.ip_address(packed)
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)
