# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Defects of another collection's inventory plugin that ours must never have: run as users run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from proof_cloud import COLLECTIONS, ProofCloud


def inventory(cloud: ProofCloud, folder: Path, api: dict[str, str] | None = None, **options: Any) -> dict[str, Any]:
    """Variables by host, as ansible-inventory lists them."""
    connection = api or cloud.api
    source = folder / "proof.one.yml"
    source.write_text(yaml.safe_dump({"plugin": "opennebula.flower.opennebula", **options}), encoding="utf-8")
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")},
        "ANSIBLE_COLLECTIONS_PATH": COLLECTIONS,
        "ANSIBLE_INVENTORY_UNPARSED_FAILED": "true",
        "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
        "ONE_URL": connection["api_url"],
        "ONE_USERNAME": connection["api_username"],
        "ONE_PASSWORD": connection["api_password"],
        "ONEFLOW_URL": connection["oneflow_url"],
    }
    done = subprocess.run(
        [sys.executable, "-m", "ansible.cli.inventory", "-i", str(source), "--list"],
        env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert not done.returncode, done.stderr
    listed = json.loads(done.stdout, object_hook=lambda item: item.get("__ansible_unsafe", item))
    found: dict[str, Any] = listed["_meta"]["hostvars"]
    return found


def test_d29_labels_match_names_repeat_and_addresses_lack(cloud: ProofCloud, tmp_path: Path) -> None:
    """Elsewhere: a label is rewritten before it is compared, so one with a hyphen never matches; VMs of one name
    overwrite each other; a VM without an address becomes a host whose address is `False`.

    Ours: labels are compared as they are, every VM is a host of its own, and a VM without an address is no host.
    """
    template = cloud.vm_template()
    number = cloud.id_of_template(template)
    name = cloud.name("twin")
    labelled = {"LABELS": "my-label"}
    ids = [
        int(cloud.admin.call("one.template.instantiate", number, name, False, labelled, False)) for _turn in range(2)
    ]
    without = int(cloud.admin.call("one.template.instantiate", number, f"{name}-bare", False, {**labelled}, False))
    bare = {"CPU": "0.1", "MEMORY": "64", "NAME": cloud.name("bare"), "CONTEXT": {"TOKEN": "YES"}}
    nameless = cloud.id_of_template(cloud.vm_template())
    cloud.admin.call("one.template.update", nameless, {key: bare[key] for key in ("CPU", "MEMORY", "CONTEXT")}, 0)
    alone = int(cloud.admin.call("one.template.instantiate", nameless, bare["NAME"], False, labelled, False))
    wanted = [*ids, without, alone]
    cloud.wait(
        lambda: all(vm["state"] == "RUNNING" for vm in cloud.ok("one_vm_info", ids=wanted)["vms"]), "VMs running"
    )
    hosts = inventory(cloud, tmp_path, include_standalone=True, labels=["my-label"])
    assert sorted(host["one_vm_id"] for host in hosts.values()) == sorted([*ids, without])
    assert {f"{name}-{vm_id}" for vm_id in ids} <= set(hosts)
    assert all(isinstance(host["ansible_host"], str) and host["ansible_host"] for host in hosts.values())
    assert inventory(cloud, tmp_path, include_standalone=True, labels=["my_label"]) == {}


def test_d27_a_password_with_a_colon_opens_the_inventory(cloud: ProofCloud, tmp_path: Path) -> None:
    """Elsewhere: the inventory refuses a password with a colon. Ours takes it as it is."""
    assert inventory(cloud, tmp_path, api=cloud.user("colon-inventory", "x:y:z"), include_standalone=True) == {}
