# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flower as its documentation runs it: flower-superlink and two flower-supernode as plain processes of this machine.

Flags, TLS material and database are made by the code that makes them on a VM, so that only what the collection adds
differs: VMs, systemd, hardening, registration.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from ansible.parsing.dataloader import DataLoader
from ansible_collections.opennebula.flower.plugins.module_utils.flower.wheelhouse import Target, Wheelhouse
from ansible_collections.opennebula.flower.plugins.modules.flower_venv import install
from flower_ops import profiles
from flower_ops.flower_cli.flwr_cli import FlwrCli
from flower_ops.pki import tls
from flower_ops.runs.app import render_toml

from .place import ROOT, free_ports
from .play import BenchError

PATIENCE_S = 90.0
FLOWER_OPS = ROOT / "roles/flower_runtime/files/flower_ops"
CACHE = Path.home() / ".cache/opennebula.flower/wheelhouse"


class Bare:
    """A federation of processes in `folder`, one SuperNode per file in `shards`; a context manager.

    BenchError when something does not come up.
    """

    def __init__(self, folder: Path, shards: list[Path], test_data: Path) -> None:
        self.folder, self.shards, self.test_data = folder, shards, test_data
        self._processes: list[subprocess.Popen[bytes]] = []
        self._runs = 0

    def __enter__(self) -> Bare:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def run(self, app: Path) -> float:
        """Train the app once; Flower's own seconds from the run's start to its end."""
        self._runs += 1
        output = self.folder / f"output-{self._runs}"
        output.mkdir()
        config = output / "run-config.toml"
        config.write_text(render_toml({"test-data": str(self.test_data), "output-dir": str(output)}), encoding="utf-8")
        run_id = self._cli.run(app, config)
        # The watcher on a SuperLink follows the log in the same way.
        with self._cli.log_stream(run_id) as process:
            assert process.stdout is not None
            log = process.stdout.read()
        deadline = time.monotonic() + PATIENCE_S
        while not str((answer := self._cli.list_runs(run_id)[0])["status"]).startswith("finished"):
            if time.monotonic() > deadline:
                raise BenchError(f"the bare run {run_id} does not end")
            time.sleep(1)
        if answer["status"] != "finished:completed":
            raise BenchError(f"the bare run ended as {answer['status']}: {log.decode(errors='replace')[-800:]}")
        return float(answer["elapsed"])

    def stop(self) -> None:
        """End all processes."""
        for process in reversed(self._processes):
            process.terminate()
        for process in self._processes:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()

    def _start(self) -> None:
        wanted = DataLoader().load_from_file(str(ROOT / "roles/federation/defaults/main.yml"))
        version = str(wanted["federation_flower_version"])
        runtime = DataLoader().load_from_file(str(ROOT / "roles/flower_runtime/defaults/main.yml"))
        packages = runtime["flower_runtime_framework_packages"][wanted["federation_framework"]]
        self._venv = make_venv(self.folder / "venv", [f"flwr=={version}", *packages])
        fleet, control, *free = free_ports(4 + 2 * len(self.shards))
        profile = profiles.profile(version)
        ports = replace(profile.ports, fleet=fleet, control=control, serverappio=free[0], superlink_health=free[1])
        certs = self._certificates()
        self._launch("superlink", replace(profile, ports=ports).superlink(
            fleet=f"127.0.0.1:{fleet}", control=f"127.0.0.1:{control}", database=str(self.folder / "state.db"),
            certs=str(certs), auth=False,
        ))  # fmt: skip
        cli_home = self.folder / "cli"
        cli_home.mkdir()
        (cli_home / "config.toml").write_text(
            '[superlink]\ndefault = "federation"\n\n[superlink.federation]\n'
            f'address = "127.0.0.1:{control}"\nroot-certificates = "{certs}/ca.crt"\n',
            encoding="utf-8",
        )
        self._cli = FlwrCli(self._venv / "bin/flwr", cli_home, user=None)
        for number, shard in enumerate(self.shards):
            ports = replace(ports, clientappio=free[2 + 2 * number], supernode_health=free[3 + 2 * number])
            arguments = replace(profile, ports=ports).supernode(
                superlink=f"127.0.0.1:{fleet}", ca=f"{certs}/ca.crt", key=None
            )
            settings = f'partition-id={number} num-partitions={len(self.shards)} data="{shard}"'
            self._launch("supernode", [*arguments, "--node-config", settings])
        self._wait_online()

    def _certificates(self) -> Path:
        folder = self.folder / "certs"
        folder.mkdir()
        ca_key, ca = tls.new_ca()
        key, cert = tls.new_server_cert(ca_key, ca, "localhost", ["DNS:localhost", "IP:127.0.0.1"])
        for name, content in (("ca.crt", ca), ("server.pem", cert), ("server.key", key)):
            (folder / name).write_bytes(content)
            (folder / name).chmod(0o600)
        return folder

    def _launch(self, kind: str, arguments: list[str]) -> None:
        home = self.folder / f"{kind}-{len(self._processes)}"
        home.mkdir()
        environment = {
            "PATH": f"{self._venv}/bin:/usr/local/bin:/usr/bin:/bin", "HOME": str(home), "LC_ALL": "C.UTF-8",
            "FLWR_HOME": str(home / "flwr"), "FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1",
            "PYTHONUNBUFFERED": "1",
        }  # fmt: skip
        with (home / "log").open("wb") as log:
            self._processes.append(subprocess.Popen(
                [str(self._venv / f"bin/flower-{kind}"), *arguments], cwd=home, env=environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            ))  # fmt: skip

    def _wait_online(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        reason = "they do not answer"
        while time.monotonic() < deadline:
            if any(process.poll() is not None for process in self._processes):
                break
            try:
                online = [node for node in self._cli.supernodes() if node.get("status") == "online"]
                if len(online) == len(self.shards):
                    return
                reason = f"{len(online)} of {len(self.shards)} SuperNodes are online"
            except Exception as error:
                reason = str(error)
            time.sleep(1)
        logs = "; ".join(path.read_text(errors="replace")[-300:] for path in self.folder.glob("*/log"))
        raise BenchError(f"bare Flower does not come up ({reason}): {logs}")


def make_venv(folder: Path, requirements: list[str]) -> Path:
    """A virtual environment as on a VM, for this machine's Python, from the same cache of wheelhouses."""

    def run_command(command: list[str], environ_update: dict[str, str] | None = None, cwd: str | None = None) -> Any:
        environment = {**os.environ, **(environ_update or {})}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=cwd)
        return done.returncode, done.stdout, done.stderr

    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    target = Target(python, platform.machine(), tuple(requirements), (FLOWER_OPS,))
    archive, _changed = Wheelhouse(CACHE, run_command, [sys.executable, "python3"]).build(target)
    install(Path(archive["path"]), folder)
    return folder
