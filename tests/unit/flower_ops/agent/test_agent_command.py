# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command flower-ops, the profiles, the OneGate client, and the two modules that call the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from agent_support import FakeNode, free_port
from ansible.module_utils.testing import patch_module_args
from ansible_collections.opennebula.flower.plugins.modules import flower_node, flower_supernode, flower_supernode_info
from fake_onegate import FakeOneGate
from flower_ops import profiles
from flower_ops.machine.errors import OneGateError
from flower_ops.machine.given import alone
from flower_ops.machine.onegate import OneGate, plain, template_text
from flower_ops.machine.paths import Paths
from flower_ops.pki import keys
from hypothesis import given
from hypothesis import strategies as st

PACKAGE = Path(profiles.__file__).parents[1]


@pytest.fixture
def binary(tmp_path: Path) -> Path:
    """A flower-ops that works on a tree of its own."""
    root = tmp_path / "root"
    (root / "opt/flower/venv/lib/python3.11/site-packages/flwr-1.34.0.dist-info").mkdir(parents=True)
    (root / "run/one-context").mkdir(parents=True)
    (root / "run/one-context/one_env").write_text('export ETH0_IP="10.0.0.8"\nexport VMID="3"\n')
    place = tmp_path / "flower-ops"
    place.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(PACKAGE)!r})\nfrom flower_ops.cli import main\n"
        f"sys.exit(main([*sys.argv[1:], '--root', {str(root)!r}]))\n"
    )
    place.chmod(0o755)
    return place


def run(module: Any, capsys: pytest.CaptureFixture[str], check: bool = False, **arguments: Any) -> dict[str, Any]:
    """Result of a module; whatever it prints is its result."""
    with (
        patch_module_args({**arguments, "_ansible_check_mode": check, "_ansible_diff": True}),
        pytest.raises(SystemExit),
    ):
        module.main()
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def test_module_configures_once(binary: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted: dict[str, Any] = {
        "role": "superlink",
        "binary": str(binary),
        "variables": {"ONEAPP_FL_NUM_PARTITIONS": 3, "ONEAPP_FL_TLS_ENABLED": True},
    }
    predicted = run(flower_node, capsys, check=True, **wanted)
    assert predicted["changed"] and predicted["diff"]
    first = run(flower_node, capsys, **wanted)
    assert first["changed"] and first["node"]["num_partitions"] == 3 and first["node"]["vm_id"] == "3"
    started = time.monotonic()
    second = run(flower_node, capsys, **wanted)
    assert second["changed"] is False and "diff" not in second
    # The figure of the design is 1 s; the bound leaves room for a busy machine and still catches a needless wait.
    assert time.monotonic() - started < 5


def test_module_lists_all_faults_and_shows_no_secret(binary: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(
        flower_node,
        capsys,
        role="superlink",
        binary=str(binary),
        variables={"ONEAPP_FL_LOG_LEVEL": "x"},
        secrets={"ONEAPP_FL_SSL_KEYFILE": "hunter2hunter2"},
    )
    assert result["failed"] and {"ONEAPP_FL_LOG_LEVEL", "ONEAPP_FL_SSL_KEYFILE"} <= {
        e["name"] for e in result["errors"]
    }
    assert "hunter2" not in json.dumps(result)
    result = run(flower_node, capsys, role="superlink", binary=str(binary), variables={"ONEAPP_FL_SSL_KEYFILE": "x"})
    assert result["failed"] and "in secrets" in result["msg"]


def test_module_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gone = str(tmp_path / "gone")
    assert "apply the role" in run(flower_node, capsys, role="superlink", binary=gone)["msg"]
    assert run(flower_node, capsys, check=True, role="superlink", binary=gone)["changed"]
    odd = tmp_path / "odd"
    odd.write_text("#!/bin/sh\ncat >/dev/null\necho broken >&2\nexit 3\n")
    odd.chmod(0o755)
    assert (
        "no usable answer (exit code 3): broken" in run(flower_node, capsys, role="superlink", binary=str(odd))["msg"]
    )


def test_module_tells_a_command_that_does_not_listen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deaf = tmp_path / "deaf"
    deaf.write_text("#!/bin/sh\nexec <&-\nsleep 1\n")
    deaf.chmod(0o755)
    # More than a pipe holds, so that writing it must fail.
    variables = {"ONEAPP_FL_NODE_CONFIG": "x" * 2**20}
    result = run(flower_node, capsys, role="superlink", binary=str(deaf), variables=variables)
    assert result["failed"] and "ended without reading its input" in result["msg"]


def test_module_admits_and_removes_a_supernode(binary: Path, capsys: pytest.CaptureFixture[str]) -> None:
    variables = {"ONEAPP_FL_TLS_ENABLED": "NO", "ONEAPP_FL_SUPERNODE_AUTH": "NO", "ONEAPP_FL_NUM_PARTITIONS": "2"}
    run(flower_node, capsys, role="superlink", binary=str(binary), variables=variables)
    wanted = {"binary": str(binary), "site": "b", "name": "n"}
    assert run(flower_supernode, capsys, check=True, **wanted)["changed"]
    first = run(flower_supernode, capsys, **wanted)
    assert first["changed"] and first["member"]["partition_id"] == 0 and first["diff"]
    assert run(flower_supernode, capsys, **wanted)["changed"] is False
    # Flower itself is not installed in this tree: its answer is asked for, and its absence said.
    assert "apply the role flower_runtime" in run(flower_supernode_info, capsys, binary=str(binary))["msg"]
    assert run(flower_supernode, capsys, state="absent", **wanted)["changed"]
    assert run(flower_supernode, capsys, state="absent", **wanted)["changed"] is False


def test_module_needs_a_real_key(binary: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(flower_node, capsys, role="superlink", binary=str(binary), variables={"ONEAPP_FL_NUM_PARTITIONS": 1})
    result = run(flower_supernode, capsys, binary=str(binary), name="n", public_key="junk")
    assert result["failed"] and "not an EC public key" in result["msg"]
    key = keys.new_key_pair()[1].decode()
    assert run(flower_supernode, capsys, check=True, binary=str(binary), name="n", public_key=key)["changed"]


def test_identity_only_makes_the_key_and_starts_nothing(binary: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = {"role": "supernode", "binary": str(binary), "identity_only": True}
    first = run(flower_node, capsys, **wanted)
    assert first["changed"] and first["node"]["node_pubkey"].startswith("ecdsa-sha2-nistp384 ")
    assert run(flower_node, capsys, **wanted)["changed"] is False


def test_command_answers_people_too(binary: Path) -> None:
    def call(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run([str(binary), *arguments], input=text, capture_output=True, text=True, check=False)

    done = call("configure", "--role", "superlink", "--diff", text='{"variables": {"ONEAPP_FL_NUM_PARTITIONS": 1}}')
    assert done.returncode == 0 and "configure: changed" in done.stdout and "+++ /opt/flower/config" in done.stdout
    assert "nothing to change" in call("configure", "--role", "superlink").stdout
    assert call("configure", "--role", "superlink", text="no json").stderr.startswith("Standard input is not JSON")
    bad = call("configure", "--role", "superlink", text='{"variables": {"ONEAPP_FL_TLS_ENABLED": "maybe"}}')
    assert bad.returncode == 2 and "ONEAPP_FL_TLS_ENABLED=maybe: expected YES or NO" in bad.stderr


def test_a_run_without_changes_leaves_cryptography_out_on_a_supernode(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom flower_ops.agent import agent\n"
        f"root = Path({str(tmp_path)!r})\n"
        "request = agent.Request('supernode', {}, root=root, identity_only=True)\n"
        "print(agent.configure(request)[0], any(name.startswith('cryptography') for name in sys.modules))\n"
    )
    (tmp_path / "opt/flower/venv/lib/python3.11/site-packages/flwr-1.34.0.dist-info").mkdir(parents=True)
    answers = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": str(PACKAGE)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for _turn in range(2)
    ]
    assert answers == ["0 True", "0 False"]


def test_a_profile_closes_everything_but_the_fleet_api() -> None:
    profile = profiles.profile("1.34.0")
    superlink = profile.superlink(fleet="0.0.0.0:9092", control="127.0.0.1:9093", database="/d", certs="/c", auth=True)
    assert [word for word in superlink if word.startswith("0.0.0.0")] == ["0.0.0.0:9092"]
    assert {"--disable-runtime-dependency-installation", "--enable-supernode-auth"} <= set(superlink)
    assert "--insecure" not in superlink
    node = profile.supernode(superlink="h:1", ca=None, key=None, max_retries=3, max_wait_time=0)
    assert node[-3:] == ["--insecure", "--max-retries", "3"]
    with pytest.raises(profiles.UnknownVersionError, match=r"9\.9\.9 .*1\.34\.0"):
        profiles.profile("9.9.9")


@given(st.text(max_size=30))
def test_any_sentence_can_be_made_to_survive_the_servers_quoting(value: str) -> None:
    gate = FakeOneGate.__new__(FakeOneGate)
    gate.vms = {"1": ("r", {})}
    assert gate._update("1", "", template_text({"K": plain(value), "L": "YES"}))[0] == 200
    assert gate.of("1")["K"] == plain(value) and gate.of("1")["L"] == "YES"


def test_attributes_that_the_server_would_break_are_refused() -> None:
    broken = (("k", "x"), ("K=1\nREADY", "x"), ("K", "x\nREADY=YES"), ("K", 'a"b'), ("K", "[::1]:1"), ("K", ""))
    for name, value in broken:
        with pytest.raises(ValueError, match="cannot be written"):
            template_text({name: value})
    assert template_text({"A": "MIIB+/==", "B": "two words"}) == "A=MIIB+/==\nB=two words"


def test_onegate_tells_refusal_and_silence_apart(gate: FakeOneGate) -> None:
    pauses: list[float] = []
    with pytest.raises(OneGateError, match="Not authorized") as refused:
        OneGate(gate.endpoint, "4", "wrong", sleep=pauses.append).own()
    assert refused.value.status == 401 and pauses == [] and "wrong" not in str(refused.value)
    with pytest.raises(OneGateError, match="cannot be reached") as silent:
        OneGate(f"http://127.0.0.1:{free_port()}", "4", "t", sleep=pauses.append).own()
    assert silent.value.status == 0 and pauses == [1.0, 2.0]
    assert OneGate.from_context({"ONEGATE_ENDPOINT": gate.endpoint, "VMID": "4"}) is None


def test_a_run_that_has_to_wait_for_another_says_so_once(
    superlink: FakeNode, capfd: pytest.CaptureFixture[str]
) -> None:
    assert superlink.configure()[0] == 0 and "Another run" not in capfd.readouterr().err
    second = threading.Thread(target=superlink.configure, daemon=True)
    with alone(Paths(superlink.root)):
        second.start()
        said, end = "", time.monotonic() + 10
        while not said and time.monotonic() < end:
            time.sleep(0.02)
            said += capfd.readouterr().err
        assert second.is_alive()
    second.join(20)
    assert not second.is_alive()
    assert (said + capfd.readouterr().err).count("Another run of the agent is at work on this VM") == 1
