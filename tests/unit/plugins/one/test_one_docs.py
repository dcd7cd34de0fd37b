# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation that is true: every example of every plugin runs as it stands, and every option, every returned key and
every attribute is documented as it is."""

from __future__ import annotations

import functools
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "promises"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "flower"))

from audits import clean_audit
from example_play import run_playbook
from module_runner import MODULES
from proof_cloud import COLLECTIONS, ProofCloud, running

ROOT = Path(__file__).resolve().parents[4]
PREFIX = "opennebula.flower."


def names_of(kind: str) -> list[str]:
    return sorted(file.stem for file in (ROOT / "plugins" / kind).glob("*.py"))


NAMES = names_of("modules")
# Those that make what the others use come first, those that only read last.
FIRST = ("one_image", "one_template", "one_vm", "one_service_template", "one_service")
CLOUD = [*FIRST, *sorted(name for name in NAMES if name.startswith("one_") and name not in FIRST)]
ON_NODES = [name for name in NAMES if not name.startswith("one_")]

# Which test, of this file or of another one, executes the examples of which plugin. A plugin that is not here fails
# test_nothing_is_left_out.
EXECUTED = {
    **{f"modules/{name}": "test_the_examples_of_the_cloud_run" for name in CLOUD},
    **{f"modules/{name}": "test_the_examples_of_the_nodes_run" for name in ON_NODES},
    "inventory/opennebula": "inventory/test_inventory_examples.py::test_ansible_inventory_takes_the_example",
    **{f"filter/{name}": "one/test_filter_examples.py::test_the_example_runs" for name in names_of("filter")},
}


def test_nothing_is_left_out() -> None:
    """The examples of every plugin that the file system holds are executed by a test that exists."""
    kinds = ("modules", "inventory", "filter", "lookup", "callback", "connection", "test")
    found = {f"{kind}/{name}" for kind in kinds for name in names_of(kind)}
    assert found == set(EXECUTED)
    for test in EXECUTED.values():
        file, _colons, name = test.rpartition("::")
        place = Path(__file__).parents[1] / file
        assert name in globals() or f"def {name}(" in place.read_text(encoding="utf-8"), test


@functools.cache
def all_documentation() -> dict[str, Any]:
    """Return what ansible-doc says of all modules. In a process of its own: loading plugins here would change how
    modules report warnings."""
    code = "import sys; from ansible.cli.doc import main; sys.exit(main())"
    result = subprocess.run(
        [sys.executable, "-c", code, "--json", "-t", "module", *(f"{PREFIX}{name}" for name in NAMES)],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": COLLECTIONS, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def documentation(name: str) -> dict[str, Any]:
    found: dict[str, Any] = all_documentation()[f"{PREFIX}{name}"]["doc"]
    return found


def text_of(name: str, part: str) -> Any:
    """EXAMPLES or RETURN of a module as data."""
    return yaml.safe_load(getattr(importlib.import_module(f"{MODULES}.{name}"), part))


def tasks_of(name: str) -> list[dict[str, Any]]:
    """The tasks among its examples that call the module itself."""
    return [task for task in text_of(name, "EXAMPLES") if f"{PREFIX}{name}" in task]


def argument_spec(name: str) -> dict[str, dict[str, Any]]:
    """Return what a module passes to AnsibleModule."""
    module = importlib.import_module(f"{MODULES}.{name}")
    with (
        mock.patch.object(module, "AnsibleModule", side_effect=InterruptedError) as made,
        pytest.raises(InterruptedError),
    ):
        module.main()
    found: dict[str, dict[str, Any]] = made.call_args.kwargs["argument_spec"]
    return found


# -- options and attributes ----------------------------------------------------------------------------------------


def compare_options(options: dict[str, Any], spec: dict[str, Any], place: str) -> None:
    assert set(options) == set(spec), place
    for option, found in spec.items():
        written, where = options[option], f"{place}.{option}"
        assert written.get("type", "str") == found.get("type", "str"), where
        assert written.get("default") == found.get("default"), where
        assert sorted(written.get("choices", [])) == sorted(found.get("choices", [])), where
        assert written.get("elements") == found.get("elements"), where
        assert sorted(written.get("aliases", [])) == sorted(found.get("aliases", [])), where
        assert bool(written.get("required")) == bool(found.get("required")), where
        assert written.get("description"), where
        if found.get("options"):
            compare_options(written["suboptions"], found["options"], where)


@pytest.mark.parametrize("name", NAMES)
def test_options_are_documented_as_they_are(name: str) -> None:
    compare_options(documentation(name)["options"], argument_spec(name), name)


@pytest.mark.parametrize("name", NAMES)
def test_every_module_says_what_it_supports(name: str) -> None:
    attributes = documentation(name)["attributes"]
    assert {"check_mode", "diff_mode"} <= set(attributes), name
    assert all(one["support"] in ("full", "partial", "none", "N/A") for one in attributes.values()), name
    assert attributes["check_mode"]["support"] == "full", name
    if name in CLOUD:
        assert "idempotent" in attributes and "action_group" in attributes, name
        assert attributes["diff_mode"]["support"] == ("N/A" if name.endswith("_info") else "full"), name


def test_every_module_of_the_cloud_is_in_the_action_group() -> None:
    runtime = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text(encoding="utf-8"))
    assert sorted(runtime["action_groups"]["opennebula"]) == sorted(CLOUD)


# -- examples and returned values of the modules for the cloud -----------------------------------------------------


def before_images(cloud: ProofCloud) -> None:
    cloud.ok("one_template", name="debian-12", template={"CPU": 0.1, "MEMORY": 64, "NIC": [{"NETWORK": "private"}]})


def before_service_templates(cloud: ProofCloud) -> None:
    for name in ("mnist-superlink", "mnist-supernode"):
        cloud.ok("one_template", name=name, template={"CPU": 0.1, "MEMORY": 64, "CONTEXT": {"TOKEN": True}})


def before_services(cloud: ProofCloud) -> None:
    roles = [
        {"name": "superlink", "template": "mnist-superlink", "cardinality": 1},
        {"name": "supernode", "template": "mnist-supernode", "cardinality": 2, "parents": ["superlink"]},
    ]
    for role in roles:
        role.update(template_contents={"NIC": [{"NETWORK_ID": "$Private"}]}, cooldown=1)
    networks = {"Private": "private"}
    gated = {"deployment": "straight", "ready_status_gate": True, "networks": networks, "roles": roles}
    cloud.ok("one_service_template", name="mnist", template=gated, mark="mnist")
    inputs = {"ONEAPP_FL_NUM_ROUNDS": "M|number|rounds||", "ONEAPP_FL_TLS_ENABLED": "O|boolean|tls||YES"}
    appliance = {"networks": networks, "user_inputs": inputs, "roles": roles}
    cloud.ok("one_service_template", name="Flower Federated Learning", template=appliance)


PREPARE = {
    "one_image": before_images,
    "one_service_template": before_service_templates,
    "one_service": before_services,
}
# Read at the end of the walk, so that keys of objects in full bloom are seen as well.
LOOKS: dict[str, dict[str, Any]] = {"one_image": {"id": 0}, "one_template": {"id": 0}, "one_service": {"name": "mnist"}}

Walk = dict[str, list[tuple[str, dict[str, Any]]]]


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    """Results of all examples, run in their order on a cloud that holds what they take for granted."""
    results: Walk = {name: [] for name in CLOUD}
    with running(tmp_path_factory.mktemp("examples")) as cloud:
        for name in CLOUD:
            PREPARE.get(name, lambda cloud: None)(cloud)
            for task in tasks_of(name):
                results[name].append((task["name"], cloud.run(name, **(task[f"{PREFIX}{name}"] or {}))))
        for name in CLOUD:
            if name.endswith("_info"):
                results[name].append(("everything", cloud.run(name)))
        for name, params in LOOKS.items():
            wait = {"wait_for": "none"} if name == "one_service" else {}
            results[name].append(("a look", cloud.run(name, **params, **wait)))
        yield results


@pytest.mark.parametrize("name", CLOUD)
def test_the_examples_of_the_cloud_run(walk: Walk, name: str) -> None:
    assert walk[name], f"{name} has no example"
    failed = {title: result["msg"] for title, result in walk[name] if result.get("failed")}
    assert not failed, name


@pytest.mark.parametrize("name", CLOUD)
def test_every_example_of_a_change_is_one(walk: Walk, name: str) -> None:
    """Examples of modules that change something really do, or they would show nothing; those of the others never."""
    changes = [result["changed"] for _title, result in walk[name]]
    assert any(changes) is not name.endswith("_info"), name


# Keys of the machinery, not of the module.
COMMON = {"changed", "diff", "invocation", "failed", "warnings", "deprecations"}
TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,), "int": (int,), "float": (float, int), "bool": (bool,), "list": (list,), "dict": (dict,),
}  # fmt: skip


def undocumented(found: dict[str, Any], written: dict[str, Any], place: str, seen: set[str]) -> Iterator[str]:
    """Faults of one returned mapping; the documented keys that it holds are added to `seen`."""
    for key, value in found.items():
        where = f"{place}.{key}" if place else key
        if key not in written:
            yield f"{where} is returned and not documented"
            continue
        seen.add(where)
        entry = written[key]
        if value is not None and not isinstance(value, TYPES.get(entry["type"], (object,))):
            yield f"{where} is {type(value).__name__} and documented as {entry['type']}"
        if "contains" in entry:
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, dict) and item:
                    yield from undocumented(item, entry["contains"], where, seen)


def never_returned(written: dict[str, Any], place: str, seen: set[str]) -> Iterator[str]:
    """Documented keys that were in no result and are not marked as returned only sometimes."""
    for key, entry in written.items():
        where = f"{place}.{key}" if place else key
        if where in seen:
            yield from never_returned(entry.get("contains", {}), where, seen)
        elif entry.get("returned", "success") in ("success", "always"):
            yield f"{where} is documented and was never returned"


@pytest.mark.parametrize("name", CLOUD)
def test_returned_keys_are_documented_as_they_are(walk: Walk, name: str) -> None:
    """At every depth: each key that a run returns is documented with its type, and each documented key was returned."""
    written, seen, faults = text_of(name, "RETURN"), set[str](), set[str]()
    for _title, result in walk[name]:
        if not result.get("failed"):
            own = {key: value for key, value in result.items() if key not in COMMON}
            faults |= set(undocumented(own, written, "", seen))
    assert not sorted(faults | set(never_returned(written, "", seen))), name


# -- examples of everything else -----------------------------------------------------------------------------------

# Stands for the program on a VM; the agent's own tests say what the real one does.
FLOWER_OPS = """#!/bin/sh
cat >/dev/null
case "$1 $2" in
  "configure --json") echo '{"changed": true, "facts": {"role": "superlink", "ready": true, "vm_id": "0"}}' ;;
  "member list") echo '{"supernodes": [{"status": "online"}, {"status": "online"}], "num_partitions": 2}' ;;
  audit*) echo '{"seconds": 1.5}' ;;
  "run connection") echo '{"address": "127.0.0.1:9093", "profile": "[superlink.hospital]"}' ;;
  "run info") echo '{"runs": [], "warnings": []}' ;;
  "training list") echo '[]' ;;
  training*) echo '{"training": "night", "state": "waiting", "finished": false, "changed": true, "runs": []}' ;;
  rotate*) echo '{"changed": true, "replaced": []}' ;;
  member*) echo '{"changed": true, "member": {"name": "node-1"}, "num_partitions": 2}' ;;
esac
"""
# What these would do takes a package index, an archive, or a SuperLink.
CHECKED = {"flower_apps", "flower_run", "flower_venv", "flower_wheelhouse"}


def test_the_examples_of_the_nodes_run(tmp_path: Path) -> None:
    program = tmp_path / "flower/venv/bin/flower-ops"
    program.parent.mkdir(parents=True)
    (tmp_path / "flower/apps").mkdir()
    program.write_text(FLOWER_OPS, encoding="utf-8")
    program.chmod(0o755)
    tasks = []
    for name in ON_NODES:
        found = tasks_of(name)
        assert found, f"{name} has no example"
        tasks += [{**task, "check_mode": True} if name in CHECKED else task for task in found]
    stand_ins = {"binary": str(program), "flower_home": str(tmp_path / "flower")}
    defaults = {
        f"{PREFIX}{name}": {key: value for key, value in stand_ins.items() if key in argument_spec(name)}
        for name in ON_NODES
    }
    run = {"run_id": "5", "status": "finished:completed", "rounds": [], "app": {"name": "digits"}}
    audited = {f"audit_{key}": value for key, value in clean_audit().items()}
    known = {"training": run, "audit_salt": "00" * 16, **audited}
    done = run_playbook(tmp_path, tasks, module_defaults=defaults, vars=known)
    assert not done.returncode, done.stdout + done.stderr
    assert all(f"TASK [{task['name']}" in done.stdout for task in tasks)
    assert (tmp_path / "playbooks/reports/training.html").is_file()
