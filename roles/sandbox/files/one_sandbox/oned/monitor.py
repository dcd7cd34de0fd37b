# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The monitor: notices VMs that stopped without being asked to."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from ..drivers import Driver, DriverError
from . import lifecycle
from . import states as st

if TYPE_CHECKING:
    from .core import Oned


def start(oned: Oned) -> None:
    """Look every monitor_interval."""
    oned.worker.after(oned.options.monitor_interval, lambda: _tick(oned))


def _tick(oned: Oned) -> None:
    # On a driver thread: asking the driver may block. The next look is planned when this one has ended.
    oned.worker.submit("monitor", functools.partial(_look_and_plan, oned))


def _look_and_plan(oned: Oned) -> None:
    try:
        look(oned)
    finally:
        start(oned)


def look(oned: Oned) -> None:
    """Compare every RUNNING VM with what its driver says."""
    watched: list[tuple[int, int, str, Driver]] = []
    with oned.lock:
        for vm in oned.pools["vm"].values():
            driver = lifecycle.driver_of(oned, vm) if st.is_running(vm) else None
            if driver is not None and not oned.worker.busy(("vm", vm.oid)):
                watched.append((vm.oid, vm.data["epoch"], vm.data["deploy_id"], driver))
    for vm_id, epoch, deploy_id, driver in watched:
        try:
            if driver.state(deploy_id) == "running":
                continue
        except DriverError:
            # Not knowing is no reason to call a VM stopped.
            continue
        with oned.transaction():
            found = oned.find("vm", vm_id)
            # A reboot in the meantime stops the VM for a moment: that is nobody's failure.
            if found and found.data["epoch"] == epoch and not oned.worker.busy(("vm", vm_id)):
                lifecycle.went_away(oned, found)
