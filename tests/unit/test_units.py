# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The systemd units that roles put on a VM: closed as far as their work allows, by the judgement of systemd itself."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNITS = sorted(ROOT.glob("roles/*/files/flower*.service"))
#: Tenths, as systemd-analyze counts: 2.5 of 10.
THRESHOLD = 25
#: Units whose processes run as root, and what root may still do there.
ROOT_MAY = {
    "flower-boot.service": "CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_NET_ADMIN",
    "flower-keeper.service": "CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_NET_ADMIN",
    "flower-firewall.service": "CAP_NET_ADMIN",
    "flower-registrar.service": "CAP_KILL CAP_NET_ADMIN CAP_SETGID CAP_SETUID",
}


def settings(unit: Path) -> dict[str, list[str]]:
    """Values of every setting of a unit."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        key, separator, value = line.partition("=")
        if separator and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


def test_all_units_are_looked_at() -> None:
    assert {*ROOT_MAY, "flower-superlink.service", "flower-supernode.service", "flower-run@.service"} <= {
        unit.name for unit in UNITS
    }


@pytest.mark.parametrize("unit", UNITS, ids=[unit.name for unit in UNITS])
def test_a_unit_is_exposed_to_2_5_at_most(unit: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    assert analyze, "systemd-analyze is missing on this machine: install the package systemd (250 or newer)"
    done = subprocess.run(
        [analyze, "security", "--offline=yes", "--no-pager", f"--threshold={THRESHOLD}", str(unit)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "SYSTEMD_COLORS": "0", "LC_ALL": "C.UTF-8"},
    )
    faults = "\n".join(line for line in done.stdout.splitlines() if line.startswith(("✗", "→")))
    assert "Overall exposure level" in faults, done.stderr
    assert done.returncode == 0, faults


@pytest.mark.parametrize("unit", UNITS, ids=[unit.name for unit in UNITS])
def test_a_unit_runs_as_the_service_user_or_with_few_capabilities(unit: Path) -> None:
    found = settings(unit)
    assert (
        found["NoNewPrivileges"] == ["yes"]
        and found["ProtectSystem"] == ["strict"]
        and found["UMask"][0]
        in (
            "0077",
            "0027",
        )
    )
    if unit.name in ROOT_MAY:
        assert "User" not in found and sorted(found["CapabilityBoundingSet"][0].split()) == ROOT_MAY[unit.name].split()
    else:
        assert found["User"] == ["flower"] and found["CapabilityBoundingSet"] == [""]


def test_a_boot_is_told_on_the_console_and_repeated_unless_the_variables_are_wrong() -> None:
    found = settings(ROOT / "roles/appliance/files/flower-boot.service")
    assert found["Type"] == ["oneshot"] and found["WantedBy"] == ["multi-user.target"]
    assert found["ExecStart"][0].endswith("/flower-ops boot")
    assert found["StandardOutput"] == found["StandardError"] == ["journal+console"]
    # 2 is how the command ends when trying again is of no use, see flower_ops.agent.boot.
    assert found["Restart"] == ["on-failure"] and found["RestartPreventExitStatus"] == ["2"]


def test_the_gate_starts_after_the_superlink_and_is_started_anew_with_it() -> None:
    found = settings(ROOT / "roles/superlink/files/flower-gate.service")
    assert found["PartOf"] == ["flower-superlink.service"] and "flower-superlink.service" in found["After"][0].split()


def test_the_supervisor_outlives_its_superlink_and_may_write_nothing_that_was_asked_for() -> None:
    found = settings(ROOT / "roles/superlink/files/flower-supervisor.service")
    assert not {"PartOf", "BindsTo", "Requires"} & set(found)
    assert "flower-superlink.service" in found["After"][0].split()
    # It reads /proc/uptime to tell the age of a process.
    assert "ProcSubset" not in found and found["Restart"] == ["always"]
    assert found["ReadWritePaths"] == ["/opt/flower/runs /opt/flower/cli /opt/flower/apps /opt/flower/checkpoints"]
    assert "KillMode" not in found, "whatever it has started for Flower must end with it"


def test_the_firewall_is_closed_before_there_is_a_network() -> None:
    found = settings(ROOT / "roles/flower_runtime/files/flower-firewall.service")
    assert "network-pre.target" in found["Before"][0] and found["DefaultDependencies"] == ["no"]
    assert "nftables.service" in found["After"][0] and found["WantedBy"] == ["sysinit.target"]


@pytest.mark.parametrize("name", ["flower-superlink.service", "flower-supernode.service"])
def test_frameworks_may_compile_at_run_time(name: str) -> None:
    (unit,) = [unit for unit in UNITS if unit.name == name]
    # PyTorch and TensorFlow write code into memory and run it.
    assert "MemoryDenyWriteExecute" not in settings(unit)
