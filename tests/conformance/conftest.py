# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One suite for any cloud.

ONE_URL, ONE_USERNAME, ONE_PASSWORD (an administrator's), ONEFLOW_URL and ONEGATE_URL name the endpoint; without ONE_URL
a sandbox in this process is tested. The cloud must know the dummy drivers. Everything the tests need they make, and
remove. ONE_SANDBOX_HOME names the home of a sandbox in another process, whose OneGate tokens cannot be derived.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from .conformance_client import Cloud, from_environment


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "not_observed: no transcript of a real cloud covers this; it follows the upstream source"
    )


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """The cloud under test."""
    cloud = from_environment()
    if cloud is not None:
        yield cloud
        return
    from one_sandbox import Sandbox

    home = tmp_path_factory.mktemp("sandbox")
    with Sandbox(home, "dummy", boot_delay=0.05, image_delay=0.05, flow_interval=0.1) as sandbox:
        ends = sandbox.endpoints
        yield Cloud(
            ends.xmlrpc, ends.oneflow, ends.onegate, sandbox.username, sandbox.password, sandbox.oned.tokens.issue
        )


@pytest.fixture(scope="session")
def ground(endpoint: Cloud) -> Iterator[dict[str, Any]]:
    """What all tests share: a host, a network and a template that uses both. Removed at the end."""
    base = endpoint.fresh()
    try:
        host = base.ok("one.host.allocate", base.name(), "dummy", "dummy", 0)
        base.undo(lambda: base.ok("one.host.delete", host))
        base.until(lambda: base.xml("one.host.info", host).findtext("STATE") == "2", "host monitored", 60)
        net = base.name()
        vnet = base.ok(
            "one.vn.allocate",
            f'NAME="{net}"\nVN_MAD="dummy"\nBRIDGE="br0"\nAR=[TYPE="IP4",IP="10.77.0.10",SIZE="200"]\n'
            'NETWORK_ADDRESS="10.77.0.0"\nNETWORK_MASK="255.255.255.0"\nGATEWAY="10.77.0.1"\nDNS="10.77.0.1"',
            -1,
        )
        base.undo(lambda: base.ok("one.vn.delete", vnet))
        placed = f'SCHED_REQUIREMENTS="ID=\\"{host}\\""'
        template = base.template(
            f'{placed}\nNIC=[NETWORK="{net}"]\nCONTEXT=[NETWORK="YES",TOKEN="YES",FOO="a b"]\nDESCRIPTION="t"'
        )
        yield {"host": host, "vnet": vnet, "net": net, "template": template, "placed": placed}
    finally:
        base.clean()


@pytest.fixture
def cloud(endpoint: Cloud, ground: dict[str, Any]) -> Iterator[Cloud]:
    """The cloud for one test; what the test made through it goes at the end, also when it fails."""
    mine = endpoint.fresh()
    try:
        yield mine
    finally:
        mine.clean()


@pytest.fixture
def stranger(cloud: Cloud) -> str:
    """Session of an ordinary user who owns nothing."""
    name = cloud.name()
    user = cloud.ok("one.user.allocate", name, "secret", "core", [])
    cloud.undo(lambda: cloud.ok("one.user.delete", user))
    return f"{name}:secret"
