# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenNebula's own client library against the same endpoint: what works with it works with the cloud."""

from __future__ import annotations

from typing import Any

import pyone
import pytest
from ansible_collections.opennebula.flower.plugins.module_utils.one.api.connection import Connection, Settings
from ansible_collections.opennebula.flower.plugins.module_utils.one.core.pools import read_one, read_pool
from ansible_collections.opennebula.flower.plugins.module_utils.one.errors import OneAuthenticationError

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


def test_our_client_reads_what_pyone_reads(cloud: Cloud, ground: dict[str, Any]) -> None:
    """The modules have an XML-RPC client of their own; both must see the same."""
    one = _client(cloud)
    ours = Connection(Settings(cloud.url, cloud.username, cloud.password))
    vm = cloud.instantiate(ground["template"], hold=True)
    for pool, element, members in (
        ("one.vmpool.info", "VM", one.vmpool.info(-2, -1, -1, -1).VM),
        ("one.templatepool.info", "VMTEMPLATE", one.templatepool.info(-2, -1, -1).VMTEMPLATE),
    ):
        extra = (-1,) if element == "VM" else ()
        assert [int(body["ID"]) for body in read_pool(ours, pool, element, *extra)] == sorted(x.ID for x in members)
    body = read_one(ours, "one.vm.info", vm)
    assert body is not None
    assert body["NAME"] == one.vm.info(vm).NAME
    assert read_one(ours, "one.vm.info", 999_999) is None


def test_our_client_writes_what_pyone_reads(cloud: Cloud) -> None:
    one = _client(cloud)
    ours = Connection(Settings(cloud.url, cloud.username, cloud.password))
    note = 'say "hi" & <go>\tè'
    template = ours.call("one.template.allocate", {"NAME": cloud.name(), "CPU": "1", "MEMORY": "64", "NOTE": note})
    cloud.undo(lambda: cloud.ok("one.template.delete", template))
    assert one.template.info(template).TEMPLATE["NOTE"] == note
    with pytest.raises(OneAuthenticationError, match=f"user {cloud.username} is unknown there"):
        Connection(Settings(cloud.url, cloud.username, "wrong")).call("one.vm.info", 0)
