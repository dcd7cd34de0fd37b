# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs while the federation trains: the capture on a SuperNode, the hold on the SuperLink's databases."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from flower_ops.audit import place as places
from flower_ops.audit.capture import Capture
from flower_ops.audit.errors import AuditError
from flower_ops.audit.hold import Hold, databases
from flower_ops.audit.place import Place
from flower_ops.audit.reads import Reads

#: Nobody is to find a capture that runs since last week.
LONGEST_S = 6 * 3600
PATIENCE_S = 20.0
#: The watcher needs no more of the machine than this.
PROPERTIES = (
    f"RuntimeMaxSec={LONGEST_S}",
    "CapabilityBoundingSet=CAP_NET_RAW CAP_NET_ADMIN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_CHOWN",
    "NoNewPrivileges=yes",
    "ProtectSystem=full",
    "ProtectHome=yes",
    "UMask=0077",
    "TimeoutStopSec=30",
)


def watch(
    place: Place,
    role: str,
    limit: int,
    until: threading.Event | None = None,
    loopback: bool = False,
    data: Sequence[str] = (),
) -> None:
    """Until SIGTERM, or `until` in tests. `data`: folders of samples."""
    end = until or threading.Event()
    if until is None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_about: end.set())
    if role == "superlink":
        with Hold(databases(place.state)) as hold:
            places.save(place.ready, {"held": hold.held, "failed": hold.failed})
            end.wait()
        return
    begun = time.time()
    reads = Reads([place.root / folder.lstrip("/") for folder in data])
    try:
        capture = Capture(place.folder, limit, loopback)
        worker = threading.Thread(target=capture.run, name="capture")
        worker.start()
        try:
            places.save(place.ready, {"held": [], "failed": {}})
            end.wait()
        finally:
            # Whatever happened: a thread that is left alone captures for ever, and keeps the process from ending.
            capture.stop()
            worker.join()
        seconds = round(time.time() - begun, 1)
        places.save(place.figures, {**capture.figures(), "opened": reads.count(), "seconds": seconds})
    finally:
        reads.close()


def start(place: Place, binary: str, role: str, limit: int, data: Sequence[str] = ()) -> dict[str, Any]:
    """Start the watcher as a unit of systemd and wait until it watches; returns what it holds.

    Whoever calls it calls stop() when it fails: the unit may run by then.
    """
    stop()
    place.make()
    command = ["systemd-run", "--quiet", "--collect", f"--unit={places.UNIT}"]
    command += [f"--property={one}" for one in PROPERTIES]
    command += [binary, "audit", "watch", "--role", role, "--limit", str(limit), "--root", str(place.root)]
    command += [word for folder in data for word in ("--data", folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AuditError(f"The audit cannot start its watcher by systemd-run ({error}); look at systemd.") from error
    if done.returncode:
        raise AuditError(f"systemd-run did not start {places.UNIT}: {done.stderr.strip() or done.returncode}.")
    if not wait(place.ready.is_file, PATIENCE_S):
        raise AuditError(
            f"{places.UNIT} did not begin to watch within {PATIENCE_S:g} s; journalctl -u {places.UNIT} says why."
        )
    return places.load(place.ready)


def stop() -> None:
    """End the watcher and wait for it; AuditError if it goes on."""
    if systemctl("stop", places.UNIT) or not systemctl("is-active", "--quiet", places.UNIT):
        return
    systemctl("kill", "--signal=SIGKILL", places.UNIT)
    if not systemctl("stop", places.UNIT) and systemctl("is-active", "--quiet", places.UNIT):
        raise AuditError(f"{places.UNIT} cannot be ended and still watches; stop it by systemctl, and see why.")


def systemctl(*arguments: str) -> bool:
    """Whether it did what it was asked for."""
    try:
        done = subprocess.run(["systemctl", *arguments], capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def wait(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether it came true in time."""
    last = time.monotonic() + seconds
    while time.monotonic() < last:
        if condition():
            return True
        time.sleep(0.1)
    return condition()


def kept(folder: Path) -> int:
    """Bytes of captures that lie in a folder."""
    return sum(path.stat().st_size for path in folder.glob("capture-*.pcap"))
