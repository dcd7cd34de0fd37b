# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role privacy_audit on three machines in folders: the real flower-ops, and a fake systemd that starts programs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ops_machine import OpsMachine
from role_play import COLLECTIONS

APP = (
    '[project]\nname = "toy"\nversion = "1.0"\n[tool.flwr.app.components]\nserverapp = "a:a"\nclientapp = "b:b"\n'
    "[tool.flwr.app.config]\nnum-server-rounds = 2\n"
)
# The unit runs beside this program, and is ended by its number.
SYSTEMD_RUN = """#!/bin/sh
while case "$1" in -*) true;; *) false;; esac; do shift; done
"$@" </dev/null >{pid}.log 2>&1 &
echo $! > {pid}
"""
SYSTEMCTL = """#!/bin/sh
[ "$1" = stop ] || exit 3
[ -f {pid} ] || exit 0
kill $(cat {pid})
while kill -0 $(cat {pid}) 2>/dev/null; do sleep 0.1; done
rm -f {pid}
"""
MEMBERS = '#!/bin/sh\necho \'{"supernodes": [{"status": "online"}, {"status": "online"}]}\'\n'


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
def machines(tmp_path: Path) -> dict[str, OpsMachine]:
    """A SuperLink with a database, and two SuperNodes without data."""
    found = {name: OpsMachine(tmp_path / name) for name in ("link", "node-1", "node-2")}
    for name, machine in found.items():
        pid = tmp_path / f"{name}.pid"
        program(machine.root / "bin/systemd-run", SYSTEMD_RUN.format(pid=pid))
        program(machine.root / "bin/systemctl", SYSTEMCTL.format(pid=pid))
        program(machine.root / "bin/members", MEMBERS)
        for folder in ("tmp", "opt/flower/state", "opt/flower/data", "opt/flower/config"):
            (machine.root / folder).mkdir(parents=True, exist_ok=True)
        (machine.home / "config/supernode.env").write_text("FLOWER_ARGS=--superlink 192.0.2.1:9092\n", encoding="ascii")
    script = "import sqlite3, sys; base = sqlite3.connect(sys.argv[1]); base.execute('PRAGMA journal_mode = WAL'); "
    script += "base.execute('CREATE TABLE objects (content BLOB)'); base.commit(); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(found["link"].home / "state/state.db")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"\n"
        yield found
        holder.communicate()


def play(folder: Path, machines: dict[str, OpsMachine], *words: str, **variables: Any) -> tuple[int, str]:
    """Exit code and output of the role on all of them."""
    hosts = {
        name: {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "home": str(machine.home),
            "root": str(machine.root),
            "privacy_audit_role": "superlink" if name == "link" else "supernode",
        }
        for name, machine in machines.items()
    }
    binary = "{{ home }}/venv/bin/flower-ops"
    defaults = {
        "opennebula.flower.flower_audit": {"binary": binary},
        "opennebula.flower.flower_run": {"flower_home": "{{ home }}"},
        "opennebula.flower.flower_supernode_info": {"binary": "{{ root }}/bin/members"},
    }
    book = [
        {
            "hosts": "all",
            "gather_facts": False,
            "module_defaults": defaults,
            "environment": {"PATH": "{{ root }}/bin:" + os.environ["PATH"]},
            "roles": [{"role": "opennebula.flower.privacy_audit"}],
        }
    ]
    (folder / "app").mkdir(exist_ok=True)
    (folder / "app/pyproject.toml").write_text(APP, encoding="utf-8")
    extra = {"privacy_audit_app": str(folder / "app"), "privacy_audit_report_dir": str(folder / "report"), **variables}
    (folder / "book.yml").write_text(yaml.safe_dump(book), encoding="utf-8")
    (folder / "hosts.yml").write_text(json.dumps({"all": {"hosts": hosts, "vars": extra}}), encoding="utf-8")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
    settings = {"COLLECTIONS_PATH": COLLECTIONS, "LOCAL_TEMP": folder / "tmp", "REMOTE_TEMP": folder / "remote"}
    environment |= {f"ANSIBLE_{key}": str(value) for key, value in {**settings, "HOME": folder, "NOCOLOR": "1"}.items()}
    done = subprocess.run(
        [sys.executable, "-m", "ansible.cli.playbook", "-i", folder / "hosts.yml", folder / "book.yml", *words],
        env={**environment, "PWD": str(folder)}, cwd=folder, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def left(machines: dict[str, OpsMachine]) -> list[Path]:
    return [
        path for machine in machines.values() for path in machine.root.rglob("*")
        if "audit" in path.name or path.is_file() and path.parent.name == "data"
    ]  # fmt: skip


def test_samples_on_the_superlink_and_a_run_that_failed(machines: dict[str, OpsMachine], tmp_path: Path) -> None:
    """Canaries reach the SuperLink's log while the role tries to train, which Flower refuses."""
    shard = machines["node-2"].home / "data/shard.npz"
    target = machines["link"].root / "opt/flower/state/app.log"
    # The flwr of this machine does, when it is asked to run the app, what a leaky app would do.
    code = f"import zipfile; data = zipfile.ZipFile({str(shard)!r}).read('images.npy'); "
    code += f"open({str(target)!r}, 'wb').write(data)"
    leak = (
        f'#!/bin/sh\ncase "$1" in run) {sys.executable} -c "{code}";; esac\necho \'{{"success": true, "runs": []}}\'\n'
    )
    program(machines["link"].home / "venv/bin/flwr", leak)
    code_of, output = play(
        tmp_path,
        machines,
        privacy_audit_canary="digits",
        privacy_audit_restart=False,
        privacy_audit_max_fingerprints=90000,
    )
    assert code_of != 0
    assert (tmp_path / "report/audit.json").is_file(), output
    figures = json.loads((tmp_path / "report/audit.json").read_text(encoding="utf-8"))
    assert figures["verdict"] == "leak", output
    # The capture is that of the machine that runs the tests, whose traffic is its own affair.
    told = [one["text"] for one in figures["failures"] if " lie on " in one["text"]]
    assert len(told) == 1, told
    assert (
        "samples of node-2 (file 1: " in told[0]
        and f"as the bytes as stored lie on the SuperLink in {target}" in told[0]
    )
    unproven = " ".join(one["text"] for one in figures["failures"] if one["kind"] == "unproven")
    assert "The run ended as not submitted: " in unproven and "node-1 sent nothing to the SuperLink" in unproven
    assert all(host["disk"]["control"]["missed"] == [] for host in figures["hosts"])
    assert "Samples left their node." in output and "index.html" in output
    assert not left(machines) and not list(tmp_path.glob("*.pid"))


@pytest.mark.full
def test_an_audit_that_cannot_begin_says_so_and_leaves_nothing(machines: dict[str, OpsMachine], tmp_path: Path) -> None:
    machines["link"].flower({"success": True, "runs": [{"run-id": "7", "status": "running"}]})
    code, output = play(tmp_path, machines, privacy_audit_canary="digits", privacy_audit_restart=False)
    assert code != 0
    assert "Run 7 is active; wait for its end or stop it, then audit." in output
    assert "The audit could not be completed, so it proves nothing." in output
    assert not (tmp_path / "report").exists() and not left(machines)


def test_check_mode_looks_at_the_app_only(machines: dict[str, OpsMachine], tmp_path: Path) -> None:
    before = {name: machine.contents() for name, machine in machines.items()}
    code, output = play(tmp_path, machines, "--check", "-v")
    assert code == 0 and "Would run the app toy 1.0 (1 files) with num-server-rounds=1." in output, output
    assert {name: machine.contents() for name, machine in machines.items()} == before
    code, output = play(tmp_path, machines, privacy_audit_app=str(tmp_path / "none"))
    assert code != 0 and "none" in output


def test_an_app_that_counts_no_rounds_is_asked_for_none(machines: dict[str, OpsMachine], tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "pyproject.toml").write_text(APP.replace("num-server-rounds = 2\n", ""), encoding="utf-8")
    code, output = play(tmp_path, machines, "--check", "-v", privacy_audit_app=str(bare))
    assert code == 0 and "Would run the app toy 1.0 (1 files)." in output, output
