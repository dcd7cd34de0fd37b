# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The eyes of the keeper: how a look at a VM of each role comes about. Reading only; deciding is done elsewhere."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from flower_ops import context as variables
from flower_ops import profiles
from flower_ops.agent import discovery, serving
from flower_ops.firewall import firewall
from flower_ops.keeper import run_state
from flower_ops.keeper.keeper_link import GATE, REGISTRAR, LinkKeeper
from flower_ops.keeper.keeper_link import UNIT as LINK_UNIT
from flower_ops.keeper.keeper_look import Action, Look, View
from flower_ops.keeper.keeper_node import UNIT as NODE_UNIT
from flower_ops.keeper.keeper_node import NodeKeeper, Settings
from flower_ops.keeper.metrics import Activity
from flower_ops.machine import addresses, known, processes
from flower_ops.machine.errors import NodeError, OneGateError
from flower_ops.machine.files import Files
from flower_ops.machine.given import busy, recall
from flower_ops.machine.journal import Lines
from flower_ops.machine.onegate import OneGate
from flower_ops.machine.paths import Paths
from flower_ops.machine.systemd import ServiceManager, UnitState

BOOT = "flower-boot.service"
#: Seconds for which what systemd said of a unit is believed while its main process lives.
FRESH = 60.0
#: Seconds between two looks at the packet filter, each of which starts a process of 4 ms.
FIREWALL = 60.0


class Sight(ABC):
    """What both roles have in common. `now` is monotonic time in seconds throughout."""

    role: str
    unit: str

    def __init__(self, paths: Paths, systemd: ServiceManager, lines: Lines, now: float) -> None:
        self.paths, self.systemd, self.lines = paths, systemd, lines
        self.files = Files(paths)
        self.activity = Activity()
        self._units: dict[str, tuple[float, UnitState]] = {}
        self._boot_is_over = False
        self._firewall = now
        self._stamps: dict[str, float] = {}
        self.read_again()

    @abstractmethod
    def decide(self, now: float) -> Action | None:
        """Look, and say what to do."""

    @abstractmethod
    def acted(self, now: float, action: Action, failed: bool | None) -> None:
        """An action has been carried out; `failed` tells how the agent ended, None where it was not asked."""

    @abstractmethod
    def metrics(self, now: float) -> dict[str, str]:
        """Numbers for OneGate."""

    def read_again(self) -> bool:
        """Take over CONTEXT and given variables, should they have changed. Returns whether they did."""
        stamps = {path: _stamp(self.paths.at(path)) for path in self._inputs()}
        if stamps == self._stamps:
            return False
        self._stamps = stamps
        text = (self.files.read(self.paths.one_env) or b"").decode(errors="replace")
        self.context: Mapping[str, str] = variables.parse_one_env(text)
        self.values = variables.merge(self.role, self.context, recall(self.files).variables)
        # One short try at a time: the next look is the next try.
        self.gate = OneGate.from_context(self.context, timeout=5.0, tries=1)
        return True

    def refuse_own_key(self) -> None:
        """Let the agent make a new key pair in place of the present one."""
        self.files.store(self.paths.refused, self.files.read(self.paths.node_pub) or b"")

    def _inputs(self) -> tuple[str, ...]:
        return (self.paths.one_env, self.paths.overrides)

    def _state(self, unit: str, now: float) -> UnitState:
        """State of a unit; systemd is only asked when its process has gone, or now and then."""
        asked, state = self._units.get(unit, (float("-inf"), UnitState(False, False, False)))
        alive = state.main_pid and processes.command(state.main_pid)
        if not alive or now - asked >= FRESH:
            state = self.systemd.state(unit)
            self._units[unit] = (now, state)
        return state

    def _boot(self) -> tuple[bool, bool]:
        """(The boot unit or another run of the agent is at work, this VM was started anew and has no such unit)."""
        if busy(self.paths):
            return True, False
        fresh = self.files.read(self.paths.booted) is None
        if self._boot_is_over:
            return False, False
        boot = self.systemd.state(BOOT)
        pending = boot.loaded and not boot.active and (boot.activating or fresh)
        self._boot_is_over = not fresh and not pending
        return pending, fresh and not boot.loaded

    def _firewall_in_force(self, now: float) -> bool:
        # The rules of a tree of files are in no kernel.
        if now - self._firewall < FIREWALL or self.paths.root != Path("/"):
            return True
        self._firewall = now
        return firewall.in_force(self.paths)


class NodeSight(Sight):
    """Eyes on a SuperNode."""

    role, unit = "supernode", NODE_UNIT

    def __init__(self, paths: Paths, systemd: ServiceManager, lines: Lines, now: float) -> None:
        super().__init__(paths, systemd, lines, now)
        self.brain = NodeKeeper(self._settings(), known.load(self.files))

    def decide(self, now: float) -> Action | None:
        """See Sight."""
        if self.read_again():
            self.brain.settings, self.brain.known = self._settings(), known.load(self.files)
        state = self._state(self.unit, now)
        below = processes.descendants(state.main_pid) if state.main_pid else {}
        boot, rebooted = self._boot()
        look = Look(
            now,
            active=state.active,
            pid=state.main_pid,
            executor=bool(below) or not state.active,
            app=any("flwr-clientapp" in words for words in below.values()),
            connected=self._connected(state) if self.brain.wants_connection(now) else None,
            lines=self.lines.read(),
            view=self._view() if self.brain.wants_view(now) else None,
            boot=boot,
            rebooted=rebooted,
            key_in_use=self._key_in_use(),
            firewall=self._firewall_in_force(now),
        )
        self.activity.take_in(look.lines, look.app, now)
        return self.brain.decide(look)

    def acted(self, now: float, action: Action, failed: bool | None) -> None:
        """See Sight."""
        self.read_again()
        self._units.clear()
        self.brain.unfinished = self.brain.unfinished if failed is None else failed
        self.brain.acted(now, known.load(self.files), action.kind)

    def metrics(self, now: float) -> dict[str, str]:
        """See Sight."""
        return self.activity.of_node(self.brain.online, now)

    def _inputs(self) -> tuple[str, ...]:
        return (*super()._inputs(), self.paths.known)

    def _settings(self) -> Settings:
        value = self.values
        profile = profiles.profile(value["ONEAPP_FLOWER_VERSION"])
        return Settings(
            profile.version,
            every=float(value["ONEAPP_FL_GRPC_KEEPALIVE_TIME"]),
            grace=float(value["ONEAPP_FL_GRPC_KEEPALIVE_TIMEOUT"]),
            is_zombie_line=profile.is_zombie_line,
            auth=value["ONEAPP_FL_SUPERNODE_AUTH"] == value["ONEAPP_FL_TLS_ENABLED"] == "YES",
        )

    def _key_in_use(self) -> bool:
        used = self.brain.known.public_key if self.brain.known is not None else ""
        return not used or (self.files.read(self.paths.node_pub) or b"").decode().strip() == used

    def _connected(self, state: UnitState) -> bool:
        endpoint = self.brain.known.endpoint if self.brain.known is not None else ""
        return state.active and (not endpoint or self.systemd.reaches(endpoint))

    def _view(self) -> View | None:
        if self.gate is None:
            return None
        try:
            peers = self.gate.peers()
        except OneGateError:
            return None
        own = next((peer.attributes for peer in peers if peer.vm_id == self.gate.vm_id), {})
        mine = View(
            partition=known.partition(own),
            retired_key=own.get("FL_RETIRED_KEY", ""),
            error=own.get("FL_ERROR", ""),
        )
        superlink = discovery.superlink_of(peers)
        if superlink is None:
            return mine
        try:
            endpoint = discovery.endpoint_of(superlink.attributes)
        except NodeError:
            return mine
        ca, version = superlink.attributes.get("FL_CA_CERT", ""), superlink.attributes.get("FL_VERSION", "")
        return replace(mine, superlink_vm=superlink.vm_id, endpoint=endpoint, ca=known.digest(ca), version=version)


class LinkSight(Sight):
    """Eyes on a SuperLink."""

    role, unit = "superlink", LINK_UNIT

    def __init__(self, paths: Paths, systemd: ServiceManager, lines: Lines, now: float) -> None:
        super().__init__(paths, systemd, lines, now)
        self.brain = LinkKeeper(self.gate is not None, now)

    def decide(self, now: float) -> Action | None:
        """See Sight."""
        self.read_again()
        # Nobody needs them, but they must not pile up.
        self.lines.read()
        state = self._state(self.unit, now)
        below = processes.descendants(state.main_pid) if state.main_pid else {}
        boot, rebooted = self._boot()
        trouble, door = self._trouble() if state.active and self.brain.wants_door(now) else (None, "")
        look = Look(
            now,
            active=state.active,
            pid=state.main_pid,
            app=any("flwr-serverapp" in words for words in below.values()),
            boot=boot,
            rebooted=rebooted,
            registrar=self._state(REGISTRAR, now).active,
            addresses=tuple(addresses.own(self.context)),
            firewall=self._firewall_in_force(now),
            trouble=trouble,
            door=door,
        )
        self.activity.take_in([], look.app, now)
        return self.brain.decide(look)

    def acted(self, now: float, action: Action, failed: bool | None) -> None:
        """See Sight."""
        self.read_again()
        self._units.clear()
        self.brain.unfinished = self.brain.unfinished if failed is None else failed
        self.brain.acted(now, tuple(addresses.own(self.context)), trouble=bool(action.why))

    def metrics(self, now: float) -> dict[str, str]:
        """See Sight."""
        return {**self.activity.of_superlink(now), **run_state.attributes(self.paths.at(run_state.FILE))}

    def _trouble(self) -> tuple[str | None, str]:
        """What is wrong with the doors (see Look.trouble), and the unit that holds the one that is shut."""
        # Nothing listens for a tree of files.
        if not self.systemd.available:
            return None, ""
        shut = serving.shut(self.values, profiles.profile(self.values["ONEAPP_FLOWER_VERSION"]), self.paths)
        return ("", "") if shut is None else (str(shut), GATE if shut.at_gate else LINK_UNIT)


def _stamp(place: Path) -> float:
    try:
        return place.stat().st_mtime
    except OSError:
        return 0.0
