# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Capturing a VM's packets with the kernel's own socket: nothing has to be installed, not even without a network."""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
import threading
import time
from pathlib import Path
from typing import Any

from flower_ops.audit import packets, pcap
from flower_ops.audit.errors import AuditError
from flower_ops.audit.flows import Flows

ALL = 0x0003
LOOPBACK = "lo"
#: Room for what arrives while Python is busy; the greatest segment that a card takes in one piece.
BUFFER, PIECE = 64 << 20, 1 << 18
_FORCED_BUFFER = 33
_PACKET_LEVEL, _STATISTICS = 263, 6
OTHER_HOST = 3
DRAIN_S = 2.0


class Capture:
    """All packets of all interfaces but the loopback, from when it is made until stop(); `run` works them off."""

    def __init__(self, folder: Path, limit: int, loopback: bool = False) -> None:
        self._loopback = loopback
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ALL))
        except PermissionError as error:
            raise AuditError(
                f"Packets cannot be captured on this machine ({error.strerror}); the audit needs root with CAP_NET_RAW."
            ) from error
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, _FORCED_BUFFER, BUFFER)
        self._socket.settimeout(0.2)
        self._end = threading.Event()
        self.dropped = 0
        #: Why packets were no longer taken before stop() was called; empty: they were.
        self.broken = ""
        self.flows = Flows()
        try:
            self.ring = pcap.Ring(folder, limit)
        except BaseException:
            self._socket.close()
            raise

    def stop(self) -> None:
        """Let `run` come to its end once nothing waits any more."""
        self._end.set()

    def run(self) -> None:
        """Take packets until stop() was called; what ends it earlier is told by `broken`."""
        self.broken = "it came to no end"
        try:
            self._work()
            self.broken = ""
        except OSError as error:
            # A full disk, for example. Counting on would say that nothing was sent.
            self.broken = error.strerror or str(error)
        finally:
            self.close()

    def _work(self) -> None:
        room = bytearray(PIECE)
        view = memoryview(room)
        last = float("inf")
        # Once asked to end it takes what waits, but not for ever: a busy interface is never silent.
        while time.monotonic() < last:
            if self._end.is_set() and last == float("inf"):
                last = time.monotonic() + DRAIN_S
            try:
                size, address = self._socket.recvfrom_into(view, PIECE, socket.MSG_TRUNC)
            except TimeoutError:
                if self._end.is_set():
                    break
                continue
            except OSError as error:
                # An interface that goes down is told once, and is no reason to end.
                if error.errno == errno.ENETDOWN:
                    continue
                raise
            if (address[0] != LOOPBACK or self._loopback) and address[2] != OTHER_HOST:
                self._take(view[: min(size, PIECE)], size, address[1], address[2] == pcap.OUTGOING)

    def close(self) -> None:
        """Read the kernel's counters and let go of socket and files."""
        with contextlib.suppress(OSError):
            self.dropped = self.lost()
        self._socket.close()
        try:
            self.ring.close()
        except OSError as error:
            self.broken = self.broken or error.strerror or str(error)

    def lost(self) -> int:
        """Packets that the kernel had no room for since the last question."""
        found = self._socket.getsockopt(_PACKET_LEVEL, _STATISTICS, 8)
        return int(struct.unpack("=II", found)[1])

    def _take(self, data: memoryview, length: int, ethertype: int, outgoing: bool) -> None:
        self.flows.add(packets.parse(ethertype, data), outgoing)
        self.ring.add(outgoing, ethertype, data, length)

    def figures(self) -> dict[str, Any]:
        """What may leave the machine: sums and peers."""
        return {
            "packets": self.flows.packets,
            "dropped": self.dropped,
            "broken": self.broken,
            "not_kept_bytes": self.ring.lost,
            "table": self.flows.table(),
        }
