# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin of flower_run on what is supervised: one training, as many runs as it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from run_superlink import CHECKPOINTS, PROJECT, Superlink, a_round, asked, attempt, run_of, training

DONE = {"state": "completed", "status": "finished:completed", "finished": True, "succeeded": True}
NAME = "toy-1a2b3c4d"


@pytest.fixture
def superlink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Superlink:
    """One whose app keeps checkpoints."""
    made = Superlink(tmp_path, monkeypatch)
    (made.app / "pyproject.toml").write_text(PROJECT + CHECKPOINTS)
    return made


def operations(superlink: Superlink) -> list[str]:
    return [step["operation"] for step in superlink.steps]


def test_a_training_that_outlives_a_crash(superlink: Superlink) -> None:
    one = [a_round(1, run_id="7"), a_round(2, run_id="7")]
    ended = attempt("7", "broken", "the run ended without a word")
    two = [a_round(1, run_id="7"), a_round(2, run_id="8"), a_round(3, run_id="8")]
    result = superlink.run(
        asked(),
        training(waiting="1 of 2 nodes are online"),
        training(attempt("7")),
        training(attempt("7"), rounds=one),
        training(ended, waiting="the run ended without a word", rounds=one),
        training(ended, attempt("8", from_round=1), rounds=one[:1]),
        training(ended, attempt("8", "done", from_round=1), rounds=two, checkpoint_rounds=[2, 3], **DONE),
    )
    assert not result.get("failed") and result["changed"]
    assert (result["training"], result["run_id"], result["nodes"]) == (NAME, "8", 2)
    assert [one["ended"] for one in result["runs"]] == ["broken", "done"] and result["checkpoint_rounds"] == [2, 3]
    assert superlink.steps[0]["supervised"] is True
    assert {step["name"] for step in superlink.steps[1:]} == {NAME}
    assert superlink.said == [
        f"link: {line}"
        for line in (
            f"training {NAME} of toy 2 asked for",
            "1 of 2 nodes are online",
            "run 7 submitted",
            "round 1 of 3",
            "round 2 of 3",
            "the run ended without a word",
            "run 7 ended (the run ended without a word), going on from round 1 as run 8",
            "round 2 of 3",
            "round 3 of 3",
        )
    ]


def test_what_is_only_waited_for_is_left_when_the_time_is_up(superlink: Superlink) -> None:
    for answers, options in (
        ([training(attempt("7"))], {"app": "", "name": "night"}),
        ([training(attempt("7"), changed=False)], {"name": "night"}),
        ([asked(changed=False), training(attempt("7"))], {"app": "", "name": "night", "state": "resumed"}),
    ):
        superlink.steps.clear()
        result = superlink.run(*answers, timeout=0, **options)
        assert result["failed"] and not result["changed"] and "stop" not in operations(superlink), options
        assert "and goes on; wait for it again, or end it with state stopped." in result["msg"]


def test_what_was_made_to_go_on_is_stopped_when_the_time_is_up(superlink: Superlink) -> None:
    stopped = training(attempt("7", "stopped"), status="finished:stopped", finished=True)
    answers = [asked(), training(attempt("7")), stopped, stopped]
    result = superlink.run(*answers, timeout=0, app="", name="night", state="resumed")
    assert operations(superlink) == ["resume", "status", "stop", "status"] and "was stopped" in result["msg"]


def test_an_app_is_submitted_plainly_where_that_is_asked_for(superlink: Superlink) -> None:
    result = superlink.run(run_of(), run_of(finished=True, succeeded=True), supervised=False)
    assert superlink.steps[0]["supervised"] is False
    assert result["training"] == "" and [one["run_id"] for one in result["runs"]] == ["7"]


def test_a_name_needs_a_supervisor(superlink: Superlink) -> None:
    with pytest.raises(AnsibleActionFail, match="is submitted as a plain run, which has no name"):
        superlink.run(name="night", supervised=False)
    (superlink.app / "pyproject.toml").write_text(PROJECT)
    with pytest.raises(AnsibleActionFail, match="leave out name, or set supervised to true"):
        superlink.run(name="night")
    assert superlink.steps == []
    superlink.run(asked(), training(attempt("7", "done"), **DONE), name="night", supervised=True)
    assert superlink.steps[0]["supervised"] is True and superlink.steps[0]["name"] == "night"


def test_what_is_under_way_is_waited_for_and_not_changed(superlink: Superlink) -> None:
    rounds = [a_round(number, run_id="7") for number in (1, 2, 3)]
    result = superlink.run(
        asked(changed=False, runs=[attempt("7")]), training(attempt("7", "done"), rounds=rounds, **DONE), name="toy"
    )
    assert not result["changed"] and not result.get("failed")
    assert superlink.said[0] == f"link: training {NAME} of toy 2 is under way" and len(superlink.said) == 4


@pytest.mark.parametrize("changed", [True, False])
def test_started_does_not_wait(superlink: Superlink, changed: bool) -> None:
    result = superlink.run(asked(changed=changed), training(), state="started", name="night")
    assert result["changed"] is changed and result["training"] == NAME and result["runs"] == []
    assert operations(superlink) == ["submit", "status"] and superlink.steps[1]["wait"] == 0 and not superlink.warned


@pytest.mark.parametrize("changed", [True, False])
def test_check_mode_says_whether_there_would_be_a_second_one(superlink: Superlink, changed: bool) -> None:
    result = superlink.run(asked(changed=changed), check=True, state="started", name="night")
    assert result["changed"] is changed and operations(superlink) == ["submit"]
    expected = "Would run the app toy 2" if changed else f"The training {NAME} of the app toy 2 is under way"
    assert expected in result["msg"]


def test_without_a_supervisor_it_does_not_wait_for_ever(superlink: Superlink) -> None:
    result = superlink.run(asked(), *[training(supervised=False)] * 40)
    assert result["failed"] and "flower-supervisor.service does not run" in result["msg"] and superlink.clock < 40
    superlink.run(asked(), training(supervised=False), state="started")
    assert "flower-supervisor.service does not run" in superlink.warned[0]
    crashed = training(attempt("7"), supervised=False, run={"finished": True})
    result = superlink.run(asked(), *[crashed] * 40)
    assert result["failed"] and "flower-supervisor.service does not run" in result["msg"]
    # A run that is under way needs nobody; and started again in time, a training goes on.
    alone = training(attempt("7"), supervised=False, run={"finished": False})
    assert not superlink.run(asked(), *[alone] * 60, training(attempt("7", "done"), **DONE)).get("failed")
    some = [training(supervised=False)] * 20
    result = superlink.run(asked(), *some, training(), *some, training(attempt("7", "done"), **DONE))
    assert not result.get("failed")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"state": "failed", "status": "finished:failed", "reason": "ValueError: x"}, "ended as finished:failed: Val"),
        ({"state": "stopped", "status": "finished:stopped", "reason": "asked for no more"}, "stopped: asked for"),
        ({**DONE, "succeeded": False, "reason": "0 of 2 results"}, "trained nothing: 0 of 2 results"),
        ({**DONE, "succeeded": None, "reason": "no log"}, "completed, but nobody knows with what results: no log"),
    ],
)
def test_trainings_that_fail(superlink: Superlink, changes: dict[str, Any], text: str) -> None:
    result = superlink.run(asked(), training(attempt("7", "app"), **{"finished": True, **changes}))
    assert result["failed"] and f"Training {NAME} of the app toy" in result["msg"] and text in result["msg"]


def test_a_degraded_training_succeeds_with_a_warning(superlink: Superlink) -> None:
    last = training(attempt("7", "done"), **DONE, degraded=True, reason="round 1: 1 of 2 results")
    assert not superlink.run(asked(), last).get("failed")
    assert superlink.warned == [f"Training {NAME} completed, but round 1: 1 of 2 results"]


def test_of_what_is_unknown_a_warning_says_so(superlink: Superlink) -> None:
    last = training(attempt("7", "done"), **DONE, degraded=None)
    assert not superlink.run(asked(), last).get("failed")
    assert superlink.warned == [f"Training {NAME} completed; nobody knows whether results were missing in some round"]


def test_a_training_that_takes_too_long_is_stopped_and_can_be_resumed(superlink: Superlink) -> None:
    stopped = training(attempt("7", "stopped"), status="finished:stopped", finished=True)
    result = superlink.run(asked(), asked(), stopped, timeout=0)
    assert result["failed"] and "was stopped (now finished:stopped); resume it with a larger" in result["msg"]
    assert superlink.steps[1] == {"operation": "stop", "name": NAME}


CUT_OFF = [
    {"failed": True, "msg": "Module result deserialization failed.", "_ansible_parsed": False, "rc": 143},
    {"failed": True, "msg": "flower-ops training status gave no answer", "cut_off": True, "_ansible_parsed": True},
]


@pytest.mark.parametrize("answer", CUT_OFF)
def test_a_reboot_that_ends_the_module_before_the_connection_is_waited_for(
    superlink: Superlink, answer: dict[str, Any]
) -> None:
    done = training(attempt("7", "done"), **DONE)
    assert not superlink.run(asked(), *[answer] * 40, training(attempt("7")), *[answer] * 40, done).get("failed")
    assert sum("connection lost, the run goes on" in text for text in superlink.said) == 2 and superlink.clock > 400
    with pytest.raises(AnsibleActionFail, match=answer["msg"]):
        superlink.run(asked(), *[answer] * 60)
    # Who hands it over is told at once, and so is who waits for a plain run, which a reboot ends.
    with pytest.raises(AnsibleActionFail, match=answer["msg"]):
        superlink.run(answer)
    with pytest.raises(AnsibleActionFail, match=answer["msg"]):
        superlink.run(run_of(), answer, supervised=False)


@pytest.mark.parametrize(
    "answer",
    [
        {"failed": True, "msg": "There is no training x on this SuperLink; it knows: none.", "_ansible_parsed": True},
        {"failed": True, "msg": "The module interpreter was not found.", "_ansible_parsed": False, "rc": 127},
        {"failed": True, "msg": "No space left on device", "_ansible_parsed": False, "rc": 1},
    ],
)
def test_what_is_wrong_is_told_at_once_while_a_training_is_waited_for(
    superlink: Superlink, answer: dict[str, Any]
) -> None:
    with pytest.raises(AnsibleActionFail, match=answer["msg"]):
        superlink.run(asked(), answer)
    assert operations(superlink) == ["submit", "status"] and superlink.clock < 5


# -- what was handed over before ------------------------------------------------------------------------------------


def test_waiting_for_a_training_by_its_name(superlink: Superlink, tmp_path: Path) -> None:
    superlink.remote["/r/model.npz"] = b"12345"
    files = [{"name": "model.npz", "path": "/r/model.npz", "size": 5}]
    last = training(attempt("7", "done"), files=files, output_dir="/r", **DONE)
    out = {"name": "toy", "app": "", "fetch_to": str(tmp_path / "out")}
    result = superlink.run(training(attempt("7")), last, **out)
    assert result["changed"] and (tmp_path / "out/model.npz").read_bytes() == b"12345"
    assert operations(superlink) == ["status", "status"] and superlink.steps[0]["name"] == "toy"
    assert not superlink.run(last, **out)["changed"], "the same files are there already"
    superlink.remote["/r/model.npz"] = b"54321"
    assert superlink.run(last, **out)["changed"] and (tmp_path / "out/model.npz").read_bytes() == b"54321"


def test_the_run_of_a_training_stands_for_the_training(superlink: Superlink) -> None:
    result = superlink.run(run_of(training=NAME), training(attempt("7", "done"), **DONE), app="", run_id="7")
    assert result["training"] == NAME and not result["changed"]
    assert superlink.steps[0]["run_id"] == "7" and superlink.steps[1]["name"] == NAME


def test_waiting_for_a_run(superlink: Superlink) -> None:
    end = run_of(finished=True, succeeded=True, status="finished:completed")
    result = superlink.run(run_of(), end, app="", run_id="7")
    assert result["run_id"] == "7" and not result["changed"]
    assert result["runs"] == [{"run_id": "7", "ended": "done", "reason": "", "from_round": 0}]


def test_check_mode_waits_for_nothing(superlink: Superlink) -> None:
    result = superlink.run(training(attempt("7")), app="", name="toy", check=True)
    assert not result["changed"] and result["status"] == "running" and operations(superlink) == ["status"]


def test_stopping_waits_for_the_end(superlink: Superlink) -> None:
    end = training(attempt("7", "stopped"), finished=True, status="finished:stopped", state="stopped")
    result = superlink.run(asked(), training(attempt("7")), end, app="", name="toy", state="stopped")
    assert result["changed"] and result["status"] == "finished:stopped" and not result.get("failed")
    assert superlink.steps[0] == {"operation": "stop", "name": "toy"}
    result = superlink.run(asked(changed=False), end, app="", name="toy", state="stopped")
    assert not result["changed"]
    result = superlink.run(asked(), *[training(attempt("7"))] * 70, app="", name="toy", state="stopped")
    assert result["failed"] and "has not done so within 60 s" in result["msg"]
    result = superlink.run(asked(), training(attempt("7")), app="", name="toy", state="stopped", check=True)
    assert result["changed"] and result["status"] == "running"


def test_stopping_what_somebody_else_submitted(superlink: Superlink) -> None:
    theirs = run_of(recorded=False, changed=True, status="finished:stopped", finished=True)
    result = superlink.run(theirs, app="", run_id="7", state="stopped")
    assert result["changed"] and operations(superlink) == ["stop"]


def test_going_on_with_more_rounds(superlink: Superlink) -> None:
    old = [a_round(1, run_id="7")]
    both = [*old, a_round(2, run_id="8")]
    result = superlink.run(
        asked(runs=[attempt("7", "done")]),
        training(attempt("7", "done"), rounds=old),
        training(attempt("7", "done"), attempt("8", from_round=1), rounds=old),
        training(attempt("7", "done"), attempt("8", "done", from_round=1), rounds=both, **DONE),
        app="", name="toy", state="resumed", run_config={"num-server-rounds": 2},
    )  # fmt: skip
    assert result["changed"] and not result.get("failed") and len(result["rounds"]) == 2
    assert superlink.arguments[0]["run_config"] == {"num-server-rounds": 2}
    assert superlink.said == [
        f"link: training {NAME} goes on", "link: run 7 ended, going on from round 1 as run 8", "link: round 2 of 3",
    ]  # fmt: skip


def test_going_on_without_waiting(superlink: Superlink) -> None:
    result = superlink.run(asked(), training(), app="", name="toy", state="resumed", wait=False)
    assert result["changed"] and operations(superlink) == ["resume", "status"]


def test_nothing_is_left_to_go_on_with(superlink: Superlink) -> None:
    result = superlink.run(
        asked(changed=False, finished=True), training(attempt("7", "done"), **DONE), app="", name="toy", state="resumed"
    )
    assert not result["changed"] and not result.get("failed") and superlink.said == []
    result = superlink.run(asked(changed=True, state="failed"), app="", name="toy", state="resumed", check=True)
    assert result["changed"] and result["msg"] == f"Would go on with the training {NAME}, which is failed."


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"app": ""}, "state finished needs app to train it, or name or run_id to wait"),
        ({"app": "", "state": "started"}, "state started needs app"),
        ({"app": "", "state": "stopped"}, "state stopped needs name or run_id"),
        ({"state": "resumed", "name": "x"}, "app has no place with state resumed"),
        ({"run_id": "7"}, "run_id names a run that exists, and app asks for a new one"),
        ({"app": "", "name": "x", "run_id": "7", "run_config": {"a": 1}}, "exclude each other; run_config needs app"),
    ],
)
def test_options_that_do_not_fit_together(superlink: Superlink, options: dict[str, Any], said: str) -> None:
    with pytest.raises(AnsibleActionFail) as caught:
        superlink.run(**options)
    assert said in str(caught.value) and superlink.steps == []
