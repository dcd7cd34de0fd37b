# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What flower-boot.service runs: a VM that configures itself from its CONTEXT, at every boot."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

import pytest
from agent_support import FakeNode
from fake_onegate import FakeOneGate
from flower_ops.agent import agent
from flower_ops.cli import main
from supernode_support import admitted, superlink_is_up


def in_context(node: FakeNode) -> None:
    """Everything the node has to know stands in CONTEXT, as on an appliance."""
    node.context(**node.given())


def test_a_superlink_finds_its_role_and_says_how_it_goes(superlink: FakeNode, gate: FakeOneGate) -> None:
    in_context(superlink)
    code, told = superlink.boot()
    assert code == 0, told
    assert told[0] == "[1/16] variables … valid; this VM is the superlink"
    assert "[4/16] certificates … done" in told and re.fullmatch(
        r"Flower is ready: this superlink took [0-9.]+ s \([0-9]+\.[0-9]{2} s of processor time\)\.", told[-1]
    )
    published = gate.of("4")
    assert published["READY"] == published["FL_READY"] == "YES" and published["FL_ROLE"] == "superlink"
    # READY is the last thing written.
    assert [line for line in gate.requests if line.startswith("PUT")][-1] == "PUT /vm by 4"

    gate.requests.clear()
    code, told = superlink.boot()
    assert code == 0 and "[4/16] certificates … kept" in told and gate.writes() == []
    assert gate.requests == ["GET /vm by 4"]


def test_a_supernode_finds_its_role(supernode: FakeNode, gate: FakeOneGate) -> None:
    superlink_is_up(gate)
    admitted(gate)
    code, told = supernode.boot()
    assert code == 0 and "this VM is the supernode" in told[0]
    assert gate.of("5")["FL_NODE_READY"] == gate.of("5")["READY"] == "YES"


def test_the_variable_wins_over_the_service(supernode: FakeNode, gate: FakeOneGate) -> None:
    gate.vms["5"] = ("workers", {**gate.of("5"), "ROLE_NAME": "workers"})
    code, told = supernode.boot()
    assert code == 2 and "set ONEAPP_FL_ROLE" in told[-1]
    assert gate.of("5")["FL_ERROR"] == "config_validation_failed" and "ONEAPP_FL_ROLE" in gate.of("5")["FL_ERROR_TEXT"]
    superlink_is_up(gate)
    admitted(gate)
    supernode.context(ONEAPP_FL_ROLE="supernode")
    assert supernode.boot()[0] == 0
    assert "FL_ERROR" not in gate.of("5") and "FL_ERROR_TEXT" not in gate.of("5")


def test_a_vm_outside_of_any_service_needs_the_variable(tmp_path: Path) -> None:
    node = FakeNode(tmp_path / "plain", "supernode", "9", None)
    code, told = node.boot()
    assert code == 2 and "This VM does not know whether it is to be SuperLink or SuperNode" in told[-1]
    node.context(ONEAPP_FL_ROLE="boss")
    assert node.boot() == (2, [told_of_boss()])


def told_of_boss() -> str:
    """The sentence about a role that does not exist."""
    return (
        "Flower was not started: Invalid variables: ONEAPP_FL_ROLE=boss: expected one of superlink, supernode. "
        "Correct them in the VM's CONTEXT and start the VM again."
    )


def test_wrong_variables_are_told_all_at_once_and_not_tried_again(supernode: FakeNode, gate: FakeOneGate) -> None:
    supernode.context(ONEAPP_FL_LOG_LEVEL="LOUD", ONEAPP_FL_MAX_RETRIES="many")
    code, told = supernode.boot()
    assert code == 2 and "ONEAPP_FL_LOG_LEVEL=LOUD" in told[-1] and "ONEAPP_FL_MAX_RETRIES=many" in told[-1]
    assert gate.of("5")["FL_ERROR"] == "config_validation_failed" and gate.of("5")["FL_NODE_READY"] == "NO"
    assert "LOUD" in gate.of("5")["FL_ERROR_TEXT"]


def test_a_failed_boot_says_why_and_can_be_repeated(supernode: FakeNode, gate: FakeOneGate) -> None:
    superlink_is_up(gate)
    admitted(gate)
    works = supernode.systemd.on_start
    supernode.systemd.on_start = lambda unit: 2**22 + 1
    code, told = supernode.boot()
    assert code == 1 and "systemctl restart flower-boot" in told[-1]
    assert any(line.startswith("[11/13] service … failed: The SuperNode is not healthy") for line in told)
    published = gate.of("5")
    assert (
        published["FL_ERROR"] == "health_check_timeout"
        and "no connection to the SuperLink" in published["FL_ERROR_TEXT"]
    )
    supernode.systemd.active.clear()
    supernode.systemd.on_start = works
    assert supernode.boot()[0] == 0
    assert published["READY"] == "YES" and not {"FL_ERROR", "FL_ERROR_TEXT"} & published.keys()


def test_onegate_down_for_60_s_at_boot_is_survived(supernode: FakeNode, gate: FakeOneGate) -> None:
    superlink_is_up(gate)
    admitted(gate)
    gate.down = True
    supernode.events[60.0] = lambda: setattr(gate, "down", False)
    code, told = supernode.boot()
    assert code == 0, told
    assert supernode.now >= 60 and any(line.startswith("waiting: OneGate at") for line in told)
    assert gate.of("5")["READY"] == "YES"


def test_onegate_down_in_the_middle_of_a_boot_is_survived(superlink: FakeNode, gate: FakeOneGate) -> None:
    in_context(superlink)
    serve = superlink.systemd.on_start

    def last_before_the_fault(unit: str) -> int:
        gate.down = True
        superlink.events[superlink.now + 60.0] = lambda: setattr(gate, "down", False)
        return serve(unit)

    superlink.systemd.on_start = last_before_the_fault
    assert superlink.boot()[0] == 0 and gate.of("4")["READY"] == "YES"


def test_onegate_that_never_comes_is_told_in_the_end(supernode: FakeNode, gate: FakeOneGate) -> None:
    gate.down = True
    code, told = supernode.boot()
    assert code == 1 and "Set ONEAPP_FL_ROLE, or check OneGate." in told[-1] and 290 < supernode.now < 340


def test_a_superlink_that_comes_late_is_waited_for(supernode: FakeNode, gate: FakeOneGate) -> None:
    admitted(gate)
    supernode.events[200.0] = lambda: superlink_is_up(gate)
    code, told = supernode.boot()
    assert code == 0 and 200 <= supernode.now < 220
    assert "waiting: no VM of the role superlink has said FL_READY=YES" in told and "the wait is over" in told


@pytest.mark.parametrize("role", ["superlink", "supernode"])
def test_a_rebooted_vm_is_not_ready_until_it_is_healthy(
    superlink: FakeNode, supernode: FakeNode, gate: FakeOneGate, role: str
) -> None:
    node, vm_id, ready = (superlink, "4", "FL_READY") if role == "superlink" else (supernode, "5", "FL_NODE_READY")
    in_context(node)
    if role == "supernode":
        superlink_is_up(gate)
        admitted(gate)
    assert node.boot()[0] == 0
    partition = gate.of(vm_id).get("FL_PARTITION_ID")
    certificate = node.path("/opt/flower/certs/ca.crt").read_bytes()

    node.reboot()
    seen: list[tuple[str, str]] = []
    serve = node.systemd.on_start

    def watched(unit: str) -> int:
        seen.append((gate.of(vm_id)["READY"], gate.of(vm_id)[ready]))
        return serve(unit)

    node.systemd.on_start = watched
    assert node.boot()[0] == 0
    assert set(seen) == {("NO", "NO")}
    assert gate.of(vm_id)["READY"] == gate.of(vm_id)[ready] == "YES"
    assert gate.of(vm_id).get("FL_PARTITION_ID") == partition
    assert node.path("/opt/flower/certs/ca.crt").read_bytes() == certificate
    assert "started anew" in gate.of(vm_id)["FL_EVENT"]


def test_given_variables_outlive_the_run_and_are_hidden(supernode: FakeNode, gate: FakeOneGate) -> None:
    superlink_is_up(gate)
    admitted(gate)
    supernode.configure(MAX_RETRIES="7")
    kept = supernode.path("/etc/flower-ops/overrides.json")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert json.loads(kept.read_text())["variables"] == {"ONEAPP_FL_MAX_RETRIES": "7"}
    gate.vms["5"] = ("workers", {**gate.of("5"), "ROLE_NAME": "workers"})
    supernode.reboot()
    assert supernode.boot()[0] == 0
    assert "--max-retries 7" in supernode.path("/opt/flower/config/supernode.env").read_text()
    # Another run with variables of its own replaces them, also with none at all; one that is refused does not.
    supernode.configure(LOG_LEVEL="LOUD")
    assert json.loads(kept.read_text())["variables"] == {"ONEAPP_FL_MAX_RETRIES": "7"}
    supernode.configure()
    assert json.loads(kept.read_text()) == {"role": "supernode", "variables": {}}


def test_a_check_leaves_no_trace(supernode: FakeNode, gate: FakeOneGate) -> None:
    superlink_is_up(gate)
    request = agent.Request("supernode", {"ONEAPP_FL_MAX_RETRIES": "7"}, True, supernode.root)
    agent.configure(request, supernode.systemd, supernode.sleep, supernode.clock)
    assert not supernode.path("/etc/flower-ops").exists() and not supernode.path("/run/flower-ops").exists()


def test_the_command_ends_with_the_code_that_the_unit_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["boot", "--root", str(tmp_path)]) == 2
    assert "set ONEAPP_FL_ROLE" in capsys.readouterr().out
    (tmp_path / "run/one-context").mkdir(parents=True)
    (tmp_path / "run/one-context/one_env").write_text('export ONEAPP_FL_ROLE="superlink"\n')
    assert main(["boot", "--root", str(tmp_path)]) == 1
    assert "Flower is not installed" in capsys.readouterr().out
    (tmp_path / "opt/flower/venv/lib/python3.11/site-packages/flwr-1.34.0.dist-info").mkdir(parents=True)
    with (tmp_path / "run/one-context/one_env").open("a") as stream:
        stream.write('export ETH0_IP="10.0.0.8"\n')
    # A tree of files is no VM that could be ready.
    assert main(["boot", "--root", str(tmp_path)]) == 0
    assert capsys.readouterr().out.endswith("nothing was started.\n")
