# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the keeper of a node decides, fed with made-up looks: no clock, no machine."""

from __future__ import annotations

from dataclasses import replace

import pytest
from flower_ops import profiles
from flower_ops.keeper import keeper_node
from flower_ops.keeper.keeper_look import Action, Kind, Look, View
from flower_ops.keeper.keeper_node import NodeKeeper, Settings
from keeper_support import KNOWN, STEP, VIEW, first_action, node


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
