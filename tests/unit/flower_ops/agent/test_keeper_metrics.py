# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The numbers about training that a keeper publishes."""

from __future__ import annotations

from flower_ops.keeper.metrics import Activity


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
