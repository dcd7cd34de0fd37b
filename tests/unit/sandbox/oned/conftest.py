# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One cloud of the dummy driver for a whole test module, and clients for it."""

from __future__ import annotations

import time
import xmlrpc.client
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from one_sandbox import Sandbox
from one_sandbox.drivers.dummy import DummyDriver
from one_sandbox.oned.template import xml_to_dict


class Failure(Exception):
    """An error answer: its five elements."""

    def __init__(self, answer: list[Any]) -> None:
        super().__init__(answer[1])
        self.answer = answer
        self.text, self.code, self.oid = answer[1], answer[2], answer[3]


@dataclass
class Client:
    """Calls of one user; the method name without "one."."""

    url: str
    session: str

    def __call__(self, method: str, *args: Any) -> Any:
        with xmlrpc.client.ServerProxy(self.url) as proxy:
            answer = getattr(proxy, f"one.{method}")(self.session, *args)
        if not answer[0]:
            assert len(answer) == 5
            raise Failure(answer)
        assert len(answer) == 3 and answer[2] == 0
        return answer[1]

    def read(self, method: str, *args: Any) -> Any:
        """The answer as nested dicts, without the root."""
        (body,) = xml_to_dict(self(method, *args)).values()
        return body

    def fails(self, method: str, *args: Any) -> Failure:
        """The error answer of a call that must fail."""
        with pytest.raises(Failure) as caught:
            self(method, *args)
        return caught.value

    def wait(self, method: str, oid: int, **wanted: str) -> dict[str, Any]:
        """Read until the fields have these values."""
        deadline = time.monotonic() + 5
        while True:
            body: dict[str, Any] = self.read(method, oid)
            if all(body.get(name) == value for name, value in wanted.items()):
                return body
            assert time.monotonic() < deadline, f"{wanted} never came: {body}"
            time.sleep(0.01)

    def running(self, oid: int) -> dict[str, Any]:
        """The VM, once it runs."""
        return self.wait("vm.info", oid, STATE="3", LCM_STATE="3")


def dummy_of(cloud: Sandbox) -> DummyDriver:
    """The dummy driver of a cloud, with its switches for faults."""
    found = cloud.drivers["dummy"]
    assert isinstance(found, DummyDriver)
    return found


MakeCloud = Callable[..., Sandbox]


@pytest.fixture(scope="module")
def make_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeCloud]:
    """A fast cloud; stopped at the end of the module."""
    clouds: list[Sandbox] = []

    def make(**options: Any) -> Sandbox:
        options.setdefault("home", tmp_path_factory.mktemp("cloud"))
        fast = {"boot_delay": 0.02, "image_delay": 0.02, "flow_interval": 0.5, "monitor_interval": 0.1}
        cloud = Sandbox(**{**fast, **options})
        cloud.start()
        clouds.append(cloud)
        return cloud

    yield make
    for cloud in clouds:
        cloud.stop()


@pytest.fixture(scope="module")
def cloud(make_cloud: MakeCloud) -> Sandbox:
    """The module's cloud."""
    return make_cloud()


@pytest.fixture(scope="module")
def one(cloud: Sandbox) -> Client:
    """The administrator."""
    return Client(cloud.endpoints.xmlrpc, f"{cloud.username}:{cloud.password}")


@pytest.fixture(scope="module")
def alice(cloud: Sandbox, one: Client) -> Client:
    """An ordinary user with a colon in her password."""
    one("user.allocate", "alice", "pw:with:colons", "core", [])
    return Client(cloud.endpoints.xmlrpc, "alice:pw:with:colons")
