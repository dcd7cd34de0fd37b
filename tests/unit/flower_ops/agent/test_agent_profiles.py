# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the agent makes of the Flower version: connection, gate, and one version in a whole federation."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import tomllib
from agent_support import FakeNode
from fake_onegate import FakeOneGate
from flower_ops import profiles
from supernode_support import admitted, environment, superlink_is_up

SHARED = "1.41.0"
GATE = "/opt/flower/config/gate.env"
every_version = pytest.mark.parametrize("version", profiles.known())


def change_to(node: FakeNode, version: str) -> None:
    """Another Flower version is installed, and asked for."""
    for place in ("venv", "frameworks/sklearn"):
        shutil.rmtree(node.path(f"/opt/flower/{place}/lib"), ignore_errors=True)
    node.install(version)
    (node.path("/etc/systemd/system") / "flower-gate.service").write_text("[Service]\n")
    ask_for(node, version)


def ask_for(node: FakeNode, version: str) -> None:
    """CONTEXT names this version."""
    context = node.path("/run/one-context/one_env")
    kept = [line for line in context.read_text().splitlines(keepends=True) if "ONEAPP_FLOWER_VERSION" not in line]
    context.write_text("".join(kept))
    node.context(ONEAPP_FLOWER_VERSION=version)


@every_version
def test_superlink_of_every_version(superlink: FakeNode, gate: FakeOneGate, version: str) -> None:
    change_to(superlink, version)
    code, answer = superlink.configure()
    assert code == 0, answer["message"]
    assert answer["facts"]["version"] == version and gate.of("4")["FL_VERSION"] == version
    assert gate.of("4")["FL_ENDPOINT"].endswith(f":{superlink.ports['fleet']}")
    app = superlink.path("/opt/flower/cli/app/pyproject.toml")
    told = app if profiles.profile(version).connections_in_app else superlink.path("/opt/flower/cli/config.toml")
    assert f'address = "127.0.0.1:{superlink.ports["control"]}"' in told.read_text()
    assert tomllib.loads(told.read_text()) and app.exists() == profiles.profile(version).connections_in_app
    # Nothing changes the second time.
    code, again = superlink.configure()
    assert code == 0 and not again["changed"], again["diff"]


def test_the_cure_of_1_25_reaches_its_superlink_only(superlink: FakeNode) -> None:
    for version, there in (("1.25.0", True), ("1.34.0", False)):
        change_to(superlink, version)
        code, answer = superlink.configure()
        assert code == 0, answer["message"]
        settings = superlink.path("/opt/flower/config/superlink.env").read_text()
        assert ("PYTHONPATH=" in settings) == there
        for line in settings.splitlines():
            name, _equals, value = line.partition("=")
            assert name != "PYTHONPATH" or (Path(value.strip('"')) / "sitecustomize.py").is_file()


@every_version
def test_the_cure_of_supernodes_reaches_them_in_every_version(
    supernode: FakeNode, gate: FakeOneGate, version: str
) -> None:
    superlink_is_up(gate, FL_VERSION=version, FL_TLS="NO")
    admitted(gate)
    change_to(supernode, version)
    code, answer = supernode.configure(TLS_ENABLED="NO", SUPERNODE_AUTH="NO")
    assert code == 0, answer["message"]
    (path,) = re.findall(r'^PYTHONPATH="?([^"\n]+)', environment(supernode), re.MULTILINE)
    assert (Path(path) / "sitecustomize.py").is_file()


def test_a_new_runtime_with_the_same_cure_restarts_no_supernode(
    supernode: FakeNode, gate: FakeOneGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    superlink_is_up(gate, FL_TLS="NO")
    admitted(gate)
    link = supernode.path("/opt/flower/venv")
    here = "lib/python3/site-packages/flower_ops/workarounds/flower"

    def another(name: str, cure: str) -> bool:
        """A runtime of its own folder, as an upgrade puts it behind the link; whether the SuperNode was restarted."""
        runtime = supernode.path(f"/opt/flower/venvs/{name}")
        shutil.copytree(link.resolve(), runtime)
        (runtime / here).mkdir(parents=True, exist_ok=True)
        (runtime / here / "sitecustomize.py").write_text(cure)
        if link.is_symlink():
            link.unlink()
        else:
            link.rename(supernode.path("/opt/flower/former"))
        link.symlink_to(runtime)
        monkeypatch.setattr(
            profiles.Profile, "supernode_environment", lambda _profile: {"PYTHONPATH": str(runtime / here)}
        )
        supernode.systemd.calls.clear()
        code, answer = supernode.configure(TLS_ENABLED="NO", SUPERNODE_AUTH="NO")
        assert code == 0, answer["message"]
        return any(call.startswith("restart flower-supernode") for call in supernode.systemd.calls)

    assert another("first", "cure = 1")
    assert f"/opt/flower/venv/{here}" in environment(supernode)
    assert not another("second", "cure = 1")
    assert another("third", "cure = 2")


def test_a_shared_port_stays_on_loopback_behind_a_gate(superlink: FakeNode) -> None:
    change_to(superlink, SHARED)
    assert superlink.configure()[0] == 0
    fleet, control = superlink.ports["fleet"], superlink.ports["control"]
    wanted = f"--version {SHARED} --listen 127.0.0.1:{fleet} --superlink 127.0.0.1:{control} --certs /opt/flower/certs"
    assert superlink.path(GATE).read_text() == f'GATE_ARGS="{wanted}"\n'
    arguments = superlink.path("/opt/flower/config/superlink.env").read_text()
    assert f"--host 127.0.0.1 --port {control}" in arguments and str(fleet) not in arguments
    started = [call for call in superlink.systemd.calls if call.startswith("restart")]
    assert started.index("restart flower-superlink.service") < started.index("restart flower-gate.service")
    assert "flower-gate.service" in superlink.systemd.enabled


def test_a_new_certificate_restarts_the_gate(superlink: FakeNode) -> None:
    change_to(superlink, SHARED)
    superlink.configure()
    superlink.systemd.calls.clear()
    superlink.configure(CERT_EXTRA_SAN="DNS:other.example")
    assert "restart flower-gate.service" in superlink.systemd.calls


def test_without_tls_the_gate_has_none(superlink: FakeNode) -> None:
    change_to(superlink, SHARED)
    assert superlink.configure(TLS_ENABLED="NO", SUPERNODE_AUTH="NO")[0] == 0
    assert "--certs" not in superlink.path(GATE).read_text()


def test_the_gate_goes_when_the_version_needs_none(superlink: FakeNode) -> None:
    """It holds the very port on which the SuperLink of that version listens."""
    change_to(superlink, SHARED)
    superlink.configure()
    change_to(superlink, "1.34.0")
    assert superlink.configure()[0] == 0
    assert (
        "flower-gate.service" not in superlink.systemd.active and superlink.path(GATE).read_text() == 'GATE_ARGS=""\n'
    )
    assert not superlink.configure()[1]["changed"]


@pytest.mark.parametrize("address", ["0.0.0.0:9093", "10.0.0.20:9093", "[::]:9093", "superlink.example:9093"])
def test_a_shared_port_beyond_loopback_is_refused(superlink: FakeNode, gate: FakeOneGate, address: str) -> None:
    change_to(superlink, SHARED)
    code, answer = superlink.configure(CONTROL_API_ADDRESS=address)
    assert code == 2 and [error["name"] for error in answer["errors"]] == ["ONEAPP_FL_CONTROL_API_ADDRESS"]
    assert address in answer["message"] and "expected an address on loopback" in answer["message"]
    assert gate.of("4")["FL_ERROR"] == "config_validation_failed" and not superlink.systemd.active
    # The others have a Control API of its own there, behind TLS.
    change_to(superlink, "1.34.0")
    assert superlink.configure(check=True, CONTROL_API_ADDRESS=address)[0] == 0


@every_version
def test_a_superlink_whose_runtime_is_another_version_changes_nothing(superlink: FakeNode, version: str) -> None:
    other = next(known for known in profiles.known() if known != version)
    change_to(superlink, other)
    assert superlink.configure()[0] == 0
    before = {path: path.read_bytes() for path in superlink.root.rglob("*") if path.is_file()}
    ask_for(superlink, version)
    code, answer = superlink.configure()
    assert code == 1 and other in answer["message"] and version in answer["message"] and not answer["changed"]
    changed = [path for path, content in before.items() if path.read_bytes() != content]
    assert changed == [superlink.path("/run/one-context/one_env")]
    assert set(superlink.root.rglob("*")) >= set(before) and "flower-superlink.service" in superlink.systemd.active


@every_version
def test_a_node_of_another_version_than_the_superlink_is_refused(
    supernode: FakeNode, gate: FakeOneGate, version: str
) -> None:
    other = next(known for known in reversed(profiles.known()) if known != version)
    gate.of("4").update(FL_ENDPOINT="10.0.0.1:9092", FL_READY="YES", READY="YES", FL_TLS="NO", FL_VERSION=other)
    change_to(supernode, version)
    code, answer = supernode.configure(TLS_ENABLED="NO", SUPERNODE_AUTH="NO")
    assert code == 1 and f"The SuperLink runs Flower {other}" in answer["message"] and version in answer["message"]
    assert gate.of("5")["FL_ERROR"] == "version_mismatch" and gate.of("5").get("READY") != "YES"
    assert not supernode.systemd.active and not supernode.path("/opt/flower/config/supernode.env").exists()
