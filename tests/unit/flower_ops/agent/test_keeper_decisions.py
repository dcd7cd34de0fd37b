# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the keeper decides, fed with made-up looks: no clock, no machine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from flower_ops import profiles
from flower_ops.keeper import keeper_link, keeper_node
from flower_ops.keeper.keeper_link import LinkKeeper
from flower_ops.keeper.keeper_look import Action, Kind, Look, View
from flower_ops.keeper.keeper_node import NodeKeeper, Settings
from flower_ops.keeper.metrics import Activity
from flower_ops.machine.known import Known

KNOWN = Known("10.0.0.4:9092", "4", "ca-1", "1/3", "key-1")
VIEW = View("4", "10.0.0.4:9092", "ca-1", "1.34.0", "1/3", "")
STEP = 10.0


def node(known: Known | None = KNOWN, **settings: Any) -> NodeKeeper:
    return NodeKeeper(Settings("1.34.0", **settings), known)


def first_action(brain: NodeKeeper | LinkKeeper, limit: float, **look: Any) -> tuple[float, Action | None]:
    """Feed the same look every 10 s; returns (seconds until the first action, the action)."""
    lines, start = look.pop("lines", []), look.pop("start", 0.0)
    now = start
    while now <= start + limit:
        action = brain.decide(Look(now, lines=lines, **look))
        if action is not None:
            return now - start, action
        lines = []
        now += STEP
    return now - start, None


def test_a_healthy_node_is_left_alone() -> None:
    brain = node()
    assert first_action(brain, 7200, connected=True, view=VIEW) == (7210, None)
    assert not brain.troubled


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"superlink_vm": "9", "endpoint": "10.0.0.9:9092"}, "another VM now: 9 at 10.0.0.9:9092"),
        ({"endpoint": "10.0.0.7:9092"}, "moved from 10.0.0.4:9092 to 10.0.0.7:9092"),
        ({"ca": "ca-2"}, "other certificates"),
        ({"version": "1.41.0"}, "runs Flower 1.41.0 now"),
        ({"partition": "2/3"}, "partition of this node is 2/3"),
        ({"retired_key": "key-1"}, "key of this node is not valid"),
    ],
)
def test_what_onegate_says_is_followed_at_once(change: dict[str, str], why: str) -> None:
    waited, action = first_action(node(), 60, connected=True, view=replace(VIEW, **change))
    assert waited == 0 and action is not None and action.kind is Kind.CONFIGURE and why in action.why


def test_a_superlink_that_is_not_ready_changes_nothing() -> None:
    assert first_action(node(), 600, connected=True, view=View())[1] is None


def test_onegate_is_asked_every_minute_and_more_often_in_trouble() -> None:
    brain = node()
    assert brain.wants_view(0)
    brain.decide(Look(0, connected=True, view=VIEW))
    assert not brain.wants_view(50) and brain.wants_view(60)
    brain.decide(Look(60, connected=False, view=VIEW))
    assert not brain.wants_view(65) and brain.wants_view(70)
    assert not node(replace(KNOWN, superlink_vm="")).wants_view(0)


def test_the_connection_is_looked_at_as_often_as_the_variable_says() -> None:
    brain = node(every=45.0)
    brain.decide(Look(0, connected=True))
    assert not brain.wants_connection(40) and brain.wants_connection(45)
    brain.decide(Look(45, connected=False))
    assert brain.wants_connection(46)


@pytest.mark.parametrize("grace", [10.0, 20.0, 60.0])
def test_a_lost_connection_leads_to_a_restart_after_the_grace(grace: float) -> None:
    brain = node(grace=grace)
    brain.decide(Look(-10, connected=True, view=VIEW))
    waited, action = first_action(brain, 600, connected=False, view=VIEW)
    assert waited == grace and action is not None and action.kind is Kind.RESTART
    assert action.unit == keeper_node.UNIT and "10.0.0.4:9092" in action.why


def test_a_connection_that_comes_back_in_time_is_no_trouble() -> None:
    brain = node(grace=20.0)
    for now, connected in ((0, False), (10, False), (15, True), (20, False), (30, False)):
        assert brain.decide(Look(now, connected=connected, view=VIEW)) is None


def test_a_process_that_has_only_begun_is_given_time_to_connect() -> None:
    brain = node()
    brain.decide(Look(0, pid=5, connected=True))
    waited, action = first_action(brain, 600, pid=6, connected=False, view=VIEW, start=10)
    assert waited == keeper_node.STARTING and action is not None and action.kind is Kind.RESTART


def test_without_a_superlink_nothing_is_restarted_in_vain() -> None:
    assert first_action(node(), 3600, connected=False, view=View())[1] is None


def test_pauses_grow_while_nothing_helps() -> None:
    brain, moments, now = node(), [], 0.0
    while now < 3600:
        if brain.decide(Look(now, connected=False, view=VIEW)) is not None:
            moments.append(now)
            brain.acted(now, KNOWN)
        now += STEP
    gaps = [later - earlier for earlier, later in zip(moments, moments[1:], strict=False)]
    assert gaps[0] < 180 and gaps == sorted(gaps) and gaps[-1] == 300


def test_a_unit_that_is_down_is_configured_again() -> None:
    waited, action = first_action(node(), 60, active=False, pid=0)
    assert waited == keeper_node.DOWN and action == Action(Kind.CONFIGURE, "The SuperNode does not run.")


def test_a_unit_that_keeps_ending_is_noticed_though_it_runs_at_each_look() -> None:
    brain = node()
    actions = [brain.decide(Look(STEP * step, pid=100 + step, connected=True)) for step in range(4)]
    assert actions[:2] == [None, None]
    assert actions[2] is not None and actions[2].why == "The SuperNode keeps ending."


def test_a_unit_that_ends_every_twenty_seconds_after_a_long_healthy_while_is_noticed() -> None:
    brain = node()
    assert first_action(brain, 600, pid=7, connected=True)[1] is None
    actions = [brain.decide(Look(610 + STEP * step, pid=100 + step // 2, connected=True)) for step in range(6)]
    assert "The SuperNode keeps ending." in [action.why for action in actions if action is not None]


def test_one_restart_is_no_trouble() -> None:
    brain = node()
    for step in range(60):
        assert brain.decide(Look(STEP * step, pid=7 if step < 5 else 8, connected=True)) is None
    assert not brain.troubled


@pytest.mark.parametrize(
    "line",
    [
        "ERROR : SSL/TLS handshake error detected.",
        "Ssl handshake failed: SSL_ERROR_SSL: certificate verify failed: self signed certificate",
        "[SSL: CERTIFICATE_VERIFY_FAILED]",
    ],
)
def test_certificate_swapped_is_read_from_the_log(line: str) -> None:
    waited, action = first_action(node(), 60, lines=[line], connected=False, view=VIEW)
    assert waited == 20 and action is not None and action.kind is Kind.CONFIGURE and "certificate" in action.why


REFUSALS = [
    "Exit Code: 305 [code: 2004] Failed to activate SuperNode.",
    'details = "No SuperNode found with the given public key."',
    "ERROR : Node ID 77 not found",
    "SuperNode could not be activated",
]


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


def test_a_zombie_is_not_restarted_twice_within_half_a_minute() -> None:
    profile = profiles.profile("1.32.1")
    brain = NodeKeeper(Settings("1.32.1", is_zombie_line=profile.is_zombie_line), KNOWN)
    moments = []
    for step in range(13):
        action = brain.decide(Look(STEP * step, pid=5, lines=["Failed to receive message 1: x"], connected=True))
        if action is not None:
            assert action.kind is Kind.RESTART
            moments.append(STEP * step)
            brain.acted(STEP * step, KNOWN, action.kind)
    assert moments == [0, 30, 60, 90, 120]


@pytest.mark.parametrize("version", ["1.25.0", "1.32.1"])
def test_a_late_word_of_a_zombie_does_not_restart_its_successor(version: str) -> None:
    line = "ERROR : Failed to receive message 1: x"
    brain = NodeKeeper(Settings(version, is_zombie_line=profiles.profile(version).is_zombie_line), KNOWN)
    brain.decide(Look(0, pid=5, connected=True))
    action = brain.decide(Look(10, pid=5, lines=[line], connected=True))
    assert action is not None and action.kind is Kind.RESTART
    brain.acted(10, KNOWN, action.kind)
    assert brain.decide(Look(20, active=False, pid=0, lines=[line])) is None
    assert brain.decide(Look(30, pid=6, lines=[line], connected=True)) is None
    assert first_action(brain, 600, pid=6, connected=True, start=40)[1] is None and not brain.troubled
    # Its own words count.
    action = brain.decide(Look(700, pid=6, lines=[line], connected=True))
    assert action is not None and action.kind is Kind.RESTART
    # A restart that did not come about leaves the same process, which is as dead as before.
    brain.acted(700, KNOWN, action.kind)
    action = brain.decide(Look(730, pid=6, lines=[line], connected=True))
    assert action is not None and action.kind is Kind.RESTART


def test_a_late_word_about_certificates_does_not_bring_the_agent_back() -> None:
    brain = node()
    waited, action = first_action(brain, 60, pid=5, lines=["SSL/TLS handshake error"], connected=False, view=VIEW)
    assert action is not None and "certificate" in action.why
    brain.acted(waited, KNOWN, action.kind)
    start = waited + STEP
    assert brain.decide(Look(start, pid=6, lines=["SSL/TLS handshake error"], connected=True)) is None
    assert first_action(brain, 600, pid=6, connected=True, view=VIEW, start=start + STEP)[1] is None
    assert not brain.troubled


def test_zombie_of_a_profile_is_restarted_at_the_next_look() -> None:
    profile = profiles.profile("1.32.1")
    brain = NodeKeeper(Settings("1.32.1", is_zombie_line=profile.is_zombie_line), KNOWN)
    line = "ERROR : Failed to receive message 1234: gone"
    waited, action = first_action(brain, 60, lines=[line], connected=True)
    assert waited == 0 and action is not None and action.kind is Kind.RESTART
    # What a service logs may hold what an app printed, and `why` is published.
    assert "Failed to receive" in action.detail and "Failed" not in action.why
    # The default version goes on by itself after such a line.
    current = NodeKeeper(Settings("1.34.0", is_zombie_line=profiles.profile("1.34.0").is_zombie_line), KNOWN)
    assert first_action(current, 600, lines=[line], connected=True)[1] is None


def test_online_without_an_executor_is_restarted() -> None:
    waited, action = first_action(node(), 60, connected=True, executor=False)
    assert waited == 30 and action is not None and action.kind is Kind.RESTART and "has ended" in action.why


def test_a_message_that_nobody_works_on_is_noticed() -> None:
    received = ["INFO : [RUN 5, ROUND 2]", "INFO : Receiving: train message (ID: abc)", "INFO : Received successfully"]
    waited, action = first_action(node(), 120, lines=received, connected=True)
    assert waited == keeper_node.MUTE and action is not None and action.kind is Kind.RESTART
    # Training takes as long as it takes: a process that works on it is enough.
    assert first_action(node(), 3600, lines=received, connected=True, app=True)[1] is None
    brain = node()
    brain.decide(Look(0, lines=received, connected=True))
    brain.decide(Look(10, lines=["INFO : Sending: train message (ID: def)"], connected=True))
    assert first_action(brain, 600, connected=True, start=20)[1] is None


def test_what_was_seen_during_a_run_of_the_agent_is_not_forgotten() -> None:
    profile = profiles.profile("1.32.1")
    brain = NodeKeeper(Settings("1.32.1", is_zombie_line=profile.is_zombie_line), KNOWN)
    brain.decide(Look(0, connected=True))
    assert brain.decide(Look(10, lines=["Failed to receive message 1: x"], boot=True)) is None
    action = brain.decide(Look(20))
    assert action is not None and action.kind is Kind.RESTART
    # The run has restarted the service itself: it is another process now.
    brain.acted(20, KNOWN)
    brain.decide(Look(30, pid=5, lines=["Failed to receive message 1: x"], boot=True))
    assert brain.decide(Look(40, pid=6)) is None


def test_the_boot_unit_is_not_disturbed_and_a_reboot_without_one_is_mended() -> None:
    assert first_action(node(), 600, boot=True, active=False, pid=0)[1] is None
    waited, action = first_action(node(), 60, rebooted=True, active=True)
    assert waited == 0 and action is not None and "started anew" in action.why


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


def test_numbers_about_training() -> None:
    activity = Activity()
    assert activity.of_node(True, 0) == {"FL_CLIENT_STATUS": "1", "FL_TRAINING_ACTIVE": "0", "FL_ROUND_NUMBER": "0"}
    activity.take_in(["INFO : [RUN 5, ROUND 2]", "INFO : Receiving: train message (ID: a)"], False, 10)
    assert activity.of_node(True, 10) == {"FL_CLIENT_STATUS": "2", "FL_TRAINING_ACTIVE": "1", "FL_ROUND_NUMBER": "2"}
    # Between two messages of a run it counts as training, after it no longer.
    assert activity.training(35) and not activity.training(50)
    activity.take_in([], True, 60)
    assert activity.training(61)
    assert activity.of_node(False, 61)["FL_CLIENT_STATUS"] == "3"


def test_rounds_are_counted_where_an_app_names_none() -> None:
    activity = Activity()
    for moment in range(3):
        activity.take_in(["[RUN 5]", "Receiving: train message (ID: a)", "[RUN 5]", "Sending: train"], False, moment)
        activity.take_in(["[RUN 5]", "Receiving: evaluate message (ID: b)"], False, moment)
    assert activity.of_node(True, 3)["FL_ROUND_NUMBER"] == "3"
    activity.take_in(["[RUN 6]", "Receiving: train message (ID: a)"], False, 4)
    assert activity.of_node(True, 4)["FL_ROUND_NUMBER"] == "1"
