# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role connect: what it leaves, and that ssh understands it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from flower_ops import profiles
from flower_ops.flower_cli.flwr_cli import connection_files
from flower_ops.runs.app import tomllib
from module_runner import run_module
from ops_machine import OpsMachine
from role_play import play

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


@pytest.fixture
def machine(tmp_path: Path) -> OpsMachine:
    return OpsMachine(tmp_path / "root")


def configure(machine: OpsMachine, version: str, control: str = "127.0.0.1:9093") -> None:
    """As the agent leaves it."""
    machine.install(version)
    (machine.home / "certs").mkdir()
    (machine.home / "certs/ca.crt").write_text(PEM)
    files = connection_files(profiles.profile(version), control, "/opt/flower/certs/ca.crt")
    for name, content in files.items():
        (machine.home / "cli" / name).parent.mkdir(exist_ok=True)
        (machine.home / "cli" / name).write_bytes(content)


def understood(folder: Path) -> dict[str, str]:
    """What ssh itself makes of the tunnel's words; it connects nowhere."""
    done = subprocess.run([folder / "tunnel.sh", "-G"], capture_output=True, text=True, check=True, timeout=30)
    return dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)


def test_everything_for_a_laptop(machine: OpsMachine, tmp_path: Path) -> None:
    configure(machine, "1.34.0")
    place = tmp_path / "state of mine/connect"
    # ssh passes over a key that is not there.
    (tmp_path / "my key").touch(0o600)
    known = f"-o UserKnownHostsFile={tmp_path}/known_hosts -o StrictHostKeyChecking=yes"
    arguments = {
        "connect_dir": str(place), "connect_name": "hospital", "connect_port": 19093, "ansible_host": "192.0.2.7",
        "ansible_user": "root", "ansible_port": 2222, "ansible_ssh_private_key_file": str(tmp_path / "my key"),
        "ansible_ssh_common_args": f"{known} -J me@jump",
    }  # fmt: skip
    code, output = play(machine, tmp_path, "connect", **arguments)
    assert code == 0, output
    assert (place / "ca.crt").read_text() == PEM
    connection = {"address": "127.0.0.1:19093", "root-certificates": str(place / "ca.crt")}
    assert tomllib.loads((place / "config.toml").read_text()) == {"superlink": {"hospital": connection}}
    seen = understood(place)
    assert (seen["user"], seen["hostname"], seen["port"]) == ("root", "192.0.2.7", "2222")
    assert (seen["proxyjump"], seen["stricthostkeychecking"]) == ("me@jump", "true")
    assert seen["identityfile"] == str(tmp_path / "my key") and seen["userknownhostsfile"] == f"{tmp_path}/known_hosts"
    assert seen["localforward"] == "[127.0.0.1]:19093 [127.0.0.1]:9093" and seen["exitonforwardfailure"] == "yes"
    told = (place / "connect.txt").read_text()
    assert "Such a run is not supervised" in told
    assert "pip install flwr==1.34.0" in told and f"{place}/config.toml" in told and "flwr run APP hospital" in told
    assert f"{place}/tunnel.sh" in output
    code, output = play(machine, tmp_path, "connect", **arguments)
    assert code == 0, output
    assert "changed=0" in output


def test_a_version_that_keeps_connections_in_apps_and_an_ipv6_address(machine: OpsMachine, tmp_path: Path) -> None:
    configure(machine, "1.25.0", "[::1]:9093")
    place = tmp_path / "connect"
    arguments = {"connect_dir": str(place), "connect_name": "x", "ansible_host": "2001:db8::7"}
    code, output = play(machine, tmp_path, "connect", **arguments)
    assert code == 0, output
    table = tomllib.loads((place / "federation.toml").read_text())["tool"]["flwr"]["federations"]
    assert table == {"x": {"address": "127.0.0.1:9093", "root-certificates": str(place / "ca.crt")}}
    assert understood(place)["localforward"] == "[127.0.0.1]:9093 [::1]:9093"
    told = (place / "connect.txt").read_text()
    assert "pyproject.toml of your app" in told and "flwr ls APP x" in told and "FLWR_HOME" not in told


def test_the_module_on_a_superlink_that_is_none(machine: OpsMachine) -> None:
    failed = run_module("flower_connection_info", {"flower_home": str(machine.home)})
    assert not failed.ok and "configure this SuperLink first" in failed["msg"]
    configure(machine, "1.41.0")
    found = run_module("flower_connection_info", {"flower_home": str(machine.home), "name": "x"}, check=True)
    assert found.ok and not found["changed"] and found["control_address"] == "127.0.0.1:9093"
    assert found["flower_version"] == "1.41.0" and found["certificate"] == PEM and "[superlink.x]" in found["profile"]
