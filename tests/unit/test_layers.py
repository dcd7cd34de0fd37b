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
    assert not plugin_breaches("modules", ".modules", ".action", ".inventory", ".filter", ".lookup")


def test_module_utils_know_no_plugin() -> None:
    assert not plugin_breaches("module_utils", ".modules", ".action", ".inventory", ".filter", ".lookup")


def test_the_opennebula_layer_knows_nothing_of_flower() -> None:
    assert not plugin_breaches("module_utils/one", ".module_utils.flower", "flwr", "flower_ops")


@pytest.mark.parametrize("kind", ["modules", "module_utils", "inventory", "action", "filter"])
def test_plugins_need_no_package_beside_ansible_and_pyone(kind: str) -> None:
    """A host has the standard library, what Ansible brings, and pyone with its HTTP clients where a cloud is asked."""
    known = ("ansible", COLLECTION, "yaml", "jinja2", "pyone", "requests", "urllib3")
    assert not breaches(ROOT / "plugins" / kind, ROOT / "plugins", PLUGINS, lambda found: is_foreign(found, *known))


def imports_of_layer(*names: str) -> list[Import]:
    """Imports of some files of module_utils/one."""
    folder = ROOT / "plugins/module_utils/one"
    return [one for name in names for one in imports_in(folder / f"{name}.py", ROOT / "plugins", PLUGINS)]


def test_the_runner_knows_neither_xml_rpc_nor_rest() -> None:
    """State, check mode and differences are decided without knowing how a cloud is asked."""
    one = f"{PLUGINS}.module_utils.one"
    ways = [f"{one}.{name}" for name in ("connection", "oneflow", "flow_session", "rpc", "transport", "channel", "xml")]
    deciding = imports_of_layer("runner", "compare", "template", "wait")
    assert not [found.target for found in deciding if found.within(*ways)]


def test_the_client_knows_no_object_of_the_cloud() -> None:
    """What talks to a cloud does not know what it is used for."""
    one = f"{PLUGINS}.module_utils.one"
    files = {file.stem for file in (ROOT / "plugins/module_utils/one").glob("*.py")}
    client = sorted(files & {"connection", "oneflow", "rpc", "transport", "channel", "proxy", "tls"})
    upper = [name for name in files if name.startswith(("image", "vm", "service", "inventory", "objects", "runner"))]
    places = [f"{one}.{name}" for name in upper]
    assert len(client) >= 3
    assert not [found.target for found in imports_of_layer(*client) if found.within(*places)]


@pytest.mark.parametrize("kind", ["modules", "module_utils", "inventory", "action"])
def test_plugins_do_not_reach_into_roles(kind: str) -> None:
    """AnsiballZ ships what is imported: a module that needed a role's package would break on its host."""
    assert not plugin_breaches(kind, "flower_ops", "one_sandbox")


def test_the_node_package_needs_only_cryptography() -> None:
    """It runs in the environment of every release of Flower, and must not bind to any of them."""
    node = FLOWER_OPS / "flower_ops" / "node"
    assert not breaches(node, FLOWER_OPS, "", lambda found: is_foreign(found, "flower_ops", "cryptography"))


def test_no_machine_learning_and_no_ansible_in_flower_ops() -> None:
    banned = ("flwr", "numpy", "torch", "sklearn", COLLECTION, "ansible", "one_sandbox")
    assert not breaches(FLOWER_OPS / "flower_ops", FLOWER_OPS, "", lambda found: found.within(*banned))


def test_the_node_side_does_not_know_the_run_commands() -> None:
    """Runs are submitted through the node layer, never the other way round."""
    node = FLOWER_OPS / "flower_ops" / "node"
    assert not breaches(node, FLOWER_OPS, "", lambda found: found.within("flower_ops.runs", "flower_ops.cli"))


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
