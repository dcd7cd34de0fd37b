# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin of flower_run: what it asks the SuperLink, what a person sees, how a run is judged and fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible_collections.opennebula.flower.plugins.plugin_utils import run_files
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


def test_files_are_fetched_in_parts(superlink: Superlink, tmp_path: Path) -> None:
    superlink.remote["/r/sub/model.npz"] = b"1234567"
    superlink.remote["/r/empty"] = b""
    files = [{"name": "sub/model.npz", "path": "/r/sub/model.npz", "size": 7}, {"name": "empty", "size": 0}]
    result = superlink.run(run_of(**DONE, output_dir="/r", files=files), fetch_to=str(tmp_path / "out"))
    target = tmp_path / "out/sub/model.npz"
    assert target.read_bytes() == b"1234567" and result["files"][0]["dest"] == str(target)
    assert [path.name for path in target.parent.iterdir()] == ["model.npz"]
    assert (tmp_path / "out/empty").read_bytes() == b"" and superlink.warned == []
    assert superlink.parts == [("sub/model.npz", 0, ""), ("sub/model.npz", 4, "as it is"), ("empty", 0, "")]


def test_the_folder_is_made_for_a_run_without_files_too(superlink: Superlink, tmp_path: Path) -> None:
    done, folder = run_of(**DONE), tmp_path / "a/b"
    assert not superlink.run(done, check=True, app="", run_id="7", fetch_to=str(folder))["changed"]
    assert not folder.exists()
    assert superlink.run(done, app="", run_id="7", fetch_to=str(folder))["changed"] and list(folder.iterdir()) == []
    assert not superlink.run(done, app="", run_id="7", fetch_to=str(folder))["changed"]
    (tmp_path / "file").touch()
    with pytest.raises(AnsibleActionFail, match=r"file/x cannot be made: Not a directory; name another fetch_to"):
        superlink.run(done, app="", run_id="7", fetch_to=str(tmp_path / "file/x"))


def test_what_is_left_out_is_told(superlink: Superlink, tmp_path: Path) -> None:
    left = {"files_left_out": ["latest.npz is a link", "pipe is no regular file"]}
    result = superlink.run(run_of(**DONE, **left), fetch_to=str(tmp_path / "out"))
    assert superlink.warned == ["Run 7: not fetched: latest.npz is a link; pipe is no regular file"]
    assert result["files_left_out"] == left["files_left_out"] and not result.get("failed")
    superlink.run(run_of(**DONE, **left))
    assert len(superlink.warned) == 1, "nobody asked for files"


ODD = ["../evil", "/etc/passwd", "a/../../b", "", ".bashrc", "a/.ssh/b", "-rf", "a\nb", "a\\b", "a//b", "x" * 300]


@pytest.mark.parametrize("name", ODD)
def test_names_that_lead_elsewhere_are_refused(superlink: Superlink, tmp_path: Path, name: str) -> None:
    files = [{"name": "good", "path": "/r/good", "size": 1}, {"name": name, "path": "/r/x", "size": 1}]
    with pytest.raises(AnsibleActionFail, match="is not fetched"):
        superlink.run(run_of(**DONE, output_dir="/r", files=files), fetch_to=str(tmp_path / "out"))
    assert not (tmp_path / "evil").exists() and not (tmp_path / "out").exists() and superlink.parts == []


def test_nothing_is_written_through_a_link_out_of_the_folder(superlink: Superlink, tmp_path: Path) -> None:
    superlink.remote["/r/sub/deeper/x"] = superlink.remote["/r/y"] = b"new"
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out/sub").symlink_to(tmp_path / "elsewhere")
    files = [{"name": "sub/deeper/x", "size": 3}]
    with pytest.raises(AnsibleActionFail, match="is not written: a link on its way leads out of"):
        superlink.run(run_of(**DONE, output_dir="/r", files=files), fetch_to=str(tmp_path / "out"))
    assert list((tmp_path / "elsewhere").iterdir()) == []
    # A link in the place of a file is replaced, and what it pointed at stays.
    (tmp_path / "old").write_text("old")
    (tmp_path / "out/y").symlink_to(tmp_path / "old")
    superlink.run(run_of(**DONE, output_dir="/r", files=[{"name": "y", "size": 3}]), fetch_to=str(tmp_path / "out"))
    assert (tmp_path / "old").read_text() == "old" and (tmp_path / "out/y").read_bytes() == b"new"


def test_a_folder_in_the_place_of_a_file_is_told(superlink: Superlink, tmp_path: Path) -> None:
    superlink.remote["/r/x"] = b"new"
    (tmp_path / "out/x").mkdir(parents=True)
    with pytest.raises(AnsibleActionFail, match=r"out/x cannot be written: Is a directory; name another fetch_to"):
        superlink.run(run_of(**DONE, output_dir="/r", files=[{"name": "x", "size": 3}]), fetch_to=str(tmp_path / "out"))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["x"]


@pytest.mark.parametrize("size", [run_files.MAX_BYTES, 1])
def test_more_than_is_reasonable_is_refused(superlink: Superlink, tmp_path: Path, size: int) -> None:
    count = run_files.MAX_FILES + 1 if size == 1 else 2
    files = [{"name": f"f{number}", "size": size} for number in range(count)]
    with pytest.raises(AnsibleActionFail, match="more than 1000 files or 8 GiB, which are not fetched"):
        superlink.run(run_of(**DONE, output_dir="/r", files=files), fetch_to=str(tmp_path / "out"))
    assert superlink.parts == []


@pytest.mark.parametrize(("size", "arrived"), [(9, 1), (0, 1)])
def test_a_file_of_another_size_is_refused(superlink: Superlink, tmp_path: Path, size: int, arrived: int) -> None:
    superlink.remote["/r/x"] = b"1"
    files = [{"name": "x", "path": "/r/x", "size": size}]
    with pytest.raises(AnsibleActionFail, match=f"arrived with {arrived} of {size} bytes"):
        superlink.run(run_of(**DONE, output_dir="/r", files=files), fetch_to=str(tmp_path / "out"))
    assert list((tmp_path / "out").iterdir()) == []
