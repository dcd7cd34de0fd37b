# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client library that the modules use, against the same endpoint."""

from __future__ import annotations

from typing import Any

import pyone
import pytest

from .conformance_client import Cloud


def _client(cloud: Cloud, session: str | None = None) -> Any:
    return pyone.OneServer(cloud.url, session=session or cloud.session)


def test_objects(cloud: Cloud, ground: dict[str, Any]) -> None:
    one = _client(cloud)
    vm = one.vm.info(cloud.instantiate(ground["template"], hold=True))
    assert vm.STATE == 2
    assert vm.TEMPLATE["CONTEXT"]["FOO"] == "a b"
    assert vm.USER_TEMPLATE["DESCRIPTION"] == "t"
    image = one.image.info(cloud.image())
    assert (image.STATE, image.TYPE) == (1, 2)
    template = one.template.info(ground["template"])
    assert template.TEMPLATE["NIC"]["NETWORK"] == ground["net"]
    assert ground["host"] in [host.ID for host in one.hostpool.info().HOST]
    assert ground["vnet"] in [vnet.ID for vnet in one.vnpool.info(-2, -1, -1).VNET]
    assert 1 in [store.ID for store in one.datastorepool.info().DATASTORE]
    assert vm.ID in [item.ID for item in one.vmpool.infoextended(-2, -1, -1, -1).VM]


def test_exceptions(cloud: Cloud, ground: dict[str, Any]) -> None:
    one = _client(cloud)
    with pytest.raises(pyone.OneNoExistsException):
        one.vm.info(99999)
    with pytest.raises(pyone.OneAuthenticationException):
        _client(cloud, "oneadmin:wrong").vm.info(0)
    with pytest.raises(pyone.OneInternalException):
        one.template.allocate("CPU=1")
    with pytest.raises(pyone.OneActionException):
        one.vm.action("foo", cloud.instantiate(ground["template"], hold=True))
    with pytest.raises(pyone.OneException, match="it cannot be empty"):
        one.image.allocate('TYPE="DATABLOCK"\nSIZE="8"', 1)


def test_a_dictionary_as_template(cloud: Cloud) -> None:
    one = _client(cloud)
    body = {"NAME": cloud.name(), "CPU": "1", "MEMORY": "64", "NOTE": 'say "hi"', "CONTEXT": {"A": "b"}}
    template = one.template.allocate({"TEMPLATE": body})
    cloud.undo(lambda: cloud.ok("one.template.delete", template))
    info = one.template.info(template)
    assert info.TEMPLATE["NOTE"] == 'say "hi"'
    assert info.TEMPLATE["CONTEXT"]["A"] == "b"
