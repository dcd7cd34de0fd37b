# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the keeper of a SuperLink decides, fed with made-up looks: no clock, no machine."""

from __future__ import annotations

from typing import Any

import pytest
from flower_ops.keeper import keeper_link
from flower_ops.keeper.keeper_link import LinkKeeper
from flower_ops.keeper.keeper_look import Action, Kind, Look
from keeper_support import first_action


def link() -> LinkKeeper:
    return LinkKeeper(has_registrar=True, now=0.0)


def test_a_superlink_whose_address_changed_is_configured() -> None:
    brain = link()
    assert brain.decide(Look(0, addresses=("10.0.0.4",))) is None
    action = brain.decide(Look(10, addresses=("10.0.0.9",)))
    assert action is not None and "from 10.0.0.4 to 10.0.0.9" in action.why
    brain.acted(10, ("10.0.0.9",))
    assert first_action(brain, 600, addresses=("10.0.0.9",), start=20)[1] is None


def test_renewal_waits_for_the_end_of_a_run_but_not_for_ever() -> None:
    brain = link()
    waited, action = first_action(brain, 7200)
    assert waited == keeper_link.RENEWAL and action == Action(Kind.CONFIGURE, "")
    brain.acted(waited, (), trouble=False)
    waited, action = first_action(brain, keeper_link.POSTPONED_AT_MOST + 7200, app=True, start=waited)
    assert waited == keeper_link.RENEWAL + keeper_link.POSTPONED_AT_MOST and action is not None


@pytest.mark.parametrize(
    ("look", "kind", "why"),
    [
        ({"active": False, "pid": 0}, Kind.CONFIGURE, "does not run"),
        ({"registrar": False}, Kind.RESTART, "watched the members"),
        ({"firewall": False}, Kind.CONFIGURE, "firewall"),
        ({"rebooted": True}, Kind.CONFIGURE, "started anew"),
    ],
)
def test_a_superlink_is_mended(look: dict[str, Any], kind: Kind, why: str) -> None:
    waited, action = first_action(link(), 120, **look)
    assert waited <= 30 and action is not None and action.kind is kind and why in action.why


def test_a_superlink_without_onegate_has_no_registrar_to_miss() -> None:
    assert first_action(LinkKeeper(False, 0.0), 600, registrar=False)[1] is None


def test_a_door_that_stays_shut_is_mended_by_the_agent_then_by_a_restart() -> None:
    brain = link()
    assert not brain.wants_door(29) and brain.wants_door(30) and not brain.wants_door(31)
    shut = "certificate of 127.0.0.1:9092 is not trusted (self-signed)"
    assert brain.decide(Look(30, trouble=shut)) is None, "once may be a moment's silence"
    action = brain.decide(Look(60, trouble=shut))
    assert action is not None and action.kind is Kind.CONFIGURE and shut in action.why
    brain.acted(60, ())
    assert brain.decide(Look(100, trouble=shut)) is None
    action = brain.decide(Look(130, trouble=shut))
    assert action is not None and (action.kind, action.unit) == (Kind.RESTART, keeper_link.UNIT)
    brain.acted(130, ())
    # It opens: what comes later is told to the agent first again.
    assert brain.decide(Look(400, trouble="")) is None
    assert brain.decide(Look(430, trouble=shut)) is None
    action = brain.decide(Look(460, trouble=shut))
    assert action is not None and action.kind is Kind.CONFIGURE


def test_the_unit_that_holds_the_shut_door_is_restarted_and_no_other() -> None:
    brain = link()
    shut = {"trouble": "the gate of the Fleet API does not answer", "door": keeper_link.GATE}
    for moment in (30, 60):
        action = brain.decide(Look(moment, **shut))
    assert action is not None and action.kind is Kind.CONFIGURE and "gate of the Fleet API" in action.why
    # The agent waited in vain for that door and failed.
    brain.unfinished = True
    brain.acted(180, ())
    actions = [brain.decide(Look(moment, **shut)) for moment in (190, 200, 210, 220)]
    # That it failed leads to no second run while the door is known to be shut.
    (action,) = [action for action in actions if action is not None][:1]
    assert (action.kind, action.unit) == (Kind.RESTART, keeper_link.GATE)
    brain.acted(220, ())
    brain.decide(Look(250, trouble=""))
    action = brain.decide(Look(300, trouble=""))
    assert action is not None and action.why == "What failed before may work now."


def test_a_door_that_nobody_tried_says_nothing() -> None:
    brain = link()
    assert brain.decide(Look(30, trouble="no connection")) is None
    assert first_action(brain, 600, start=40)[1] is None
    assert brain.decide(Look(650, trouble="")) is None
