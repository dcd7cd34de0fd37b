# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people read when something is wrong: one sentence that names what to do, and no secret."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleError, AnsibleParserError
from inventory_cloud import InventoryCloud, load_plugin

DEAD = "http://127.0.0.1:1"


def sentence(cloud: InventoryCloud, **options: Any) -> str:
    """The message with which reading fails, before anything is in the inventory."""
    with pytest.raises(AnsibleError) as caught:
        cloud.parse(path=cloud.source({**cloud.api, **options}))
    text = str(caught.value)
    assert "Errno" not in text
    assert cloud.settings.password not in text
    return text


def test_oneflow_is_not_there(cloud: InventoryCloud) -> None:
    cloud.vm("a")
    text = sentence(cloud, oneflow_url=DEAD)
    assert DEAD in text and text.endswith("on a cloud without OneFlow set use_oneflow to false") and "\n" not in text
    assert set(cloud.parse(path=cloud.source({**cloud.api, "oneflow_url": DEAD, "use_oneflow": False})).hosts) == {"a"}


def test_oneflow_swallows_requests(cloud: InventoryCloud) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        text = sentence(cloud, oneflow_url=f"http://127.0.0.1:{silent.getsockname()[1]}", api_timeout=1)
    assert "within 1 s" in text and text.endswith("set use_oneflow to false")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"use_oneflow": False, "api_url": f"{DEAD}/RPC2"}, "and that oned is running"),
        ({"use_oneflow": False, "api_password": "wrong"}, "check api_username and api_password"),
        ({"api_password": "wrong"}, "check api_username and api_password"),
        ({"api_url": "one.example.org"}, "api_url must be a URL such as"),
        ({"api_username": "", "api_password": "x"}, "api_username is missing"),
        ({"api_timeout": -1}, "api_timeout must be a positive number"),
        ({"ca_path": "/does/not/exist"}, "ca_path /does/not/exist does not exist"),
        ({"use_oneflow": False, "services": ["one", "7"]}, "names of services are known to OneFlow only"),
    ],
)
def test_one_sentence(cloud: InventoryCloud, options: dict[str, Any], expected: str) -> None:
    text = sentence(cloud, **options)
    assert expected in text and "\n" not in text


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("states", ["runing"]), ("group_by", ["labels"]), ("hostname", "name"), ("ip_version", "4"),
        ("match_labels", "some"), ("variables", ["nic"]),
    ],
)  # fmt: skip
def test_values_that_there_are_not(cloud: InventoryCloud, option: str, value: Any) -> None:
    assert option in sentence(cloud, **{option: value})


def test_the_cloud_is_not_named(cloud: InventoryCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ONE_URL", "ONE_XMLRPC"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(AnsibleParserError, match="set api_url"):
        cloud.parse(path=cloud.source({}))


def test_credentials_of_the_file_with_them(
    cloud: InventoryCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.vm("a")
    file = tmp_path / "one_auth"
    file.write_text(f"{cloud.settings.username}:{cloud.settings.password}\n", encoding="utf-8")
    monkeypatch.setenv("ONE_AUTH", os.fspath(file))
    options = {"api_url": cloud.settings.api_url, "oneflow_url": cloud.settings.oneflow_url}
    assert set(cloud.parse(path=cloud.source(options)).hosts) == {"a"}


def test_d27_a_password_may_have_colons(cloud: InventoryCloud) -> None:
    oned = cloud.sandbox.oned
    oned.call(oned.session_for(0), "one.user.allocate", "ann", "a:b:c", "")
    cloud.vm("a", owner=(oned.named("user", "ann").oid, 1))
    path = cloud.source({**cloud.api, "api_username": "ann", "api_password": "a:b:c"})
    assert set(cloud.parse(path=path).hosts) == {"a"}


def test_only_files_of_its_own_are_taken(tmp_path: Path) -> None:
    plugin = load_plugin()
    for name, taken in (
        ("a.one.yml", True), ("opennebula.yaml", True), ("my_opennebula.yml", True), ("hosts.yml", False),
        ("one.yml", False),
    ):  # fmt: skip
        path = tmp_path / name
        path.write_text("plugin: opennebula.flower.opennebula\n", encoding="utf-8")
        assert plugin.verify_file(str(path)) is taken, name


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"api_password": "wrong-one"}, "check api_username and api_password"),
        ({"oneflow_url": DEAD}, "set use_oneflow to false"),
        ({"states": ["runing"]}, "states"),
    ],
)
def test_what_ansible_inventory_prints(cloud: InventoryCloud, options: dict[str, Any], expected: str) -> None:
    done = cloud.process(**options)
    assert done.returncode and not done.stdout
    assert expected in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr and "wrong-one" not in done.stderr


def test_vms_left_out_are_told_to_those_who_ask(cloud: InventoryCloud) -> None:
    cloud.vm("bare", nics=[])
    assert "left out" not in "".join(cloud.listed().said)
    done = cloud.process("-v")
    assert "left out 1 VMs without a suitable address: bare (id 0)" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"filter_by_label": "web"}, "filter_by_label is not an option of this inventory plugin; use labels, a list"),
        ({"group_by_labels": True}, "group_by_labels is not an option of this inventory plugin; use group_by: [label]"),
        ({"api_authfile": "~/one_auth"}, "environment variable ONE_AUTH"),
        ({"lables": ["web"]}, "lables is not an option of this inventory plugin; did you mean labels?"),
        ({"xyzzy": 1}, "xyzzy is not an option of this inventory plugin; ansible-doc -t inventory"),
        ({True: 1}, "True is not an option"),
        ({"hostname": "v4_first_ip"}, "v4_first_ip is not a choice of this inventory plugin; use hostname: vm"),
        ({"hostname": "v6_first_ip"}, "and ip_version: ipv6"),
    ],
)
def test_what_the_file_may_not_say(cloud: InventoryCloud, options: dict[Any, Any], expected: str) -> None:
    with pytest.raises(AnsibleParserError) as caught:
        cloud.parse(path=cloud.source({**cloud.api, **options}))
    text = str(caught.value)
    assert expected in text and "\n" not in text
    assert cloud.sandbox.calls.total == 0


def test_every_option_of_the_plugin_and_its_fragments_may_be_said(cloud: InventoryCloud) -> None:
    plugin = load_plugin()
    plugin.set_options(direct={"plugin": "opennebula.flower.opennebula"})
    known = plugin.get_options()
    assert {"plugin", "compose", "keyed_groups", "strict", "leading_separator", "cache", "cache_prefix"} <= set(known)
    cloud.vm("a")
    # Through JSON, for Ansible's values know where they come from, and YAML cannot write such.
    given = json.loads(json.dumps({name: value for name, value in known.items() if value is not None}))
    assert set(cloud.parse(path=cloud.source({**given, **cloud.api})).hosts) == {"a"}


def test_ansible_inventory_refuses_an_unknown_key(cloud: InventoryCloud) -> None:
    done = cloud.process(filter_by_label="web")
    assert done.returncode and not done.stdout
    assert "use labels, a list" in " ".join(done.stderr.split()) and "Traceback" not in done.stderr


def warnings(cloud: InventoryCloud, **options: Any) -> list[str]:
    """What is said of options that match nothing; saying it takes no request."""
    cloud.sandbox.calls.reset()
    said = [line for line in cloud.parse(**options).said if "matches nothing" in line]
    assert cloud.sandbox.calls.total <= 3
    return [line.removeprefix("opennebula: ").partition(" matches")[0] for line in said]


def test_names_that_match_nothing_are_told(cloud: InventoryCloud) -> None:
    first, second = cloud.vm("a"), cloud.vm("b", state="poweroff")
    cloud.vm("alone", FLOWER_FEDERATION="fed", FLOWER_ROLE="tail")
    one = cloud.service("one", {"head": [first], "off": [second], "empty": []}, mark="mine")
    for option, known, unknown in (
        ("services", ["one", one], ["nope", 77]),
        ("federations", ["fed", "mine"], ["other"]),
        ("roles", ["head", "off", "empty", "tail"], ["heads"]),
        ("on_hosts", ["sandbox"], ["sandbox2"]),
        ("clusters", ["default", 0], ["elsewhere", 12]),
    ):
        assert warnings(cloud, **{option: known}) == [], option
        assert warnings(cloud, **{option: [*known, *unknown]}) == [f"{option} {value}" for value in unknown]
    assert warnings(cloud, network="private") == warnings(cloud, network=0) == []
    assert warnings(cloud, network="nope") == ["network nope"]
    # Of what only VMs know nothing can be said where none were read.
    assert warnings(cloud, services=["nope"], network="nope", roles=["x"]) == ["services nope"]
    assert warnings(cloud, services=[77], use_oneflow=False) == ["services 77"]
    assert warnings(cloud, services=[one], federations=["mine"], use_oneflow=False) == ["federations mine"]


def test_a_warning_reaches_the_terminal(cloud: InventoryCloud) -> None:
    cloud.vm("a")
    done = cloud.process(services=["nope"])
    assert not done.returncode, done.stderr
    assert "services nope matches nothing of what was read; check its spelling" in " ".join(done.stderr.split())


def test_oneflow_url_that_leads_to_oned(cloud: InventoryCloud) -> None:
    text = sentence(cloud, oneflow_url=cloud.settings.api_url.removesuffix("/RPC2"))
    assert "the answer is not one of OneFlow (HTTP 501 Not Implemented); check oneflow_url" in text
    assert "Error" not in text and "\n" not in text
