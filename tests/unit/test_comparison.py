# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/comparison.md is complete: every option and state of the peers has a line, and what a line names exists."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/comparison.md").read_text(encoding="utf-8")
TESTS = ROOT / "tests/unit/plugins"

# Options of the peers by file, in community.general 13.3, with the states and other choices that matter, for where
# it is not installed; what is installed counts besides.
API = "api_url api_username api_password"
SHARED = f"{API} validate_certs wait_timeout"
PEERS = {
    "one_image": f"{SHARED} id name state=present state=absent state=cloned state=renamed enabled new_name persistent "
    "create template datastore_id",
    "one_image_info": f"{SHARED} ids name",
    "one_template": f"{SHARED} id name template state=present state=absent filter=user_primary_group filter=user "
    "filter=all filter=user_groups",
    "one_vm": f"{API} template_name template_id vm_start_on_hold instance_ids state=present state=absent state=running "
    "state=rebooted state=poweredoff hard wait wait_timeout attributes labels count_attributes count_labels count "
    "exact_count mode owner_id group_id memory disk_size cpu vcpu networks disk_saveas persistent datastore_id "
    "datastore_name updateconf update_attributes",
    "one_service": f"{API} template_name template_id service_id service_name unique state=present state=absent mode "
    "owner_id group_id wait wait_timeout custom_attrs role cardinality force",
    "one_host": f"{SHARED} name state=absent state=present state=enabled state=disabled state=offline im_mad_name "
    "vmm_mad_name cluster_id cluster_name labels template",
    "one_vnet": f"{SHARED} id name template state=present state=absent",
    "opennebula (inventory)": f"plugin {API} api_authfile hostname=v4_first_ip hostname=v6_first_ip hostname=name "
    "filter_by_label group_by_labels",
}
ROW = re.compile(r"^\| (.*) \|$", re.MULTILINE)


def rows(title: str) -> list[list[str]]:
    """Cells of the table below a heading, its two first lines left out."""
    part = re.search(rf"^##+ {re.escape(title)}\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert part, f"there is no heading {title}"
    return [[cell.strip() for cell in row.split(" | ")] for row in ROW.findall(part.group(1))[2:]]


def documentation(file: Path) -> dict[str, Any]:
    """DOCUMENTATION of a module or plugin, from its syntax tree."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "DOCUMENTATION":
            found: dict[str, Any] = yaml.safe_load(ast.literal_eval(node.value))
            return found
    raise AssertionError(f"{file} has no DOCUMENTATION")


def installed(peer: str) -> set[str]:
    """What the installed community.general offers, states one by one; nothing where it is not installed."""
    package = importlib.util.find_spec("ansible_collections.community.general")
    places = list(package.submodule_search_locations or []) if package else []
    name = "inventory/opennebula" if peer.endswith("(inventory)") else f"modules/{peer}"
    found: set[str] = set()
    for place in places:
        for option, entry in documentation(Path(place) / f"plugins/{name}.py")["options"].items():
            listed = option in ("state", "filter", "hostname") and entry.get("choices")
            found |= {f"{option}={choice}" for choice in entry["choices"]} if listed else {option}
    return found


@pytest.mark.parametrize("peer", PEERS)
def test_every_option_of_a_peer_has_a_line(peer: str) -> None:
    named = [row[0].strip("`") for row in rows(peer)]
    assert len(named) == len(set(named)), "an option has two lines"
    assert set(PEERS[peer].split()) | installed(peer) <= set(named)


def our_options() -> set[str]:
    """`plugin.option`, `plugin.option=choice` and `plugin.option[].suboption` of all plugins, fragments included."""
    fragments = {file.stem: file for file in (ROOT / "plugins/doc_fragments").glob("*.py")}

    def of_fragment(name: str) -> dict[str, Any]:
        file, _dot, part = name.removeprefix("opennebula.flower.").partition(".")
        if file not in fragments:
            return {}
        source = fragments[file].read_text(encoding="utf-8")
        text = re.search(rf'{part.upper() or "DOCUMENTATION"} = r"""(.*?)"""', source, re.DOTALL)
        assert text, name
        return dict(yaml.safe_load(text.group(1)).get("options") or {})

    found: set[str] = set()
    files = [*(ROOT / "plugins/modules").glob("one_*.py"), ROOT / "plugins/inventory/opennebula.py"]
    for file in files:
        known = documentation(file)
        options = dict(known.get("options") or {})
        for fragment in known.get("extends_documentation_fragment", []):
            options.update(of_fragment(fragment))
        for option, entry in options.items():
            found.add(f"{file.stem}.{option}")
            found |= {f"{file.stem}.{option}={choice}" for choice in entry.get("choices", [])}
            found |= {f"{file.stem}.{option}[].{sub}" for sub in entry.get("suboptions", {})}
    return found


def test_every_option_of_ours_exists() -> None:
    known = our_options()
    named = set(re.findall(r"`((?:one_[a-z_]+|opennebula)\.[^`]+)`", PAGE))
    assert len(named) > 80
    assert not named - known


@pytest.mark.parametrize("peer", PEERS)
def test_every_line_says_what_is_ours_or_why_nothing_is(peer: str) -> None:
    for option, ours, proof in rows(peer):
        reason = ours.partition("no counterpart: ")[2]
        assert len(reason) > 20 or (ours and not ours.startswith("no counterpart")), option
        assert "::" in proof, option


def test_every_proof_exists() -> None:
    proofs = set(re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE))
    assert len(proofs) > 80
    missing = []
    for file, name in proofs:
        path = TESTS / file
        tree = ast.parse(path.read_text(encoding="utf-8")).body if path.is_file() else []
        if name not in {node.name for node in tree if isinstance(node, ast.FunctionDef)}:
            missing.append(f"{file}::{name}")
    assert not sorted(missing)


@pytest.mark.parametrize(
    ("title", "letter", "count"), [("Defects of the peers", "D", 29), ("Traps of OpenNebula", "T", 9)]
)
def test_every_defect_and_every_trap_has_its_named_test(title: str, letter: str, count: int) -> None:
    lines = rows(title)
    assert [row[0] for row in lines] == [f"{letter}{number}" for number in range(1, count + 1)]
    for row in lines:
        assert f"::test_{row[0].lower()}_" in row[-1], row[0]


def test_the_tasks_before_and_after_have_options_that_exist() -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    ours, counted = our_options(), {"community.general": 0, "opennebula.flower": 0}
    for task in (task for block in blocks for task in yaml.safe_load(block)):
        collection, _dot, module = next(key for key in task if key != "name").rpartition(".")
        counted[collection] += 1
        for option in task[f"{collection}.{module}"]:
            if collection == "opennebula.flower":
                assert f"{module}.{option}" in ours, task
            else:
                assert option in PEERS[module].split(), task
    assert all(count >= 2 for count in counted.values()), counted
