# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules that run on the control machine, called as Ansible calls them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import basic
from ansible_collections.opennebula.flower.plugins.modules import (
    flower_node,
    flower_report,
    flower_run,
    flower_wheelhouse,
)

RUN = {"run_id": "5", "status": "finished:completed", "rounds": [], "app": {"name": "digits"}}


def call(
    module: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, **params: Any
) -> dict[str, Any]:
    """Answer of a module; `check` turns check mode on."""
    arguments = {"_ansible_check_mode": params.pop("check", False), **params}
    text = json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode()
    monkeypatch.setattr(basic, "_ANSIBLE_ARGS", text)
    monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(SystemExit):
        module.main()
    answer: dict[str, Any] = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    return answer


def test_report_is_written_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dest = tmp_path / "new" / "report.html"
    given = {"run": RUN, "dest": str(dest), "title": "A & B"}
    assert call(flower_report, capsys, monkeypatch, check=True, **given)["changed"] and not dest.exists()
    assert call(flower_report, capsys, monkeypatch, **given)["changed"] and "A &amp; B" in dest.read_text()
    again = call(flower_report, capsys, monkeypatch, **given)
    assert not again["changed"] and again["size"] == dest.stat().st_size


def test_report_without_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"run": {"run_id": ""}, "dest": str(tmp_path / "report.html")}
    assert "registered result" in call(flower_report, capsys, monkeypatch, **given)["msg"]
    assert call(flower_report, capsys, monkeypatch, check=True, **given)["changed"]


def test_report_where_nothing_can_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    answer = call(flower_report, capsys, monkeypatch, run=RUN, dest=str(tmp_path / "file/report.html"))
    assert answer["failed"] and answer["msg"].startswith("Cannot write the report")


def test_wheelhouse_in_check_mode_makes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"python_version": "3.11", "requirements": ["a==1"], "cache_dir": str(tmp_path / "cache")}
    answer = call(flower_wheelhouse, capsys, monkeypatch, check=True, **given)
    assert answer["changed"] and answer["digest"] == "" and not (tmp_path / "cache").exists()


def test_wheelhouse_with_a_wrong_version(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = call(
        flower_wheelhouse, capsys, monkeypatch, python_version="two", requirements=["a"], cache_dir=str(tmp_path)
    )
    assert "is not like 3.11" in answer["msg"]


def test_flower_run_needs_its_action_plugin(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "action plugin" in call(flower_run, capsys, monkeypatch, app="/x")["msg"]


@pytest.mark.parametrize(
    ("params", "heard"),
    [
        # Nothing given: the agent takes what it was given last.
        ({}, ""),
        ({"variables": {}}, '{"variables": {}}'),
        ({"variables": {"ONEAPP_FL_LOG_LEVEL": "DEBUG"}, "secrets": {"ONEAPP_FL_SSL_KEYFILE": "x"}},
         '{"variables": {"ONEAPP_FL_LOG_LEVEL": "DEBUG", "ONEAPP_FL_SSL_KEYFILE": "x"}}'),
    ],
)  # fmt: skip
def test_a_node_is_told_only_what_is_given(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    params: dict[str, Any],
    heard: str,
) -> None:
    agent = tmp_path / "flower-ops"
    agent.write_text(f'#!/bin/sh\ncat > {tmp_path}/heard\necho \'{{"facts": {{"ready": true}}}}\'\n')
    agent.chmod(0o755)
    answer = call(flower_node, capsys, monkeypatch, role="supernode", binary=str(agent), **params)
    assert answer["node"]["ready"] and not answer["changed"]
    assert (tmp_path / "heard").read_text().strip() == heard
