# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation that is true: every example runs as it stands, every option is documented and the other way round."""

from __future__ import annotations

import functools
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml

MODULES = "ansible_collections.opennebula.flower.plugins.modules"
NAMES = ("one_image", "one_template", "one_vm", "one_image_info", "one_template_info", "one_vm_info", "one_vnet_info",
         "one_host_info")  # fmt: skip


@functools.cache
def all_documentation() -> dict[str, Any]:
    """Return what ansible-doc says of all modules. In a process of its own: loading plugins here would change how
    modules report warnings."""
    collection = next(path for path in sys.path if (Path(path) / "ansible_collections" / "opennebula").is_dir())
    code = "import sys; from ansible.cli.doc import main; sys.exit(main())"
    result = subprocess.run(
        [sys.executable, "-c", code, "--json", "-t", "module", *(f"opennebula.flower.{name}" for name in NAMES)],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": collection, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(result.stdout)


def documentation(name: str) -> dict[str, Any]:
    return all_documentation()[f"opennebula.flower.{name}"]["doc"]


def argument_spec(name: str) -> dict[str, dict[str, Any]]:
    """Return what a module passes to AnsibleModule."""
    module = importlib.import_module(f"{MODULES}.{name}")
    with (
        mock.patch.object(module, "AnsibleModule", side_effect=InterruptedError) as made,
        pytest.raises(InterruptedError),
    ):
        module.main()
    return made.call_args.kwargs["argument_spec"]


@pytest.mark.parametrize("name", NAMES)
def test_options_are_documented_as_they_are(name: str) -> None:
    options, spec = documentation(name)["options"], argument_spec(name)
    assert set(options) == set(spec)
    for option, found in spec.items():
        written = options[option]
        assert written.get("type", "str") == found.get("type", "str"), option
        assert written.get("default") == found.get("default"), option
        assert sorted(written.get("choices", [])) == sorted(found.get("choices", [])), option
        assert written.get("elements") == found.get("elements"), option
        assert written.get("aliases", []) == found.get("aliases", []), option


@pytest.mark.parametrize("name", NAMES)
def test_every_module_is_in_the_action_group(name: str) -> None:
    runtime = yaml.safe_load((Path(__file__).parents[4] / "meta" / "runtime.yml").read_text())
    assert name in runtime["action_groups"]["opennebula"]
    assert "action_group" in documentation(name)["attributes"]


def test_the_examples_run_from_first_to_last(empty_cloud) -> None:
    assert empty_cloud.run("one_template", name="debian-12", template={"CPU": 0.1, "MEMORY": 64}).ok
    for name in NAMES:
        for task in yaml.safe_load(importlib.import_module(f"{MODULES}.{name}").EXAMPLES):
            params = task[f"opennebula.flower.{name}"] or {}
            result = empty_cloud.run(name, **params)
            assert result.ok, (task["name"], result)


@pytest.mark.parametrize("name", NAMES)
def test_returned_fields_are_documented_as_they_are(empty_cloud, name: str) -> None:
    """Needs the objects that the examples left."""
    params: dict[str, Any] = {} if name.endswith("_info") else {"id": 0}
    if name == "one_vm":
        params["state"] = "present"
    result = empty_cloud.run(name, **params)
    assert result.ok, result
    returned = yaml.safe_load(importlib.import_module(f"{MODULES}.{name}").RETURN)
    for key, value in returned.items():
        assert key in result
        if "contains" in value:
            found = result[key][0] if isinstance(result[key], list) else result[key]
            assert set(value["contains"]) == set(found), key
    assert set(result) - {"changed", "diff", "invocation", "failed", "warnings"} == set(returned)
