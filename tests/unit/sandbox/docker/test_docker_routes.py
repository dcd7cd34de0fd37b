# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A network is not made where the host sends its addresses elsewhere: its machines would wait in vain for answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from one_sandbox.drivers import DriverError
from one_sandbox.drivers import docker as driver
from one_sandbox.drivers.routes import holder

HEAD = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
TABLE = (
    HEAD
    + "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
    + "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    + "br-1\t00631EAC\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    + "tun0\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0\n"
)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    place = tmp_path / "route"
    place.write_text(TABLE)
    return place


@pytest.mark.parametrize(
    ("subnet", "expected"),
    [
        ("172.30.99.0/24", "br-1"),
        ("172.30.0.0/16", "br-1"),
        ("172.30.99.128/25", None),
        ("172.30.98.0/24", None),
        ("10.77.0.0/16", None),
        ("10.0.0.0/8", "tun0"),
        ("192.0.2.0/24", "eth0"),
        ("192.168.1.0/24", None),
    ],
)
def test_the_interface_that_has_the_addresses(table: Path, subnet: str, expected: str | None) -> None:
    assert holder(subnet, table) == expected


def test_a_host_without_the_table_says_nothing(tmp_path: Path) -> None:
    assert holder("172.30.99.0/24", tmp_path / "none") is None


class FakeEngine:
    """Has no networks, and must not be asked for one."""

    networks = property(lambda self: self)

    def list(self, **unused: Any) -> list[Any]:
        return []


def test_no_network_is_made_on_addresses_in_use(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "holder", lambda subnet: holder(subnet, table))
    made = driver.DockerDriver("home", "one-sandbox", "172.30.99.0/24")
    made._connection = FakeEngine()  # type: ignore[assignment]
    with pytest.raises(DriverError, match=r"172\.30\.99\.0/24 .* by the interface br-1 .*sandbox_subnet"):
        made.prepare_network({"NAME": "private", "BRIDGE": "one-sandbox"})
