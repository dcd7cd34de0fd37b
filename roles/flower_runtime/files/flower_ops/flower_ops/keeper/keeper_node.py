# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the keeper of a SuperNode decides: one look in, at most one action out. It touches nothing itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from flower_ops.keeper.keeper_look import Action, Clocks, Kind, Look, Pauses, View
from flower_ops.machine.known import Known

UNIT = "flower-supernode.service"
#: Seconds for which a unit may be down, or without its executor, before that counts: systemd restarts it by itself.
DOWN = 30.0
#: Seconds that a SuperNode may take from its start to its first connection.
STARTING = 120.0
#: Seconds that a message may lie with nobody working on it.
MUTE = 60.0
#: Seconds for which a refused node waits before it makes a new key on its own. The registrar's word comes sooner, and a
#: node that was cut off hard is refused for a minute, until the SuperLink takes its former process for dead.
REFUSED = 150.0
#: Seconds between two tries of a node that is refused and has nobody to register its key: each costs a start of Flower.
RETRY = 300.0
#: Seconds between two restarts of a node that answers no more.
REVIVAL = 30.0
#: Restarts in a row, seen from look to look, that make a unit one that keeps ending.
FLAPS = 2
#: Seconds between two questions to OneGate: usually, and in trouble.
ASK, ASK_IN_TROUBLE = 60.0, 10.0

_REFUSED = re.compile(
    r"could not be activated|Failed to activate|Node ID -?\d+ not found|No SuperNode found with the given public key"
    r"|All SuperNodes must be registered",
    re.IGNORECASE,
)
_TLS = re.compile(r"handshake (failed|error)|CERTIFICATE_VERIFY_FAILED|certificate verify failed", re.IGNORECASE)
_ACCEPTED = re.compile(r"SuperNode ID: -?\d+|Connection successful after")
_RECEIVED, _SENT = re.compile(r"Receiving: .*message"), re.compile(r"Sending: .*message|Ignoring (the |reply )?message")


@dataclass(frozen=True)
class Settings:
    """How this node is set: `every` and `grace` are ONEAPP_FL_GRPC_KEEPALIVE_TIME and _TIMEOUT in seconds."""

    version: str
    every: float = 30.0
    grace: float = 20.0
    is_zombie_line: Callable[[str], bool] = lambda line: False
    auth: bool = True


class NodeKeeper:
    """Remembers from look to look. `known` is what the node was last configured with, None before that."""

    def __init__(self, settings: Settings, known: Known | None) -> None:
        self.settings = settings
        self.known = known
        self.connected = True
        self._clocks = Clocks()
        self._pauses = Pauses()
        self._asked = self._looked = float("-inf")
        self._pid = self._refused_pid = 0
        #: Whether an action was carried out since a process was last seen: another process is no sign of trouble then.
        self._touched = False
        self._flaps = 0
        self._refused = self._tls = self._open_message = False
        self._view: View | None = None
        self._zombie = ""
        self._revived = float("-inf")
        #: Since when the unit is stopped because nobody will take it in.
        self._parked: float | None = None
        #: Whether the process that runs now is such a node's next try.
        self._trying = False
        #: Whether the process that runs now has been connected.
        self._met = False
        #: The last run of the agent failed, and what it said of this VM still stands in OneGate.
        self.unfinished = False

    # -- what the next look should contain -----------------------------------------------------------------------

    @property
    def online(self) -> bool:
        """Whether the SuperLink can reach this node, as far as this node can tell."""
        return self.connected and not (self._refused or self._tls)

    @property
    def troubled(self) -> bool:
        """Whether anything is not as it should be."""
        return not self.online or self._flaps > 0

    def wants_view(self, now: float) -> bool:
        """Whether it is time to ask OneGate, which a node with a given address never does."""
        by_onegate = self.known is not None and bool(self.known.superlink_vm)
        return by_onegate and now - self._asked >= (ASK_IN_TROUBLE if self.troubled else ASK)

    def wants_connection(self, now: float) -> bool:
        """Whether it is time to look at the connection; always while it is lost."""
        return not self.online or now - self._looked >= self.settings.every

    # -- decision ------------------------------------------------------------------------------------------------

    def decide(self, look: Look) -> Action | None:
        """The one thing to do now, if any."""
        self._take_in(look)
        if look.boot:
            return None
        if look.rebooted:
            return self._once(look, Action(Kind.CONFIGURE, "The VM was started anew."))
        if self._zombie and look.now - self._revived >= REVIVAL:
            # Later it would be too late: the round that goes on waits for this node.
            self._revived = look.now
            return Action(Kind.RESTART, "The SuperNode answers no more.", UNIT, f"Its log says: {self._zombie}")
        if self._trying:
            if self._refused:
                return Action(Kind.STOP, "", UNIT)
            if self._met and self._clocks.note("taken in", self.connected, look.now) >= DOWN:
                self._trying = False
                return Action(Kind.TELL, "The SuperLink accepts this node again.")
        reason = self._changed()
        action = Action(Kind.CONFIGURE, reason) if reason else self._parking(look) or self._trouble(look)
        return self._once(look, action)

    def acted(self, now: float, known: Known | None, kind: Kind | None = None) -> None:
        """An action has been carried out."""
        self.known = known
        self._parked = now if kind is Kind.STOP else None
        self._trying = kind is Kind.START or (self._trying and kind is Kind.RESTART)
        if kind is not Kind.START:
            self._pauses.used(now)
        self._clocks.clear()
        self._refused = self._tls = self._open_message = False
        # The process is remembered: what it logs while the action goes on is read by the next look.
        self._flaps, self._touched = 0, True
        self._view, self._zombie, self._met = None, "", False
        self._asked = now
        if kind is Kind.STOP:
            self.connected = False

    def _once(self, look: Look, action: Action | None) -> Action | None:
        return action if action is not None and self._pauses.open(look.now) else None

    def _take_in(self, look: Look) -> None:
        # What was logged since the last look is the word of the process that ran then.
        writer = self._pid or look.pid
        former = writer != look.pid
        if look.pid != self._pid:
            self._met, self._zombie = False, ""
        for line in look.lines:
            if self.settings.is_zombie_line(line) and not former:
                self._zombie = line
            if _ACCEPTED.search(line):
                self._refused = self._tls = False
            if _REFUSED.search(line):
                self._refused, self._refused_pid = True, writer
            if _TLS.search(line) and not (former and self._touched):
                # One that ends by it again and again never runs at two looks, so only our own action makes it old news.
                self._tls = True
            if _RECEIVED.search(line):
                self._open_message = True
            elif _SENT.search(line):
                self._open_message = False
        if look.view is not None:
            self._view, self._asked = look.view, look.now
        if look.connected is not None:
            self.connected, self._looked = look.connected, look.now
            self._met = self._met or look.connected
        if look.pid and former:
            self._flaps += 0 if self._touched else 1
            self._clocks.note("steady", False, look.now)
        elif self._clocks.note("steady", look.active and look.pid == self._pid, look.now) >= DOWN:
            self._flaps = 0
            if self.connected and look.pid != self._refused_pid:
                # Accepted without a word, as at the log level WARNING: one that is refused ends within seconds.
                self._refused = False
        if look.pid:
            self._pid, self._touched = look.pid, False

    def _changed(self) -> str:
        """How OneGate differs from what this node was configured with; empty when it does not."""
        view, known = self._view, self.known
        if view is None or known is None:
            return ""
        if known.public_key and view.retired_key == known.public_key:
            return "The key of this node is not valid any more."
        if not view.superlink_vm:
            return ""
        if view.superlink_vm != known.superlink_vm:
            return f"The SuperLink is another VM now: {view.superlink_vm} at {view.endpoint}."
        if view.endpoint != known.endpoint:
            return f"The SuperLink moved from {known.endpoint} to {view.endpoint}."
        if view.ca != known.ca:
            return "The SuperLink has other certificates to trust."
        if view.version and view.version != self.settings.version:
            return f"The SuperLink runs Flower {view.version} now."
        if known.partition and view.partition and view.partition != known.partition:
            return f"The partition of this node is {view.partition} now."
        return ""

    def _parking(self, look: Look) -> Action | None:
        """The next try of a node that nobody took in. Whoever else starts it has taken it out of our hands."""
        if self._parked is None or look.active:
            self._parked = None
            return None
        return Action(Kind.START, "", UNIT) if look.now - self._parked >= RETRY else None

    def _trouble(self, look: Look) -> Action | None:
        now, grace, note = look.now, self.settings.grace, self._clocks.note
        down = note("down", not look.active and self._parked is None, now)
        refused = note("refused", self._refused, now)
        untrusted = note("tls", self._tls, now)
        headless = note("executor", look.active and self._met and self.connected and not look.executor, now)
        mute = note("mute", self._open_message and not look.app, now)
        lost = note("lost", look.active and not self.connected, now)
        if untrusted >= grace:
            return Action(Kind.CONFIGURE, "The certificate of the SuperLink was not accepted.")
        if refused >= grace and self._parked is None:
            return self._about_refusal(look, refused)
        if down >= DOWN:
            return Action(Kind.CONFIGURE, "The SuperNode does not run.")
        if not look.firewall:
            return Action(Kind.CONFIGURE, "The firewall was not in force.")
        if self._flaps >= FLAPS and not self._refused:
            return Action(Kind.CONFIGURE, "The SuperNode keeps ending.")
        if headless >= DOWN:
            return Action(Kind.RESTART, "The SuperNode is connected, but what starts its apps has ended.", UNIT)
        if mute >= MUTE:
            return Action(Kind.RESTART, "The SuperNode took a message, and nobody works on it.", UNIT)
        # A process that has only just begun may take its time on a busy machine.
        if lost >= (grace if self._met else max(grace, STARTING)) and not self._superlink_is_away():
            return Action(Kind.RESTART, f"There is no connection to the SuperLink at {self._endpoint()}.", UNIT)
        if (self.unfinished or self._complained()) and self.online and not self._superlink_is_away():
            return Action(Kind.CONFIGURE, "What failed before may work now.")
        return None

    def _complained(self) -> bool:
        """Whether OneGate still shows a failure of this node."""
        return self._view is not None and bool(self._view.error)

    def _superlink_is_away(self) -> bool:
        """Whether there is nobody to connect to, so that a restart would help nothing."""
        return self._view is not None and not self._view.superlink_vm

    def _endpoint(self) -> str:
        return self.known.endpoint if self.known is not None else "an unknown address"

    def _about_refusal(self, look: Look, seconds: float) -> Action | None:
        by_onegate = self.known is not None and bool(self.known.superlink_vm)
        if not by_onegate or not self.settings.auth:
            # Each start costs seconds of a processor here, and work of the SuperLink; nothing is gained by hurry.
            why = "The SuperLink refuses this node; its operator has to register its key. It is tried every 5 minutes."
            return Action(Kind.STOP, why, UNIT) if seconds >= REFUSED else None
        if not look.key_in_use:
            # A new pair that the registrar has taken already; only the service does not have it yet.
            return Action(Kind.CONFIGURE, "The SuperLink refuses the former key of this node.")
        # The registrar looks into it as soon as this node says that it is not connected, and usually is faster.
        return Action(Kind.NEW_KEY, "The SuperLink refuses the key of this node.") if seconds >= REFUSED else None
