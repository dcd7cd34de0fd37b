# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restart, the home directory, the command line, the counter."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import one_sandbox
import pytest
from one_sandbox import Sandbox
from one_sandbox.home import Home, HomeBusyError

from .conftest import Client, MakeCloud


def client(cloud: Sandbox) -> Client:
    """The administrator of a cloud."""
    return Client(cloud.endpoints.xmlrpc, f"{cloud.username}:{cloud.password}")


def test_everything_survives_a_restart(tmp_path: Path) -> None:
    with Sandbox(tmp_path, boot_delay=0.02, image_delay=0.02) as first:
        one = client(first)
        one("image.allocate", 'NAME="os"\nTYPE="OS"\nPATH="/x"', 1)
        one("template.allocate", 'NAME="t"\nCPU="0.1"\nMEMORY="64"\nDISK=[IMAGE="os"]\nNIC=[NETWORK="private"]\n'
            'CONTEXT=[TOKEN="YES"]')  # fmt: skip
        running, done = one("template.instantiate", 0, "a"), one("template.instantiate", 0, "b")
        one.running(running)
        one.running(done)
        one("vm.action", "terminate-hard", done)
        one.wait("vm.info", done, STATE="6")
        token, password = first.oned.tokens.issue(running), first.password
        seen = [one("image.info", 0), one("vn.info", 0), one("vm.info", running), one("hostpool.info")]
        late = one("template.instantiate", 0, "late")
    with Sandbox(tmp_path, boot_delay=0.02, image_delay=0.02) as second:
        one = client(second)
        assert second.password == password and second.oned.tokens.check(running, token)
        assert one("vm.info", running) == seen[2]
        # What was under way when the cloud stopped goes on.
        one.running(late)
        one("vm.action", "terminate-hard", late)
        one.wait("vm.info", late, STATE="6")
        assert one("hostpool.info") == seen[3]
        assert one.read("image.info", 0)["VMS"] == {"ID": str(running)}
        lease = one.read("vn.info", 0)["AR_POOL"]["AR"]["LEASES"]["LEASE"]
        assert (lease["VM"], lease["IP"]) == (str(running), one.read("vm.info", running)["TEMPLATE"]["NIC"]["IP"])
        assert one("template.instantiate", 0, "next") == late + 1


def test_home(tmp_path: Path, make_cloud: MakeCloud) -> None:
    cloud = make_cloud(home=tmp_path / "home")
    auth = tmp_path / "home" / "one_auth"
    assert stat.S_IMODE(auth.stat().st_mode) == 0o600
    assert auth.read_text() == f"oneadmin:{cloud.password}\n" and len(cloud.password) >= 16
    described = json.loads((tmp_path / "home" / "sandbox.json").read_text())
    assert described["endpoints"]["xmlrpc"] == cloud.endpoints.xmlrpc and described["pid"] == os.getpid()
    with pytest.raises(HomeBusyError, match="already runs"):
        Sandbox(tmp_path / "home").start()
    assert Home(tmp_path / "home").busy


def test_a_port_in_use_is_named(tmp_path: Path, make_cloud: MakeCloud) -> None:
    port = int(make_cloud().endpoints.oneflow.rsplit(":", 1)[1])
    with pytest.raises(OSError, match=f"OneFlow cannot listen on port {port}: .*; choose another port"):
        Sandbox(tmp_path, oneflow_port=port).start()
    assert not Home(tmp_path).busy and Home(tmp_path).description()["driver"] == "dummy"


def test_counter(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    one = client(cloud)
    cloud.calls.reset()
    one("vmpool.info", -2, -1, -1, -1)
    one("template.allocate", 'NAME="t"')
    one.fails("template.delete", 99)
    cloud.oned.call(cloud.oned.session_for(0), "one.vmpool.info")
    assert dict(cloud.calls.by_method) == {"one.vmpool.info": 1, "one.template.allocate": 1, "one.template.delete": 1}
    assert (cloud.calls.total, cloud.calls.writes) == (3, 2)


def test_what_vms_write_is_counted_apart(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    one = client(cloud)
    one("template.allocate", 'NAME="t"\nCPU="0.1"\nMEMORY="64"\nCONTEXT=[TOKEN="YES"]')
    vm = one("template.instantiate", 0, "a")
    one.running(vm)
    writes = cloud.calls.writes
    headers = {"X-ONEGATE-TOKEN": cloud.oned.tokens.issue(vm), "X-ONEGATE-VMID": str(vm)}
    for method, data in (("PUT", b"READY=YES"), ("GET", None)):
        request = urllib.request.Request(f"{cloud.endpoints.onegate}/vm", data, headers, method=method)
        urllib.request.urlopen(request, timeout=10).close()
    assert (cloud.calls.writes, cloud.calls.gate_writes, cloud.calls.gate_total) == (writes, 1, 2)
    assert cloud.calls.by_method["PUT /vm"] == 1


def test_counts_are_in_a_file_that_follows_them(tmp_path: Path) -> None:
    with Sandbox(tmp_path, boot_delay=0.02, image_delay=0.02) as cloud:
        client(cloud)("template.allocate", 'NAME="t"')
        deadline = time.monotonic() + 10
        while Home(tmp_path).calls()["writes"] != 1 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert Home(tmp_path).calls() == cloud.calls.snapshot()
        client(cloud)("template.allocate", 'NAME="u"')
    assert Home(tmp_path).calls()["by_method"] == {"one.template.allocate": 2}


def run(*args: str) -> subprocess.CompletedProcess[str]:
    """python3 -m one_sandbox …"""
    environment = {**os.environ, "PYTHONPATH": str(Path(one_sandbox.__file__).parents[1])}
    return subprocess.run(
        [sys.executable, "-m", "one_sandbox", *args],
        env=environment,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def test_command_line(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(one_sandbox.__file__).parents[1])}
    ports = ["--xmlrpc-port", "0", "--oneflow-port", "0", "--onegate-port", "0"]
    home = str(tmp_path / "home")
    with subprocess.Popen(
        [sys.executable, "-m", "one_sandbox", "serve", "--home", home, "--driver", "dummy", *ports],
        env=environment, stdout=subprocess.PIPE, text=True,
    ) as server:  # fmt: skip
        assert server.stdout is not None
        endpoints = json.loads(server.stdout.readline())["endpoints"]
        one = Client(endpoints["xmlrpc"], (tmp_path / "home" / "one_auth").read_text().strip())
        one("template.allocate", 'NAME="t"\nCPU="0.1"\nMEMORY="64"')
        one.running(one("template.instantiate", 0, "a"))
        status = json.loads(run("status", "--home", home).stdout)
        assert status["running"] and status["vms"] == {"RUNNING": 1} and status["pid"] == server.pid
        assert {"total", "writes", "gate_total", "gate_writes", "by_method"} == set(status["calls"])
        second = run("serve", "--home", home, "--driver", "dummy", *ports)
        assert second.returncode == 1 and "already runs" in second.stderr and "Traceback" not in second.stderr
        assert run("down", "--home", home).returncode == 0
        assert server.wait(10) == 0
    assert list((tmp_path / "home").iterdir()) == []
    assert run("down", "--home", str(tmp_path / "never")).returncode == 0


def test_sigterm_ends_it_in_order(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(one_sandbox.__file__).parents[1])}
    ports = ["--xmlrpc-port", "0", "--oneflow-port", "0", "--onegate-port", "0"]
    with subprocess.Popen(
        [sys.executable, "-m", "one_sandbox", "serve", "--home", str(tmp_path), "--driver", "dummy", *ports],
        env=environment, stdout=subprocess.PIPE, text=True,
    ) as server:  # fmt: skip
        assert server.stdout is not None
        server.stdout.readline()
        server.send_signal(signal.SIGTERM)
        assert server.wait(10) == 0
    assert not Home(tmp_path).busy
