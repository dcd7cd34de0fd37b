# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The archive that Galaxy distributes: what is in it, and that it works from where `ansible-galaxy` installs it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tarfile
import xmlrpc.client
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
PLAYBOOKS = sorted(path.stem for path in (ROOT / "playbooks").glob("*.yml"))
NEEDED = ("meta/runtime.yml", "plugins", "roles", "playbooks", "README.md", "LICENSE", "CHANGELOG.rst", "changelogs")
FOREIGN = (".git", ".venv", ".cache", "output", "__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", "reports")


def call(*command: str, cwd: Path, collections: Path | None = None, check: bool = True) -> str:
    """Output of an Ansible command that knows no collection but those in `collections` and in its own environment."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
    environment |= {"ANSIBLE_HOME": str(cwd / "ansible-home"), "ANSIBLE_LOCALHOST_WARNING": "false"}
    if collections is not None:
        environment["ANSIBLE_COLLECTIONS_PATH"] = str(collections)
    done = subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, check=False,
    )
    assert not check or done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive, built from this tree as it is."""
    folder = tmp_path_factory.mktemp("archive")
    call("ansible-galaxy", "collection", "build", f"--output-path={folder}", cwd=ROOT)
    (built,) = folder.glob("opennebula-flower-*.tar.gz")
    return built


@dataclass(frozen=True)
class Place:
    """Where the collection was installed, and a folder to work in that is neither that nor the checkout."""

    collections: Path
    work: Path

    @property
    def collection(self) -> Path:
        return self.collections / "ansible_collections/opennebula/flower"

    def playbook(self, *arguments: str) -> str:
        return call("ansible-playbook", "-i", "localhost,", *arguments, cwd=self.work, collections=self.collections)


@pytest.fixture(scope="module")
def place(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The archive installed without a network into an empty folder; its dependencies are those of the environment."""
    there = Place(tmp_path_factory.mktemp("installed"), tmp_path_factory.mktemp("elsewhere"))
    call(
        "ansible-galaxy", "collection", "install", "--offline", f"--collections-path={there.collections}", str(archive),
        cwd=there.work, collections=there.collections,
    )  # fmt: skip
    return there


def names(archive: Path) -> list[str]:
    with tarfile.open(archive) as opened:
        return [member.name for member in opened.getmembers() if member.isfile()]


def test_the_archive_holds_what_is_needed(archive: Path) -> None:
    files = names(archive)
    for needed in NEEDED:
        assert any(name == needed or name.startswith(f"{needed}/") for name in files), needed
    for folder in ("plugins", "roles", "playbooks"):
        here = {
            path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob("*")
            if path.is_file() and not {*path.relative_to(ROOT).parts} & {*FOREIGN} and path.suffix != ".pyc"
        }
        assert here
        assert here <= set(files)


def test_the_archive_holds_nothing_else(archive: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )
    known = {*listed.stdout.split("\0"), "MANIFEST.json", "FILES.json"}
    files = names(archive)
    assert not [name for name in files if name not in known]
    assert not [name for name in files if {*name.split("/")} & {*FOREIGN}]
    assert archive.stat().st_size < 2**21


def test_the_archive_says_what_it_is(archive: Path) -> None:
    with tarfile.open(archive) as opened:
        manifest = opened.extractfile("MANIFEST.json")
        assert manifest is not None
        about = json.load(manifest)["collection_info"]
    assert (about["namespace"], about["name"]) == ("opennebula", "flower")
    assert archive.name == f"opennebula-flower-{about['version']}.tar.gz"
    assert {"community.docker", "community.crypto"} == set(about["dependencies"])


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_playbooks_are_found_by_name(place: Place, playbook: str) -> None:
    shown = place.playbook("--syntax-check", f"opennebula.flower.{playbook}")
    assert f"playbook: opennebula.flower.{playbook}" in shown or f"/playbooks/{playbook}.yml" in shown


def test_modules_and_the_inventory_plugin_are_documented(place: Place) -> None:
    listed = json.loads(
        call("ansible-doc", "--list", "--json", "opennebula.flower", cwd=place.work, collections=place.collections)
    )
    modules = {path.stem for path in (ROOT / "plugins/modules").glob("*.py")}
    assert {f"opennebula.flower.{name}" for name in modules} == set(listed)
    inventory = "opennebula.flower.opennebula"
    call("ansible-doc", "-t", "inventory", inventory, cwd=place.work, collections=place.collections)


def free_ports(count: int) -> list[int]:
    servers = [socket.create_server(("127.0.0.1", 0)) for _turn in range(count)]
    ports = [int(server.getsockname()[1]) for server in servers]
    for server in servers:
        server.close()
    return ports


@pytest.fixture
def sandbox(place: Place, tmp_path: Path) -> Iterator[tuple[dict[str, str], list[int]]]:
    """Variables of a sandbox cloud in a folder of its own; it is taken down whatever the test does."""
    ports = free_ports(3)
    names_of_ports = ("sandbox_xmlrpc_port", "sandbox_oneflow_port", "sandbox_onegate_port")
    variables = {
        "sandbox_driver": "dummy",
        "sandbox_home": str(tmp_path / "one"),
        "sandbox_image_cache": str(tmp_path / "images"),
        **dict(zip(names_of_ports, map(str, ports), strict=True)),
    }
    yield variables, ports
    place.playbook("opennebula.flower.sandbox", "-e", json.dumps({**variables, "sandbox_state": "down"}))


def test_the_sandbox_runs_from_the_installed_place(
    place: Place, sandbox: tuple[dict[str, str], list[int]]
) -> None:
    variables, ports = sandbox
    home = Path(variables["sandbox_home"])
    place.playbook("opennebula.flower.sandbox", "-e", json.dumps(variables))
    process = Path("/proc") / (home / "sandbox.pid").read_text().strip()
    assert (process / "cwd").readlink().is_relative_to(place.collection)
    with xmlrpc.client.ServerProxy(f"http://127.0.0.1:{ports[0]}/RPC2") as server:
        answer: Any = server.one.system.version((home / "one_auth").read_text().strip())
    assert answer[0] is True
    assert answer[1].startswith("7.")

    place.playbook("opennebula.flower.sandbox", "-e", json.dumps({**variables, "sandbox_state": "down"}))
    assert not process.exists()
    assert not list(home.glob("one*"))
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=2)
