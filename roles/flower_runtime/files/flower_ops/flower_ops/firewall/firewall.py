# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host firewall: one nftables table of our own, loaded in one step, and again at every boot."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path

from flower_ops import rules as forms
from flower_ops.firewall import firewall_rules, subnets
from flower_ops.machine.errors import NodeError
from flower_ops.machine.files import Files
from flower_ops.machine.locks import held
from flower_ops.machine.paths import Paths
from flower_ops.node.node import Node

UNIT = "flower-firewall.service"
RULES = "/etc/flower-ops/firewall.nft"
MEMBERS = "/etc/flower-ops/firewall.d/members.nft"
CODE = "firewall_failed"
#: What is loaded and what is stored belong together, and both the agent and the registrar do both.
_LOCK = f"{Paths.private}/firewall.lock"
_LIVE = "nftables table inet flower"
_PATH = "/usr/sbin:/sbin:/usr/bin:/bin"


def apply(node: Node) -> None:
    """Let in what the role of this VM needs and nothing else; or take our table away when it is switched off."""
    # Rules of a tree of files are never loaded into the kernel that happens to run.
    live = node.paths.root == Path("/")
    node.facts["firewall"] = node.is_on("FIREWALL")
    with nullcontext() if node.check else held(node.paths.at(_LOCK)):
        if node.is_on("FIREWALL"):
            _exchange(node, live)
        else:
            _remove(node, live)


def _exchange(node: Node, live: bool) -> None:
    text = _wanted(node)
    loaded = live and _ready(node) and firewall_rules.mark_of(_in_force()) == firewall_rules.mark_of(text)
    if live and not loaded:
        node.files.record(_LIVE, "absent or other rules\n", f"rules of {RULES}\n")
        if not node.check:
            # Loaded before it is stored: rules that nftables refuses leave the old ones in force and on the disk.
            _load(text)
    node.files.write(RULES, text.encode(), 0o600, "root:root")
    if live:
        _at_boot(node)


def _ready(node: Node) -> bool:
    """Whether there is something to load rules with and at boot; a check of a VM that is not set up yet goes on."""
    missing = ""
    if not _nft():
        missing = "The command nft is missing on this VM; install the package nftables"
    elif not node.systemd.state(UNIT).loaded:
        missing = f"There is no unit {UNIT} on this VM; apply the role flower_runtime again"
    if missing and not node.check:
        raise NodeError(f"{missing}, or set ONEAPP_FL_FIREWALL=NO.", CODE)
    if missing:
        node.warnings.append(f"{missing}; the firewall cannot be predicted")
    return not missing


def _wanted(node: Node) -> str:
    if node.role != "superlink":
        return firewall_rules.rules()
    port = forms.split_address(node.value("FLEET_API_ADDRESS"))[1]
    host = forms.split_address(node.value("CONTROL_API_ADDRESS"))[0]
    if host not in ("127.0.0.1", "::1", "localhost"):
        node.warnings.append(
            "ONEAPP_FL_CONTROL_API_ADDRESS is not on loopback, but the firewall lets nobody reach it; use an SSH tunnel"
        )
    networks = forms.split_networks(node.value("ALLOWED_NETWORKS"))
    if not networks and "SERVICE_ID" not in node.own_attributes():
        # Nobody tells which VMs are members, so the neighbours may knock; TLS and node keys stand behind this door.
        networks = subnets.own(node.context, node.paths.root)
    return firewall_rules.rules(port, networks)


def _at_boot(node: Node) -> None:
    state = node.systemd.state(UNIT)
    if not state.enabled:
        node.files.record(UNIT, "not enabled\n", "enabled\n")
    if not state.active:
        node.files.record(UNIT, "stopped\n", "running\n")
    if node.check:
        return
    if not state.enabled:
        node.systemd.enable(UNIT)
    if not state.active:
        node.systemd.restart(UNIT)


def _remove(node: Node, live: bool) -> None:
    old = node.files.read(RULES)
    if old is not None:
        node.files.record(RULES, old.decode(errors="replace"), "")
        if not node.check:
            # Without this file the unit does nothing at boot.
            node.paths.at(RULES).unlink()
    if live and _nft() and firewall_rules.mark_of(_in_force()):
        node.files.record(_LIVE, "present\n", "absent\n")
        if not node.check:
            _load(f"delete table {firewall_rules.TABLE}\n")


def in_force(paths: Paths) -> bool:
    """Whether the stored rules are those that the kernel has; True as well where there are none to have."""
    stored = Files(paths).read(RULES)
    return stored is None or firewall_rules.mark_of(_in_force()) == firewall_rules.mark_of(stored.decode())


def admit(paths: Paths, addresses: Iterable[str]) -> bool:
    """Let exactly these members reach the Fleet API, now and after a reboot. Returns whether that was new.

    NodeError when nftables does not take them; they are stored only after it has, so the next call tries again.
    """
    files = Files(paths)
    text = firewall_rules.members(addresses).encode()
    if files.read(MEMBERS) == text:
        return False
    # Rules that are loaded in between would bring the members of before back.
    with held(paths.at(_LOCK)):
        if paths.root == Path("/") and files.read(RULES) is not None:
            _load(text.decode())
        files.store(MEMBERS, text)
    return True


def _nft() -> str:
    return shutil.which("nft", path=f"{os.environ.get('PATH', '')}:{_PATH}") or ""


def _in_force() -> str:
    """The chain that holds our mark, as the kernel has it; empty when there is none."""
    return _call(["list", "chain", *firewall_rules.TABLE.split(), "input"])[1] if _nft() else ""


def _load(text: str) -> None:
    code, _output, errors = _call(["-f", "-"], text)
    if code:
        raise NodeError(f"nftables did not take the firewall's rules, the old ones stay in force: {errors}.", CODE)


def _call(arguments: list[str], text: str = "") -> tuple[int, str, str]:
    try:
        done = subprocess.run(
            [_nft() or "nft", *arguments], input=text, capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NodeError(
            f"nft could not be run ({error}); install the package nftables, or set ONEAPP_FL_FIREWALL=NO.", CODE
        ) from error
    # nft points at the fault on further lines; the first one says what it is.
    reason = (done.stderr.strip().splitlines() or ["no reason given"])[0].rstrip(".")
    return done.returncode, done.stdout, reason
