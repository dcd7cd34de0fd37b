# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host firewall as text, and the step of the agent that writes it. Packets are tried on real VMs elsewhere."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from agent_support import FakeNode, FakeSystemd
from fake_onegate import FakeOneGate
from flower_ops import context, profiles
from flower_ops.firewall import firewall, firewall_rules, subnets
from flower_ops.machine.errors import NodeError
from flower_ops.machine.files import Files
from flower_ops.machine.paths import Paths
from flower_ops.node.node import Node

RULES = "etc/flower-ops/firewall.nft"
FAKE_NFT = """#!/bin/sh
# Keeps what it was given as the rules in force; refuses text that holds the word "refused".
case "$1" in
  list) cat {state} 2>/dev/null ;;
  -f) cat > {state}.new; echo load >> {state}.calls
      # Who finds the file "hold" is held up until it is told to go on.
      if mv {state}.hold {state}.held 2>/dev/null; then while test -e {state}.held; do sleep 0.02; done; fi
      if grep -q refused {state}.new; then echo "/dev/stdin:1:1-7: Error: syntax error" >&2; exit 1; fi
      mv {state}.new {state} ;;
esac
"""


def chain(text: str, name: str) -> list[str]:
    """Rules of a chain."""
    return [line.strip() for line in text.partition(f"chain {name} {{")[2].partition("}\n  ")[0].splitlines()][1:]


def test_a_supernode_lets_in_ssh_and_what_a_network_needs() -> None:
    text = firewall_rules.rules()
    rules = chain(text, "input")
    assert rules[0] == "type filter hook input priority filter; policy drop;"
    assert [rule for rule in rules if "tcp dport" in rule] == ["tcp dport 22 accept"]
    assert "saddr @" not in text and "include" not in text
    assert any(rule.startswith("icmpv6") and "nd-neighbor-solicit" in rule for rule in rules)


def test_only_our_own_table_is_touched() -> None:
    text = firewall_rules.rules(9092, ["10.0.0.0/8"]) + firewall_rules.members(["10.0.0.1"])
    assert "flush ruleset" not in text and "flush table" not in text
    assert all(
        "inet flower" in line for line in text.splitlines() if line.startswith(("table", "delete", "flush", "add"))
    )


def test_a_superlink_opens_its_port_to_members_and_named_networks_only() -> None:
    text = firewall_rules.rules(19092, ["192.0.2.0/25", "fd00::/64", "192.0.2.128/25", "192.0.2.7"])
    opened = [rule for rule in chain(text, "input") if "19092" in rule]
    assert len(opened) == 4 and all("saddr @" in rule for rule in opened)
    assert "elements = { 192.0.2.0/24 }" in text and "elements = { fd00::/64 }" in text
    assert 'include "/etc/flower-ops/firewall.d/*.nft"' in text


@pytest.mark.parametrize("rules", [firewall_rules.rules(), firewall_rules.rules(9092)])
def test_mail_goes_out_nowhere_and_containers_are_left_alone(rules: str) -> None:
    for name in ("output", "forward"):
        first, mail = [line for line in chain(rules, name) if line][:2]
        assert first.endswith("policy accept;") and "reject" in mail
        assert all(str(port) in mail for port in (25, 26, 465, 587, 2525))


def test_the_mark_tells_rules_apart() -> None:
    marks = {firewall_rules.mark_of(firewall_rules.rules(*given)) for given in ((), (9092,), (9093,), (9092, ["::1"]))}
    assert len(marks) == 4 and all(marks) and firewall_rules.mark_of("table inet other {}") == ""


def test_networks_of_the_own_cards(tmp_path: Path) -> None:
    given = {
        "ETH0_IP": "10.1.2.3",
        "ETH0_MASK": "255.255.0.0",
        "ETH1_IP": "192.168.7.9",
        "ETH1_IP6": "2001:db8::5",
        "ETH1_IP6_PREFIX_LENGTH": "56",
        "ETH2_IP": "10.9.9.9",
        "ETH2_MASK": "0.0.0.0",
        "ETH3_IP": "nonsense",
        "ETH0_GATEWAY": "10.1.0.1",
    }
    assert subnets.own(given, tmp_path) == ["10.1.0.0/16", "192.168.7.0/24", "2001:db8::/56"]


def test_networks_of_the_kernel_where_context_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "proc/net").mkdir(parents=True)
    (tmp_path / "sys/class/net/docker0/bridge").mkdir(parents=True)
    (tmp_path / "proc/net/route").write_text(
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t010F1EAC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "eth0\t000F1EAC\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
        "docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
    )
    zero = "0" * 32
    (tmp_path / "proc/net/ipv6_route").write_text(
        f"fd000030001500000000000000000000 40 {zero} 00 {zero} 00000100 00000001 00000000 00000001     eth0\n"
        f"fe800000000000000000000000000000 40 {zero} 00 {zero} 00000100 00000001 00000000 00000001     eth0\n"
        f"fd000030001500000000000000000002 80 {zero} 00 {zero} 00000000 00000002 00000000 80200001     eth0\n"
        f"{zero} 00 {zero} 00 fd000030001500000000000000000001 00000400 00000001 00000000 00000003     eth0\n"
    )
    assert subnets.own({}, tmp_path) == ["172.30.15.0/24", "fd00:30:15::/64"]


def test_the_agent_writes_the_rules_of_a_superlink_once(superlink: FakeNode) -> None:
    code, answer = superlink.configure(check=True, ALLOWED_NETWORKS="198.51.100.0/24")
    shown = {change["after_header"]: change for change in answer["diff"]}
    assert "198.51.100.0/24" in shown["/etc/flower-ops/firewall.nft"]["after"]
    assert not (superlink.root / RULES).exists()
    code, answer = superlink.configure(ALLOWED_NETWORKS="198.51.100.0/24")
    text = (superlink.root / RULES).read_text()
    assert (
        code == 0 and answer["facts"]["firewall"] is True and (superlink.root / RULES).stat().st_mode & 0o777 == 0o600
    )
    assert f"tcp dport {superlink.ports['fleet']} accept" in text and "10.0.0.0/24" not in text
    code, answer = superlink.configure(ALLOWED_NETWORKS="198.51.100.0/24")
    assert (code, answer["changed"]) == (0, False)


def test_the_neighbours_may_knock_where_neither_service_nor_operator_names_anybody(
    superlink: FakeNode, gate: FakeOneGate
) -> None:
    del gate.of("4")["SERVICE_ID"]
    assert superlink.configure()[0] == 0
    assert "elements = { 10.0.0.0/24 }" in (superlink.root / RULES).read_text()
    assert superlink.configure(ALLOWED_NETWORKS="198.51.100.0/24")[0] == 0
    assert "elements = { 198.51.100.0/24 }" in (superlink.root / RULES).read_text()


def test_the_firewall_is_taken_away_when_it_is_switched_off(superlink: FakeNode) -> None:
    superlink.configure()
    code, answer = superlink.configure(check=True, FIREWALL="NO")
    assert answer["changed"] and (superlink.root / RULES).exists()
    code, answer = superlink.configure(FIREWALL="NO")
    assert code == 0 and answer["facts"]["firewall"] is False and not (superlink.root / RULES).exists()
    assert superlink.configure(FIREWALL="NO")[1]["changed"] is False


def test_a_control_api_that_is_opened_stays_closed_and_says_so(superlink: FakeNode) -> None:
    port = superlink.ports["control"]
    answer = superlink.configure(check=True, CONTROL_API_ADDRESS=f"0.0.0.0:{port}")[1]
    assert any("SSH tunnel" in warning for warning in answer["warnings"])


@pytest.mark.parametrize("wrong", ["10.0.0.7/24", "10.0.0.0", "hospital", "10.0.0.0/24 ; flush ruleset", "10.0.0.0/33"])
def test_wrong_networks_are_refused(superlink: FakeNode, wrong: str) -> None:
    code, answer = superlink.configure(ALLOWED_NETWORKS=wrong)
    assert code == 2 and answer["errors"][0]["name"] == "ONEAPP_FL_ALLOWED_NETWORKS"
    assert not (superlink.root / RULES).exists()


class Live:
    """A VM's own root as far as the firewall goes: files below a folder, and an nft that keeps what it was given."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.state = folder / "kernel"
        self.systemd = FakeSystemd(folder)
        (folder / firewall.UNIT).write_text("[Service]\n")
        (folder / "bin").mkdir()
        nft = folder / "bin/nft"
        nft.write_text(FAKE_NFT.format(state=self.state))
        nft.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}/bin:/usr/bin:/bin")
        monkeypatch.setattr(firewall, "_PATH", "")
        monkeypatch.setattr(Paths, "at", lambda paths, path: folder / "root" / path.lstrip("/"))

    def apply(self, check: bool = False, role: str = "supernode", **values: str) -> Node:
        """Run the step."""
        given = {f"ONEAPP_FL_{name}": value for name, value in values.items()}
        paths = Paths()
        node = Node(
            role,
            context.merge(role, {}, given),
            {},
            profiles.profile(profiles.DEFAULT),
            paths,
            Files(paths, check),
            self.systemd,
            None,
        )
        firewall.apply(node)
        return node

    def loads(self) -> int:
        """How often rules were given to the kernel."""
        calls = Path(f"{self.state}.calls")
        return len(calls.read_text().splitlines()) if calls.exists() else 0


@pytest.fixture
def live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Live:
    """See Live."""
    return Live(tmp_path, monkeypatch)


def test_rules_are_loaded_kept_over_boots_and_loaded_again_when_they_are_lost_by_a_fake_nft(live: Live) -> None:
    assert len(live.apply(check=True).files.changes) == 4 and live.loads() == 0
    assert len(live.apply().files.changes) == 4
    assert live.systemd.calls == [f"enable {firewall.UNIT}", f"restart {firewall.UNIT}"] and live.loads() == 1
    assert live.apply().files.changes == [] and live.loads() == 1 and firewall.in_force(Paths())
    live.state.unlink()
    assert not firewall.in_force(Paths())
    assert [change.header for change in live.apply().files.changes] == ["nftables table inet flower"]
    assert live.loads() == 2 and firewall.in_force(Paths())


def test_only_our_table_is_deleted_when_it_is_switched_off_by_a_fake_nft(live: Live) -> None:
    live.apply()
    assert len(live.apply(check=True, FIREWALL="NO").files.changes) == 2 and live.loads() == 1
    assert len(live.apply(FIREWALL="NO").files.changes) == 2
    assert live.state.read_text() == "delete table inet flower\n" and not Paths().at(firewall.RULES).exists()
    assert live.apply(FIREWALL="NO").files.changes == []


def test_rules_that_are_refused_leave_the_old_ones_in_force_and_on_the_disk_by_a_fake_nft(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    live.apply()
    before, stored = live.state.read_text(), Paths().at(firewall.RULES).read_text()
    rules = firewall_rules.rules
    monkeypatch.setattr(firewall_rules, "rules", lambda *given: rules(*given).replace("tcp dport 22", "refused"))
    monkeypatch.setattr(firewall_rules, "mark_of", lambda text: "other" if "refused" in text else "mine")
    with pytest.raises(NodeError, match="the old ones stay in force: .*syntax error") as caught:
        live.apply()
    assert caught.value.code == "firewall_failed"
    assert live.state.read_text() == before and Paths().at(firewall.RULES).read_text() == stored


@pytest.mark.parametrize("missing", ["nft", "unit"])
def test_what_is_missing_is_said_with_the_way_out(live: Live, missing: str) -> None:
    (live.folder / {"nft": "bin/nft", "unit": firewall.UNIT}[missing]).unlink()
    with pytest.raises(NodeError, match="ONEAPP_FL_FIREWALL=NO") as caught:
        live.apply()
    assert caught.value.code == "firewall_failed" and not Paths().at(firewall.RULES).exists()
    assert "cannot be predicted" in live.apply(check=True).warnings[0]
    assert live.apply(FIREWALL="NO").files.changes == []


def test_members_are_let_in_at_once_and_stored_only_when_the_kernel_took_them_by_a_fake_nft(live: Live) -> None:
    live.apply(role="superlink")
    assert firewall.admit(Paths(), ["10.0.0.5"]) is True and "10.0.0.5" in live.state.read_text()
    assert firewall.admit(Paths(), ["10.0.0.5"]) is False
    (live.folder / "bin/nft").write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(NodeError):
        firewall.admit(Paths(), ["10.0.0.5", "10.0.0.6"])
    assert "10.0.0.6" not in Paths().at(firewall.MEMBERS).read_text()


def test_members_and_rules_are_never_loaded_and_stored_across_each_other_by_a_fake_nft(live: Live) -> None:
    live.apply(role="superlink")
    hold, held = Path(f"{live.state}.hold"), Path(f"{live.state}.held")
    hold.touch()
    admission = threading.Thread(target=firewall.admit, args=(Paths(), ["10.0.0.5"]), daemon=True)
    admission.start()
    end = time.monotonic() + 10
    while not held.exists() and time.monotonic() < end:
        time.sleep(0.01)
    # The kernel has the new member now, the disk does not yet: rules of this moment would take it away again.
    live.state.unlink()
    run = threading.Thread(target=live.apply, kwargs={"role": "superlink"}, daemon=True)
    run.start()
    run.join(0.5)
    assert run.is_alive() and live.loads() == 2
    held.unlink()
    admission.join(10)
    run.join(10)
    assert live.loads() == 3 and "10.0.0.5" in Paths().at(firewall.MEMBERS).read_text()
