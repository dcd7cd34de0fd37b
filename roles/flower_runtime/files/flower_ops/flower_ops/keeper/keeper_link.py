# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the keeper of a SuperLink decides: one look in, at most one action out. It touches nothing itself."""

from __future__ import annotations

from flower_ops.keeper.keeper_look import Action, Clocks, Kind, Look, Pauses

UNIT, REGISTRAR, GATE = "flower-superlink.service", "flower-registrar.service", "flower-gate.service"
#: Seconds for which a unit may be down before that counts: systemd restarts it by itself.
DOWN = 30.0
#: Seconds between two trials of the SuperLink's doors; the second in a row that fails counts.
DOOR = 30.0
#: Seconds between two runs of the agent that find nothing to do but renew what is near its end.
RENEWAL = 3600.0
#: Seconds that a renewal waits for a run to end; certificates are renewed 30 days before their end.
POSTPONED_AT_MOST = 7 * 86400.0


class LinkKeeper:
    """Remembers from look to look. `has_registrar` is whether OneGate tells this VM of its nodes."""

    def __init__(self, has_registrar: bool, now: float) -> None:
        self._has_registrar = has_registrar
        self._clocks = Clocks()
        self._pauses = Pauses()
        self._addresses: tuple[str, ...] = ()
        self._renewed = now
        self._knocked = now
        #: How often in a row a door did not open, and whether the agent has tried to mend that already.
        self._closed = 0
        self._agent_tried = False
        #: The last such door: why it is shut, and the unit that holds it.
        self._why = ""
        self._door = UNIT
        #: The last run of the agent failed, and what it said of this VM still stands in OneGate.
        self.unfinished = False

    def wants_door(self, now: float) -> bool:
        """Whether it is time to try the doors of the SuperLink."""
        if now - self._knocked < DOOR:
            return False
        self._knocked = now
        return True

    def decide(self, look: Look) -> Action | None:
        """The one thing to do now, if any."""
        action = self._wanted(look)
        return action if action is not None and self._pauses.open(look.now) else None

    def acted(self, now: float, addresses: tuple[str, ...], trouble: bool = True) -> None:
        """An action has been carried out; `trouble` False: it was a renewal, after which nothing has to rest."""
        self._addresses = addresses
        self._renewed = now
        self._clocks.clear()
        self._agent_tried = self._closed >= 2 and not self._agent_tried
        self._closed = 0
        if trouble:
            self._pauses.used(now)

    def _reopen(self) -> Action:
        """The agent mends a wrong certificate; a service that it finds in order but silent is started anew."""
        why = f"The SuperLink does not serve: {self._why}."
        return Action(Kind.RESTART, why, self._door) if self._agent_tried else Action(Kind.CONFIGURE, why)

    def _wanted(self, look: Look) -> Action | None:
        self._addresses = self._addresses or look.addresses
        down = self._clocks.note("down", not look.active, look.now)
        if look.trouble is not None:
            self._closed = self._closed + 1 if look.trouble else 0
            self._why, self._door = look.trouble, look.door or UNIT
            self._agent_tried = self._agent_tried and bool(look.trouble)
        unwatched = self._clocks.note("registrar", look.active and not look.registrar, look.now)
        if look.boot:
            return None
        if look.rebooted:
            return Action(Kind.CONFIGURE, "The VM was started anew.")
        if look.addresses and look.addresses != self._addresses:
            before, now = ", ".join(self._addresses), ", ".join(look.addresses)
            return Action(Kind.CONFIGURE, f"The address of this VM changed from {before} to {now}.")
        if down >= DOWN:
            return Action(Kind.CONFIGURE, "The SuperLink does not run.")
        if look.active and self._closed >= 2:
            return self._reopen()
        if not look.firewall:
            return Action(Kind.CONFIGURE, "The firewall was not in force.")
        if self._has_registrar and unwatched >= DOWN:
            return Action(Kind.RESTART, "Nobody watched the members of the federation.", REGISTRAR)
        # While a door is shut at which the agent failed already, it would only fail again.
        if self.unfinished and look.active and not (self._closed and self._agent_tried):
            return Action(Kind.CONFIGURE, "What failed before may work now.")
        due = look.now - self._renewed - RENEWAL
        if due >= 0 and (not look.app or due >= POSTPONED_AT_MOST):
            return Action(Kind.CONFIGURE, "")
        return None
