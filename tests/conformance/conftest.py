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
from pathlib import Path
from typing import Any

import pytest

from .conformance_client import Cloud, from_environment
from .journal import JOURNAL

HERE = Path(__file__).parent


def pytest_configure(config: pytest.Config) -> None:
    for marker in (
        "not_observed: no transcript of a real cloud covers this; it follows the upstream source",
        "needs_whole_run: judges all the other tests of this folder, so it runs last, and only with all of them",
    ):
        config.addinivalue_line("markers", marker)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    judges = [item for item in items if item.get_closest_marker("needs_whole_run")]
    others = [item for item in items if item not in judges]
    chosen = {item.path for item in others}
    chosen_by_name = config.option.keyword or config.option.markexpr or any("::" in arg for arg in config.args)
    whole = not chosen_by_name and set(HERE.glob("test_*.py")) <= chosen | {item.path for item in judges}
    items[:] = [*others, *judges] if whole else others
    if not whole:
        config.hook.pytest_deselected(items=judges)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    if HERE in item.path.parents:
        JOURNAL.begin(item.nodeid.removeprefix("tests/conformance/"))
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    if call.excinfo is not None and HERE in item.path.parents and not item.get_closest_marker("needs_whole_run"):
        JOURNAL.differs(call.excinfo.exconly())
    return (yield)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not JOURNAL.calls:
        return
    cloud = from_environment()
    terminalreporter.section(f"calls of {cloud.url if cloud else 'the sandbox'}")
    for line in JOURNAL.table():
        terminalreporter.write_line(line)


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
        base.until(lambda: base.xml("one.vn.info", vnet).findtext("STATE") == "1", "network READY")
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
