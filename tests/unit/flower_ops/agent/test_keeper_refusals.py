# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the keeper of a node decides that is refused: by whom, for how long, and with which process."""

from __future__ import annotations

from dataclasses import replace

import pytest
from flower_ops.keeper import keeper_node
from flower_ops.keeper.keeper_look import Action, Kind, Look
from flower_ops.keeper.keeper_node import NodeKeeper
from keeper_support import KNOWN, REFUSALS, STEP, VIEW, first_action, node


@pytest.mark.parametrize("line", REFUSALS)
def test_key_revoked_waits_for_the_registrar_then_makes_a_new_key(line: str) -> None:
    brain = node()
    brain.decide(Look(0, lines=[line], connected=True, view=VIEW))
    assert not brain.online and brain.wants_view(10)
    waited, action = first_action(brain, 300, connected=True, view=VIEW, start=10)
    assert 10 + waited == keeper_node.REFUSED and action is not None and action.kind is Kind.NEW_KEY
    told = node()
    told.decide(Look(0, lines=[line], connected=True, view=VIEW))
    waited, action = first_action(told, 60, view=replace(VIEW, retired_key="key-1"), start=10)
    assert waited == 0 and action is not None and action.kind is Kind.CONFIGURE


def test_a_key_that_is_being_rotated_is_not_replaced_once_more() -> None:
    waited, action = first_action(node(), 120, lines=[REFUSALS[0]], connected=True, view=VIEW, key_in_use=False)
    assert waited == 20 and action is not None and action.kind is Kind.CONFIGURE and "former key" in action.why


def test_an_accepted_node_is_not_refused_any_more() -> None:
    brain = node()
    brain.decide(Look(0, lines=[REFUSALS[0]], connected=True))
    brain.decide(Look(10, lines=["INFO : SuperNode ID: 1234"], connected=True))
    assert first_action(brain, 600, connected=True, start=20)[1] is None


def test_a_node_that_is_accepted_without_a_word_is_not_refused_any_more() -> None:
    brain = node()
    brain.decide(Look(0, pid=7, connected=True))
    # Ended and started again by systemd between two looks; at the log level WARNING it says no more.
    brain.decide(Look(10, pid=8, lines=[REFUSALS[0]], connected=True))
    assert not brain.online
    assert first_action(brain, 600, pid=8, connected=True, start=20)[1] is None
    assert brain.online and not brain.troubled
    # One that is refused again and again never lives that long.
    stubborn = node()
    actions = [
        stubborn.decide(Look(STEP * step, pid=10 + step, lines=[REFUSALS[0]], connected=True)) for step in range(17)
    ]
    assert Kind.NEW_KEY in [action.kind for action in actions if action is not None]


def test_a_late_word_of_the_refused_process_is_not_blamed_on_its_successor() -> None:
    brain = node()
    waited, action = first_action(brain, 300, pid=7, lines=[REFUSALS[0]], connected=True, view=VIEW)
    assert waited == keeper_node.REFUSED and action is not None and action.kind is Kind.NEW_KEY
    brain.acted(waited, KNOWN, action.kind)
    # What the former process said while the agent was at work is read by the first look after it, or by the one that
    # sees no process; the new one says nothing at the log level WARNING.
    start = waited + STEP
    assert brain.decide(Look(start, active=False, pid=0, lines=[REFUSALS[1]])) is None
    assert brain.decide(Look(start + STEP, pid=8, lines=[REFUSALS[0]], connected=True)) is None
    assert first_action(brain, 1200, pid=8, connected=True, view=VIEW, start=start + 2 * STEP)[1] is None
    assert brain.online and not brain.troubled


def test_a_successor_that_is_refused_too_is_not_taken_for_its_former_process() -> None:
    brain = node()
    waited, action = first_action(brain, 300, pid=7, lines=[REFUSALS[0]], connected=True, view=VIEW)
    assert action is not None
    brain.acted(waited, KNOWN, action.kind)
    start = waited + STEP
    assert brain.decide(Look(start, pid=8, connected=True)) is None
    again, action = first_action(brain, 600, pid=8, lines=[REFUSALS[0]], connected=True, start=start + STEP)
    assert again == keeper_node.REFUSED and action is not None and action.kind is Kind.NEW_KEY


def parked(brain: NodeKeeper) -> float:
    """Let a node be refused until its unit is stopped; returns when that was."""
    now = 0.0
    while now < 600:
        # systemd starts it every 2 s, so every look sees another process.
        action = brain.decide(Look(now, pid=100 + int(now), lines=[REFUSALS[0]], connected=True))
        if action is not None:
            assert action.kind is Kind.STOP and action.unit == keeper_node.UNIT and "register its key" in action.why
            brain.acted(now, brain.known, action.kind)
            return now
        now += STEP
    raise AssertionError("it is started for ever")


def test_a_node_of_another_site_that_is_refused_keeps_its_key_and_is_tried_every_five_minutes() -> None:
    brain = node(replace(KNOWN, superlink_vm=""))
    # As long as a SuperLink may take for noticing that the former process of this node is dead, nothing is done.
    now = parked(brain)
    assert now == keeper_node.REFUSED and not brain.online
    for _again in range(4):
        waited, action = first_action(brain, 600, active=False, pid=0, connected=False, start=now + STEP)
        now += STEP + waited
        assert action == Action(Kind.START, "", keeper_node.UNIT) and waited + STEP == keeper_node.RETRY
        brain.acted(now, brain.known, action.kind)
        assert brain.decide(Look(now + STEP, pid=7, connected=True)) is None
        # It was told once; and the first refusal of a try is its last.
        now += 2 * STEP
        action = brain.decide(Look(now, pid=7, lines=[REFUSALS[0]], connected=True))
        assert action == Action(Kind.STOP, "", keeper_node.UNIT)
        brain.acted(now, brain.known, action.kind)


def test_a_registered_key_heals_a_refused_node_at_its_next_try() -> None:
    brain = node(replace(KNOWN, superlink_vm=""))
    now = parked(brain) + keeper_node.RETRY
    action = brain.decide(Look(now, active=False, pid=0, connected=False))
    assert action is not None and action.kind is Kind.START
    brain.acted(now, brain.known, action.kind)
    waited, action = first_action(brain, 120, pid=7, connected=True, start=now + STEP)
    assert waited == keeper_node.DOWN and action == Action(Kind.TELL, "The SuperLink accepts this node again.")
    now += STEP + waited
    brain.acted(now, brain.known, action.kind)
    assert first_action(brain, 3600, pid=7, connected=True, start=now + STEP)[1] is None and not brain.troubled


def test_a_refused_node_that_somebody_else_starts_is_watched_as_before() -> None:
    brain = node(replace(KNOWN, superlink_vm=""))
    now = parked(brain) + STEP
    assert first_action(brain, 600, pid=7, connected=True, start=now)[1] is None
    assert brain.decide(Look(now + 620, active=False, pid=0, connected=False)) is None
    waited, action = first_action(brain, 60, active=False, pid=0, connected=False, start=now + 630)
    assert action == Action(Kind.CONFIGURE, "The SuperNode does not run.")
