# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples of every filter run as they stand, on a cloud that holds what they name, and show what they say."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "promises"))

from example_play import ROOT, run_playbook
from proof_cloud import ProofCloud, running


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProofCloud]:
    with running(tmp_path_factory.mktemp("filters")) as made:
        yield made


def vm_of(cloud: ProofCloud, **attributes: str) -> dict[str, Any]:
    """A VM as a module returns it."""
    name = cloud.name("filter-vm")
    made: dict[str, Any] = cloud.ok("one_vm", name=name, template=cloud.vm_template(), attributes=attributes)["vm"]
    return made


def nothing(cloud: ProofCloud) -> dict[str, Any]:
    return {}


def a_vm_template(cloud: ProofCloud) -> dict[str, Any]:
    cloud.ok("one_template", name="flower-superlink", template={"CPU": 0.1, "MEMORY": 64, "CONTEXT": {"TOKEN": True}})
    return {}


def a_node_of_a_federation(cloud: ProofCloud) -> dict[str, Any]:
    return {"found": {"vms": [vm_of(cloud, FLOWER_ROLE="supernode")]}}


def a_service_in_trouble(cloud: ProofCloud) -> dict[str, Any]:
    trouble = vm_of(cloud, FL_ERROR="tls_setup_failed", FL_ERROR_TEXT="The certificate is for another name.")
    return {"service": {"vms": [vm_of(cloud), trouble]}}


# What an example takes for granted, the exit status of its play, and words that it shows.
EXPECTED = {
    "app_folder": (nothing, 0, "roles/superlink/files/use_cases/anomaly-detection"),
    "context_faults": (nothing, 2, "ONEAPP_FL_LOG_LEVEL=LOUD: expected one of"),
    "context_template": (nothing, 0, '"ONEAPP_FL_SUPERLINK_ADDRESS": "203.0.113.7:9092"'),
    "context_user_inputs": (a_vm_template, 0, "ONEAPP_FL_LOG_LEVEL"),
    "packed_apps": (nothing, 0, "changed: [superlink]"),
    "policy_faults": (nothing, 0, "All assertions passed"),
    "vm_hosts": (a_node_of_a_federation, 0, "filter-vm"),
    "vm_says": (a_service_in_trouble, 0, "says FL_ERROR=tls_setup_failed, FL_ERROR_TEXT=The certificate is"),
}


@pytest.mark.parametrize("name", sorted(file.stem for file in (ROOT / "plugins/filter").glob("*.py")))
def test_the_example_runs(cloud: ProofCloud, tmp_path: Path, name: str) -> None:
    prepare, status, words = EXPECTED[name]
    source = (ROOT / f"plugins/filter/{name}.py").read_text(encoding="utf-8")
    examples = yaml.safe_load(source.split('EXAMPLES = r"""')[1].split('"""')[0])
    assert len(examples) == 1
    defaults = {"group/opennebula.flower.opennebula": cloud.api}
    done = run_playbook(tmp_path, examples, vars=prepare(cloud), diff=True, module_defaults=defaults)
    assert done.returncode == status, done.stdout + done.stderr
    assert words in done.stdout, done.stdout
