# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may know whom: imports only point down, and what runs elsewhere needs only what is there."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from imports import Import, imports_in, imports_of

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = "ansible_collections.opennebula.flower.plugins"
COLLECTION = "ansible_collections"
SANDBOX = ROOT / "roles/sandbox/files"
FLOWER_OPS = ROOT / "roles/flower_runtime/files/flower_ops"
ON_THE_CONTROL_MACHINE = (".action", ".inventory", ".filter", ".lookup", ".plugin_utils")


def breaches(folder: Path, root: Path, prefix: str, forbidden: Callable[[Import], bool]) -> list[str]:
    """`file:line target` of every import for which `forbidden(import)` holds; the folder must have files."""
    files = sorted(folder.rglob("*.py"))
    assert files, f"there is no Python in {folder}"
    return [
        f"{file.relative_to(ROOT)}:{found.line} {found.target}"
        for file in files
        for found in imports_in(file, root, prefix)
        if forbidden(found)
    ]


def plugin_breaches(kind: str, *packages: str) -> list[str]:
    """Imports of plugins of one kind that lie in the packages (dotted, below plugins or absolute)."""
    places = [f"{PLUGINS}.{package[1:]}" if package.startswith(".") else package for package in packages]
    return breaches(ROOT / "plugins" / kind, ROOT / "plugins", PLUGINS, lambda found: found.within(*places))


def is_foreign(found: Import, *known: str) -> bool:
    return found.target.split(".")[0] not in {*sys.stdlib_module_names, *known}


def test_the_reader_of_imports() -> None:
    source = """
import os.path
from . import a
from ..one.wait import wait_for
if typing.TYPE_CHECKING:
    import docker
else:
    import json
def f():
    from .b import c
class K:
    import d
"""
    assert [(found.target, found.at_start) for found in imports_of(source, "x.flower")] == [
        ("os.path", True),
        ("x.flower.a", True),
        ("x.one.wait.wait_for", True),
        ("docker", False),
        ("json", True),
        ("x.flower.b.c", False),
        ("d", True),
    ]
    assert imports_of("import ab", "x")[0].within("ab") and not imports_of("import abc", "x")[0].within("ab")


def test_no_module_imports_another_plugin() -> None:
    assert not plugin_breaches("modules", ".modules", *ON_THE_CONTROL_MACHINE)


def test_module_utils_know_no_plugin() -> None:
    assert not plugin_breaches("module_utils", ".modules", *ON_THE_CONTROL_MACHINE)


def test_the_opennebula_layer_knows_nothing_of_flower() -> None:
    assert not plugin_breaches("module_utils/one", ".module_utils.flower", "flwr", "flower_ops")


@pytest.mark.parametrize("kind", ["modules", "module_utils", "inventory", "action", "filter"])
def test_plugins_need_no_package_beside_ansible_and_pyone(kind: str) -> None:
    """A host has the standard library, what Ansible brings, and pyone, with requests, where a cloud is asked."""
    known = ("ansible", COLLECTION, "yaml", "jinja2", "pyone", "requests")
    assert not breaches(ROOT / "plugins" / kind, ROOT / "plugins", PLUGINS, lambda found: is_foreign(found, *known))


# Packages of module_utils/one, each with those that it may know.
LOW = ("data",)
MIDDLE = (*LOW, "api", "core")
ONE_LAYERS = {
    "data": (),
    "api": LOW,
    "core": (*LOW, "api"),
    "image": MIDDLE,
    "vm_template": (*MIDDLE, "image"),
    "vm": MIDDLE,
    "document": MIDDLE,
    "service_template": (*MIDDLE, "document"),
    "service": (*MIDDLE, "document", "service_template"),
    "info": (*MIDDLE, "image", "vm_template", "vm"),
    "inventory": (*MIDDLE, "document", "service"),
}


def test_every_package_of_the_opennebula_layer_has_its_place() -> None:
    folder = ROOT / "plugins/module_utils/one"
    assert {path.name for path in folder.iterdir() if (path / "__init__.py").exists()} == set(ONE_LAYERS)
    assert {path.name for path in folder.glob("*.py")} == {"__init__.py", "errors.py"}


@pytest.mark.parametrize("package", ONE_LAYERS)
def test_packages_of_the_opennebula_layer_know_only_those_below(package: str) -> None:
    """What talks to a cloud knows no object of it, and what decides knows no wire."""
    others = set(ONE_LAYERS) - {package, *ONE_LAYERS[package]}
    assert not plugin_breaches(f"module_utils/one/{package}", *(f".module_utils.one.{name}" for name in others))


def test_the_runner_knows_neither_xml_rpc_nor_rest() -> None:
    """State, check mode and differences are decided without knowing how a cloud is asked."""
    for name in ("runner", "wait"):
        file = ROOT / f"plugins/module_utils/one/core/{name}.py"
        found = imports_in(file, ROOT / "plugins", PLUGINS)
        assert found
        assert not [one.target for one in found if one.within(f"{PLUGINS}.module_utils.one.api")]


@pytest.mark.parametrize("kind", ["modules", "module_utils", "inventory", "action"])
def test_plugins_do_not_reach_into_roles(kind: str) -> None:
    """AnsiballZ ships what is imported: a module that needed a role's package would break on its host."""
    assert not plugin_breaches(kind, "flower_ops", "one_sandbox")


# Packages of flower_ops, each with those that it may know. The files beside them are data and rules, known to all.
CORE = ("machine", "node")
OPS_LAYERS = {
    "machine": (),
    "flower_cli": (),
    "node": ("machine",),
    "firewall": CORE,
    "pki": CORE,
    "membership": (*CORE, "flower_cli", "firewall", "pki"),
    "runs": ("machine", "flower_cli"),
    "supervisor": ("machine", "flower_cli", "runs"),
    "agent": (*CORE, "flower_cli", "firewall", "pki", "runs", "supervisor"),
    "keeper": (*CORE, "firewall", "agent"),
    "gate": (),
    "audit": ("machine", "flower_cli", "runs"),
    "training": (),
}


def test_every_package_inside_a_vm_has_its_place() -> None:
    folder = FLOWER_OPS / "flower_ops"
    assert {path.name for path in folder.iterdir() if (path / "__init__.py").exists()} == set(OPS_LAYERS)


@pytest.mark.parametrize("package", OPS_LAYERS)
def test_packages_inside_a_vm_know_only_those_below(package: str) -> None:
    others = set(OPS_LAYERS) - {package, *OPS_LAYERS[package]}
    banned = ("flower_ops.cli", *(f"flower_ops.{name}" for name in others))
    folder = FLOWER_OPS / "flower_ops" / package
    assert not breaches(folder, FLOWER_OPS, "", lambda found: found.within(*banned))


def outside_training(forbidden: Callable[[Import], bool]) -> list[str]:
    """Breaches in flower_ops, less those in the package that apps import."""
    found = breaches(FLOWER_OPS / "flower_ops", FLOWER_OPS, "", forbidden)
    return [one for one in found if "/flower_ops/training/" not in one]


def test_only_the_gate_needs_what_one_generation_of_flower_brings() -> None:
    """It runs with that generation alone; nothing else may load it."""
    package = FLOWER_OPS / "flower_ops"
    known = ("flower_ops", "cryptography", "tomli")
    found = outside_training(lambda one: is_foreign(one, *known))
    assert found
    assert all("/flower_ops/gate/" in one and one.split()[-1].startswith(("httpx", "uvicorn")) for one in found)
    assert not [
        one
        for one in breaches(package, FLOWER_OPS, "", lambda one: one.within("flower_ops.gate"))
        if "/flower_ops/gate/" not in one
    ]


def test_no_machine_learning_and_no_ansible_in_flower_ops() -> None:
    banned = ("flwr", "numpy", "torch", "sklearn", COLLECTION, "ansible", "one_sandbox", "flower_ops.training")
    assert not outside_training(lambda found: found.within(*banned))


#: The agent and the training must agree on it, and it needs nothing.
RULE_OF_STRATEGIES = "flower_ops.robustness"
#: What both keep must outlive a power cut; it needs nothing either.
DISK = "flower_ops.durable"


def test_training_needs_flower_and_numpy_and_nothing_of_the_machine() -> None:
    """Apps import it in Flower's processes: with every framework, and on a laptop that is no node."""
    folder = FLOWER_OPS / "flower_ops" / "training"
    assert not breaches(folder, FLOWER_OPS, "", lambda found: is_foreign(found, "flower_ops", "flwr", "numpy"))
    assert not breaches(
        folder,
        FLOWER_OPS,
        "",
        lambda found: found.within("flower_ops") and not found.within("flower_ops.training", RULE_OF_STRATEGIES, DISK),
    )


@pytest.mark.parametrize("shared", [RULE_OF_STRATEGIES, DISK])
def test_what_training_shares_with_the_agent_needs_nothing(shared: str) -> None:
    found = imports_in(FLOWER_OPS / f"{shared.replace('.', '/')}.py", FLOWER_OPS)
    assert found
    assert not [one.target for one in found if is_foreign(one)]


@pytest.mark.parametrize(
    ("package", "upper"), [("client", ("packing",)), ("strategies", ("settings", "flower", "strategies"))]
)
def test_parts_of_training_that_apps_use_alone_know_no_more(package: str, upper: tuple[str, ...]) -> None:
    """A ClientApp pays for nothing of the server's side but the form of messages; a strategy knows no rounds."""
    known = (RULE_OF_STRATEGIES, *(f"flower_ops.training.{name}" for name in (package, "flower", *upper)))
    folder = FLOWER_OPS / "flower_ops" / "training" / package
    assert not breaches(folder, FLOWER_OPS, "", lambda found: found.within("flower_ops") and not found.within(*known))


def test_a_training_task_needs_nothing_of_the_server() -> None:
    folder = FLOWER_OPS / "flower_ops" / "training" / "client"
    assert not breaches(folder, FLOWER_OPS, "", lambda found: found.within("flwr.serverapp"))


def test_a_node_answers_a_survey_without_the_server() -> None:
    survey = FLOWER_OPS / "flower_ops" / "training" / "survey"
    server = (
        "flwr.serverapp",
        *(f"flower_ops.training.{name}" for name in ("train", "rounds", "roster", "strategies")),
    )
    for name in ("node", "plan"):
        found = imports_in(survey / f"{name}.py", FLOWER_OPS)
        assert found
        assert not [one.target for one in found if one.within(*server)]


def test_the_sandbox_stands_alone() -> None:
    """Only the standard library; Docker's client when a VM of the docker driver needs it, and there only."""
    found = breaches(SANDBOX / "one_sandbox", SANDBOX, "", lambda found: is_foreign(found, "one_sandbox"))
    assert not [breach for breach in found if "/drivers/docker.py:" not in breach]
    driver = imports_in(SANDBOX / "one_sandbox/drivers/docker.py", SANDBOX)
    foreign = [one for one in driver if is_foreign(one, "one_sandbox")]
    assert foreign
    # requests comes with the client, which hands out its exceptions.
    assert all(one.within("docker", "requests") and not one.at_start for one in foreign)


def test_lower_parts_of_the_sandbox_do_not_know_the_upper() -> None:
    """OneFlow and OneGate are clients of oned, as in reality."""
    upper = ("one_sandbox.flow", "one_sandbox.gate", "one_sandbox.sandbox")
    oned = SANDBOX / "one_sandbox" / "oned"
    assert not breaches(oned, SANDBOX, "", lambda found: found.at_start and found.within(*upper))
