# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory plugin on the sandbox cloud, run as a user runs it: through ansible-inventory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import ansible_collections.opennebula.flower.plugins as collection_plugins
import pytest
import yaml
from flow_cloud import Cloud

COLLECTIONS = next(
    str(folder.parent)
    for folder in Path(next(iter(collection_plugins.__path__))).parents
    if folder.name == "ansible_collections"
)


def inventory(
    cloud: Cloud, folder: Path, name: str = "fed.one.yml", **options: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Hosts with their variables, and groups with their hosts."""
    source = folder / name
    source.write_text(yaml.safe_dump({"plugin": "opennebula.flower.opennebula", **options}), encoding="utf-8")
    environment = {
        # Settings of whoever runs the tests would show in the variables.
        **{key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")},
        "ANSIBLE_COLLECTIONS_PATH": COLLECTIONS,
        "ANSIBLE_INVENTORY_UNPARSED_FAILED": "true",
        "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
        "ONE_URL": cloud.settings.api_url,
        "ONE_USERNAME": cloud.settings.username,
        "ONE_PASSWORD": cloud.settings.password,
        "ONEFLOW_URL": cloud.settings.oneflow_url,
    }
    command = [sys.executable, "-m", "ansible.cli.inventory", "-i", str(source), "--list"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise AssertionError(done.stderr)
    assert cloud.settings.password not in done.stdout + done.stderr
    listed = json.loads(done.stdout, object_hook=lambda item: item.get("__ansible_unsafe", item))
    variables = listed.pop("_meta")["hostvars"]
    return variables, {name: sorted(group.get("hosts", [])) for name, group in listed.items()}


@pytest.fixture(scope="module")
def federations(cloud: Cloud) -> dict[str, Any]:
    """Two services, the second without a mark, and three VMs without a service; hosts as one_service gives them."""
    hosts = {}
    for name, mark in (("inv-1", "one"), ("inv 2", None)):
        cloud.federation(name, gate=False, nodes=2)
        result = cloud.ok("one_service", name=name, template=name, mark=mark)
        hosts[name] = result["hosts"]
    number = cloud.vm_template("inv-alone")
    marked = {"FLOWER_FEDERATION": "one", "FLOWER_ROLE": "supernode"}
    for name, attributes in (("solo", {}), ("twin", marked), ("twin", {})):
        vm_id = int(cloud.connection.call("one.template.instantiate", number, name, False, attributes))
        cloud.wait(lambda vm_id=vm_id: is_running(cloud, vm_id), f"VM {vm_id} running")
    return hosts


def is_running(cloud: Cloud, vm_id: int) -> bool:
    return bool(cloud.ok("one_vm_info", ids=[vm_id])["vms"][0]["state"] == "RUNNING")


def as_modules_say(hosts: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, set[str]]]:
    groups: dict[str, set[str]] = {}
    for host in hosts:
        for group in host["groups"]:
            groups.setdefault(group, set()).add(host["name"])
    return {host["name"]: host["vars"] for host in hosts}, groups


def test_it_says_what_one_service_says(cloud: Cloud, federations: dict[str, Any], tmp_path: Path) -> None:
    hosts, groups = inventory(cloud, tmp_path, services=list(federations))
    expected_hosts, expected_groups = as_modules_say([host for found in federations.values() for host in found])
    assert len(expected_hosts) == 6
    assert hosts == expected_hosts
    for group, members in expected_groups.items():
        assert set(groups[group]) == members
    assert set(groups) == {*expected_groups, "all"}
    assert set(expected_groups) == {"superlink", "supernode", "federation_one", "federation_inv_2", "opennebula"}


def test_two_requests_however_many_services(
    cloud: Cloud, federations: dict[str, Any], tmp_path: Path
) -> None:
    cloud.sandbox.calls.reset()
    hosts, _groups = inventory(cloud, tmp_path, federations=["one"])
    assert cloud.sandbox.calls.total == 2
    assert set(hosts) == {host["name"] for host in federations["inv-1"]}


def test_machines_without_a_service(cloud: Cloud, federations: dict[str, Any], tmp_path: Path) -> None:
    cloud.sandbox.calls.reset()
    hosts, groups = inventory(cloud, tmp_path, include_standalone=True, service_groups=True)
    assert cloud.sandbox.calls.total == 2
    twins = sorted(name for name in hosts if name.startswith("twin-"))
    assert "solo" in hosts and len(twins) == 2
    assert groups["service_inv_2"] == sorted(host["name"] for host in federations["inv 2"])
    assert "one_role" not in hosts["solo"] and hosts["solo"]["ansible_host"]
    marked = [name for name in twins if hosts[name]["one_attributes"].get("FLOWER_FEDERATION")]
    assert len(marked) == 1 and marked[0] in groups["federation_one"] and marked[0] in groups["supernode"]
    only_one, _groups = inventory(cloud, tmp_path, include_standalone=True, federations=["one"])
    assert set(only_one) == {marked[0], *(host["name"] for host in federations["inv-1"])}


def test_machines_that_are_off(cloud: Cloud, federations: dict[str, Any], tmp_path: Path) -> None:
    victim = federations["inv-1"][2]
    cloud.connection.call("one.vm.action", "poweroff", victim["vars"]["one_vm_id"])
    cloud.in_state("inv-1", "WARNING")
    hosts, _groups = inventory(cloud, tmp_path, services=["inv-1"])
    assert victim["name"] not in hosts and len(hosts) == 2
    hosts, _groups = inventory(cloud, tmp_path, services=["inv-1"], states=["running", "poweroff"])
    assert victim["name"] in hosts
    cloud.connection.call("one.vm.action", "resume", victim["vars"]["one_vm_id"])
    cloud.in_state("inv-1", "RUNNING")


def test_names_groups_and_variables_of_ones_own(cloud: Cloud, federations: dict[str, Any], tmp_path: Path) -> None:
    hosts, groups = inventory(
        cloud, tmp_path, name="x.opennebula.yml", services=["inv-1"], hostname="address", role_groups=False,
        compose={"ansible_user": "'root'"}, keyed_groups=[{"prefix": "r", "key": "one_role"}],
        groups={"nodes": "one_role == 'supernode'"},
    )  # fmt: skip
    assert set(hosts) == {host["vars"]["ansible_host"] for host in federations["inv-1"]}
    assert "supernode" not in groups and len(groups["r_supernode"]) == 2 and groups["nodes"] == groups["r_supernode"]
    assert all(variables["ansible_user"] == "root" for variables in hosts.values())
    hosts, _groups = inventory(cloud, tmp_path, services=["inv-1"], hostname="vm", network="private")
    number = federations["inv-1"][0]["vars"]["one_service_id"]
    assert set(hosts) == {f"{node}_-service_{number}" for node in ("superlink_0", "supernode_0", "supernode_1")}


def test_the_cache_saves_the_requests(cloud: Cloud, federations: dict[str, Any], tmp_path: Path) -> None:
    options = {
        "services": ["inv-1"], "cache": True, "cache_plugin": "ansible.builtin.jsonfile",
        "cache_connection": str(tmp_path / "cache"),
    }  # fmt: skip
    cloud.update_vm(federations["inv-1"][0]["vars"]["one_vm_id"], API_TOKEN="hush-hush")
    first = inventory(cloud, tmp_path, **options)
    cloud.sandbox.calls.reset()
    assert inventory(cloud, tmp_path, **options) == first
    assert cloud.sandbox.calls.total == 0
    # Other filters on the same cache, and no secrets in the file.
    hosts, _groups = inventory(cloud, tmp_path, **{**options, "services": ["inv 2"]})
    assert set(hosts) == {host["name"] for host in federations["inv 2"]} and cloud.sandbox.calls.total == 0
    written = "".join(path.read_text(encoding="utf-8") for path in (tmp_path / "cache").iterdir())
    assert "superlink" in written and "hush-hush" not in written
    # A cache without the other VMs cannot answer this.
    hosts, _groups = inventory(cloud, tmp_path, **{**options, "services": [], "include_standalone": True})
    assert "solo" in hosts and cloud.sandbox.calls.total == 2


def test_a_wrong_password_is_one_sentence(cloud: Cloud, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="check api_username and api_password"):
        inventory(cloud, tmp_path, api_password="wrong")


def test_only_its_own_files_are_taken(cloud: Cloud, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="inventory source"):
        inventory(cloud, tmp_path, name="hosts.yml")
