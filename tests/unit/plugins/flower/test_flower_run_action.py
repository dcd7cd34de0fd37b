# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin of flower_run: what it asks the SuperLink, what a person sees, how a run is judged and fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from run_superlink import DONE, Superlink, a_round, run_of


@pytest.fixture
def superlink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Superlink:
    return Superlink(tmp_path, monkeypatch)


def test_a_run_from_its_submission_to_its_result(superlink: Superlink) -> None:
    first, last = [a_round(1), a_round(2, done=False)], [a_round(1), a_round(2)]
    result = superlink.run(
        run_of(), run_of(waiting="waiting for nodes"), run_of(waiting="waiting for nodes"),
        run_of(rounds=first, progress="q"), run_of(rounds=last, **DONE), run_config={"lr": 1},
    )  # fmt: skip
    assert result["changed"] and not result.get("failed") and result["run_id"] == "7"
    assert result["metrics"] == {"rounds": 2}
    assert [step["operation"] for step in superlink.steps] == ["submit", *["status"] * 4]
    assert superlink.arguments[0]["run_config"] == {"lr": 1} and superlink.arguments[1]["run_config"] == {}
    assert superlink.steps[-1]["seen"] == "q" and 0 < superlink.steps[-1]["wait"] <= 20
    assert superlink.said == [
        "link: run 7 of toy 2 submitted", "link: waiting for nodes", "link: round 1 of 2", "link: round 2 of 2",
    ]  # fmt: skip
    assert b"a.py" in superlink.remote["/tmp/remote/app.tar.gz"] and superlink.removed == ["/tmp/remote"]


def test_check_mode_has_the_app_checked_where_it_would_run(superlink: Superlink) -> None:
    result = superlink.run({"changed": True}, check=True, run_config={"b": 1, "a": 2})
    assert result["changed"] and [step["operation"] for step in superlink.steps] == ["submit"]
    assert result["msg"] == "Would run the app toy 2 (2 files) with a=2, b=1." and superlink.removed == ["/tmp/remote"]
    assert result["rounds"] == [] and result["files"] == [] and result["metrics"] == {}
    with pytest.raises(AnsibleActionFail, match="unknown key b"):
        superlink.run({"failed": True, "msg": "unknown key b"}, check=True, run_config={"b": 1})


def test_an_app_that_is_none_is_told_before_a_login(superlink: Superlink) -> None:
    (superlink.app / "pyproject.toml").unlink()
    with pytest.raises(AnsibleActionFail, match="pyproject.toml"):
        superlink.run()
    assert superlink.steps == [] and superlink.remote == {}


def test_a_refused_submission_leaves_nothing_behind(superlink: Superlink) -> None:
    with pytest.raises(AnsibleActionFail, match="no such setting"):
        superlink.run({"failed": True, "msg": "no such setting"})
    assert superlink.removed == ["/tmp/remote"]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"status": "finished:completed", "reason": "no results"}, "of the app toy trained nothing: no results"),
        ({"status": "finished:failed", "reason": "a node"}, "of the app toy ended as finished:failed: a node"),
    ],
)
def test_runs_that_fail(superlink: Superlink, changes: dict[str, Any], text: str) -> None:
    result = superlink.run(run_of(), run_of(finished=True, **changes), fetch_to="nowhere")
    assert result["failed"] and text in result["msg"] and result["run_id"] == "7"
    assert not Path("nowhere").exists()


def test_a_degraded_run_succeeds_with_a_warning(superlink: Superlink) -> None:
    result = superlink.run(run_of(**DONE, degraded=True, reason="one node was lost"))
    assert not result.get("failed") and superlink.warned == ["Run 7 completed, but one node was lost"]


@pytest.mark.parametrize("stop", [True, False])
def test_a_run_that_takes_too_long(superlink: Superlink, stop: bool) -> None:
    stopped = run_of(status="finished:stopped", finished=True)
    answers = [run_of(waiting="nodes are missing"), *([stopped, stopped] if stop else [])]
    result = superlink.run(*answers, timeout=0, stop_on_timeout=stop)
    assert result["failed"] and "had not finished after 0 s (nodes are missing)" in result["msg"]
    assert ("was stopped (now finished:stopped)" if stop else "and goes on") in result["msg"]
    assert [step["operation"] for step in superlink.steps] == ["submit", *(["stop", "status"] if stop else [])]


def test_a_broken_connection_is_tried_again_and_given_up(superlink: Superlink) -> None:
    broken = AnsibleConnectionFailure("gone")
    # Long enough for a VM to start again.
    assert superlink.run(run_of(), *[broken] * 40, run_of(), *[broken] * 40, run_of(**DONE))["run_id"] == "7"
    assert sum("connection lost" in text for text in superlink.said) == 2 and superlink.clock > 400
    with pytest.raises(AnsibleConnectionFailure):
        superlink.run(run_of(), *[broken] * 60)


@pytest.mark.parametrize("become", [True, False])
def test_files_are_fetched(superlink: Superlink, tmp_path: Path, become: bool) -> None:
    superlink.become = become
    superlink.remote["/r/sub/model.npz"] = b"12345"
    files = [{"name": "sub/model.npz", "path": "/r/sub/model.npz", "size": 5}]
    result = superlink.run(run_of(**DONE, files=files), fetch_to=str(tmp_path / "out"))
    target = tmp_path / "out/sub/model.npz"
    assert target.read_bytes() == b"12345" and result["files"][0]["dest"] == str(target)
    assert [path.name for path in target.parent.iterdir()] == ["model.npz"]


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "a/../../b", ""])
def test_names_that_lead_elsewhere_are_refused(superlink: Superlink, tmp_path: Path, name: str) -> None:
    files = [{"name": name, "path": "/r/x", "size": 1}]
    with pytest.raises(AnsibleActionFail, match="is not fetched"):
        superlink.run(run_of(**DONE, files=files), fetch_to=str(tmp_path / "out"))
    assert not (tmp_path / "evil").exists()


def test_a_file_that_arrives_short_is_refused(superlink: Superlink, tmp_path: Path) -> None:
    superlink.remote["/r/x"] = b"1"
    with pytest.raises(AnsibleActionFail, match="arrived with 1 of 9 bytes"):
        superlink.run(run_of(**DONE, files=[{"name": "x", "path": "/r/x", "size": 9}]), fetch_to=str(tmp_path / "out"))
