# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""flower_supernode and flower_supernode_info on a SuperLink in a folder, with a flwr that registers as Flower does."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.opennebula.flower.plugins.modules import flower_supernode, flower_supernode_info
from flower_ops import profiles
from membership_support import KEYS

PACKAGE = Path(profiles.__file__).parents[1]
FLWR = """#!{python}
import json, pathlib, sys
state = pathlib.Path({state!r})
nodes = json.loads(state.read_text()) if state.exists() else {{}}
action, words = sys.argv[2], sys.argv[3:]
answer = {{"success": True}}
if action == "register":
    key = pathlib.Path(words[0]).read_text().strip()
    if any(node["key"] == key for node in nodes.values()):
        answer = {{"success": False, "error-message": "[code: 23] Public key already in use."}}
    else:
        answer["node-id"] = 100 + len(nodes)
        nodes[str(answer["node-id"])] = {{"key": key, "status": "registered"}}
elif action == "unregister":
    nodes[words[0]]["status"] = "unregistered"
else:
    present = [item for item in nodes.items() if item[1]["status"] != "unregistered"]
    answer["nodes"] = [{{"node-id": name, "status": node["status"]}} for name, node in present]
state.write_text(json.dumps(nodes))
print(json.dumps(answer))
"""
COMMAND = """#!{python}
import sys
from functools import partial
sys.path.insert(0, {package!r})
from flower_ops.cli import main
from flower_ops.membership import member_command
# There is no account of the service on the machine of a test.
member_command.FlwrCli = partial(member_command.FlwrCli, user=None)
sys.exit(main([*sys.argv[1:], "--root", {root!r}]))
"""


class Host:
    """The host of a SuperLink; `flower` is what Flower has registered, by node id."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root = folder / "root"
        self.state = folder / "state.json"
        self._capsys = capsys
        (self.root / "etc/flower-ops").mkdir(parents=True)
        (self.root / "etc/flower-ops/federation.json").write_text('{"auth": true, "num_partitions": 2}')
        flwr = self.root / "opt/flower/venv/bin/flwr"
        flwr.parent.mkdir(parents=True)
        flwr.write_text(FLWR.format(python=sys.executable, state=str(self.state)))
        self.binary = folder / "flower-ops"
        self.binary.write_text(COMMAND.format(python=sys.executable, package=str(PACKAGE), root=str(self.root)))
        for program in (flwr, self.binary):
            program.chmod(0o755)

    @property
    def flower(self) -> dict[str, Any]:
        """Registrations of Flower."""
        return dict(json.loads(self.state.read_text())) if self.state.exists() else {}

    def run(self, module: Any, check: bool = False, **arguments: Any) -> dict[str, Any]:
        """Result of a module."""
        given = {"binary": str(self.binary), **arguments, "_ansible_check_mode": check, "_ansible_diff": True}
        with patch_module_args(given), pytest.raises(SystemExit):
            module.main()
        return dict(json.loads(self._capsys.readouterr().out))

    def node(self, check: bool = False, **arguments: Any) -> dict[str, Any]:
        """flower_supernode for the node n of site b."""
        return self.run(flower_supernode, check, **{"site": "b", "name": "n", **arguments})

    def opened(self) -> str:
        """What the firewall lets in."""
        return (self.root / "etc/flower-ops/firewall.d/members.nft").read_text()


@pytest.fixture
def host(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Host:
    """See Host."""
    return Host(tmp_path, capsys)


def test_a_foreign_node_is_registered_listed_and_removed(host: Host) -> None:
    predicted = host.node(check=True, public_key=KEYS[0], addresses=["203.0.113.7"])
    assert predicted["changed"] and predicted["member"]["partition_id"] == 0 and host.flower == {}
    first = host.node(public_key=KEYS[0], addresses=["203.0.113.7"])
    assert first["changed"] and first["member"]["node_id"] == "100" and first["num_partitions"] == 2
    assert "203.0.113.7" in host.opened() and '"name": "n"' in first["diff"][0]["after"]
    # Said again, with or without its addresses, it is nothing new.
    for again in ({"addresses": ["203.0.113.7"]}, {}):
        assert host.node(public_key=KEYS[0], **again)["changed"] is False
    listed = host.run(flower_supernode_info)["supernodes"]
    assert [(row["site"], row["name"], row["status"], row["addresses"]) for row in listed] == [
        ("b", "n", "registered", ["203.0.113.7"])
    ]
    assert host.node(check=True, state="absent")["changed"] and "203.0.113.7" in host.opened()
    assert host.node(state="absent")["changed"] and "203.0.113.7" not in host.opened()
    assert host.node(state="absent")["changed"] is False
    assert host.run(flower_supernode_info)["supernodes"] == []


def test_addresses_are_replaced_and_taken_away(host: Host) -> None:
    host.node(public_key=KEYS[0], addresses=["203.0.113.7"])
    assert host.node(public_key=KEYS[0], addresses=["2001:db8::/64"])["changed"]
    assert "2001:db8::/64" in host.opened() and "203.0.113.7" not in host.opened()
    assert host.node(public_key=KEYS[0], addresses=[])["changed"] and "add element" not in host.opened()
    assert len(host.flower) == 1


@pytest.mark.parametrize("wrong", ["hospital-b.example", "203.0.113.7/24", "0.0.0.0/0"])
def test_wrong_addresses_are_refused_before_anything_is_registered(host: Host, wrong: str) -> None:
    answer = host.node(public_key=KEYS[0], addresses=[wrong])
    assert answer["failed"] and wrong in answer["msg"] and host.flower == {}


def test_a_key_that_was_removed_is_refused_with_the_way_out(host: Host) -> None:
    host.node(public_key=KEYS[0])
    host.node(state="absent")
    answer = host.node(public_key=KEYS[0])
    assert answer["failed"] and "takes a key only once" in answer["msg"]
    assert host.node(public_key=KEYS[1])["member"]["partition_id"] == 0


def test_another_key_replaces_the_first_and_no_two_nodes_share_one(host: Host) -> None:
    host.node(public_key=KEYS[0])
    assert host.node(public_key=KEYS[1])["member"]["node_id"] == "101"
    assert [node["status"] for node in host.flower.values()] == ["unregistered", "registered"]
    answer = host.node(name="m", public_key=KEYS[1])
    assert answer["failed"] and "belongs to another node" in answer["msg"]
    assert host.node(name="m", public_key=KEYS[2])["member"]["partition_id"] == 1
    assert "All 2 partitions are in use" in host.node(name="o", public_key=KEYS[3])["msg"]
