# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the OneFlow modules that is true: examples run as they stand, options and results are as written."""

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

import pytest
import yaml
from flow_cloud import Cloud
from module_runner import MODULES
from one_sandbox.sandbox import Sandbox

INFO = ("one_service_info", "one_service_template_info")
CHANGING = ("one_service_template", "one_service")
NAMES = (*CHANGING, *INFO)


@functools.cache
def all_documentation() -> dict[str, Any]:
    """What ansible-doc says, in a process of its own: loading plugins here would change how modules report warnings."""
    collection = next(path for path in sys.path if (Path(path) / "ansible_collections" / "opennebula").is_dir())
    code = "import sys; from ansible.cli.doc import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "--json", "-t", "module", *(f"opennebula.flower.{name}" for name in NAMES)],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": collection, "LC_ALL": "C.UTF-8"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def empty_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A sandbox of this file's own, with what the examples take for granted."""
    home = tmp_path_factory.mktemp("docs")
    with Sandbox(home, driver="dummy", boot_delay=0.05, image_delay=0.05, flow_interval=0.1) as sandbox:
        cloud = Cloud(sandbox)
        for name in ("mnist-superlink", "mnist-supernode"):
            cloud.vm_template(name)
        appliance = {
            "networks": {"Private": "M|network|net||id:0"},
            "user_inputs": {
                "ONEAPP_FL_NUM_ROUNDS": "O|number|rounds||3", "ONEAPP_FL_TLS_ENABLED": "O|boolean|tls||YES",
            },
            "roles": [{"name": "supernode", "template": "mnist-supernode", "cardinality": 2, "cooldown": 1}],
        }  # fmt: skip
        cloud.ok("one_service_template", name="Flower Federated Learning", template=appliance)
        yield cloud


@pytest.mark.parametrize("name", NAMES)
def test_options_are_documented_as_they_are(name: str) -> None:
    written = all_documentation()[f"opennebula.flower.{name}"]["doc"]["options"]
    module = importlib.import_module(f"{MODULES}.{name}")
    spec = module.argument_spec() if hasattr(module, "argument_spec") else module.flow_info_argument_spec()
    _compare(written, spec)


def _compare(written: dict[str, Any], spec: dict[str, Any]) -> None:
    assert set(written) == set(spec)
    for option, found in spec.items():
        said = written[option]
        assert said.get("type", "str") == found.get("type", "str"), option
        assert said.get("default") == found.get("default"), option
        assert sorted(said.get("choices", [])) == sorted(found.get("choices", [])), option
        assert said.get("elements") == found.get("elements"), option
        assert said.get("aliases", []) == found.get("aliases", []), option
        if "options" in found:
            _compare(said["suboptions"], found["options"])


@pytest.mark.parametrize("name", NAMES)
def test_every_module_is_in_the_action_group(name: str) -> None:
    runtime = yaml.safe_load((Path(__file__).parents[4] / "meta" / "runtime.yml").read_text())
    assert name in runtime["action_groups"]["opennebula"]


def test_the_examples_run_from_first_to_last(empty_cloud: Cloud) -> None:
    """Those of service templates end with removing what those of services need, so services come in between."""
    tasks = {name: yaml.safe_load(importlib.import_module(f"{MODULES}.{name}").EXAMPLES) for name in NAMES}
    order = [("one_service_template", task) for task in tasks["one_service_template"][:1]]
    order += [("one_service", task) for task in tasks["one_service"]]
    order += [("one_service_template", task) for task in tasks["one_service_template"][1:]]
    order += [(name, task) for name in INFO for task in tasks[name]]
    known: dict[str, Any] = {}
    for name, task in order:
        given = task.get(f"opennebula.flower.{name}")
        if given is None:
            # A task of Ansible itself, on what the one before registered.
            assert any(key.startswith("ansible.builtin.") for key in task) and known
            continue
        result = empty_cloud.run(name, **given)
        assert not result.get("failed"), (task["name"], result["msg"])
        known[task.get("register", "")] = result


@pytest.mark.parametrize("name", NAMES)
def test_returned_fields_are_documented_as_they_are(empty_cloud: Cloud, name: str) -> None:
    if "template" in name:
        empty_cloud.ok("one_service_template", name="documented", template={"roles": []})
    else:
        empty_cloud.ok("one_service_template", name="documented", template={"roles": []})
        empty_cloud.ok("one_service", name="documented", template="documented")
    result = empty_cloud.ok(name, name="documented")
    returned = yaml.safe_load(importlib.import_module(f"{MODULES}.{name}").RETURN)
    for key, value in returned.items():
        found = result[key][0] if isinstance(result[key], list) and result[key] else result[key]
        if found and "contains" in value:
            assert set(value["contains"]) == set(found), key
    assert set(result) - {"changed", "diff", "invocation", "failed", "warnings"} == set(returned)
