# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module that replaces certificates and keys, with the real agent on a node in a folder and with one that fails."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.opennebula.flower.plugins.modules import flower_rotate
from flower_ops.agent import rotation
from module_runner import run_module

ROW = {"what": "server certificate", "before": "aa", "after": "bb", "valid_until": "2027-01-01"}
DIFF = {"before_header": "x", "after_header": "x", "before": "1\n", "after": "2\n"}


@pytest.fixture
def answering(tmp_path: Path) -> Callable[..., tuple[str, Callable[[], list[str]]]]:
    """answering(code, **answer): path of a flower-ops that answers so, and a function with its last arguments."""

    def make(code: int = 0, **answer: Any) -> tuple[str, Callable[[], list[str]]]:
        said = {"changed": False, "diff": [], "warnings": [], "errors": [], "message": "", "replaced": [], **answer}
        (tmp_path / "answer.json").write_text(json.dumps(said))
        script = tmp_path / "flower-ops"
        script.write_text(
            f'#!/bin/sh\nprintf "%s\\n" "$@" > {shlex.quote(str(tmp_path))}/arguments\n'
            f"cat {shlex.quote(str(tmp_path))}/answer.json\nexit {code}\n"
        )
        script.chmod(0o755)
        return str(script), lambda: (tmp_path / "arguments").read_text().splitlines()

    return make


def test_a_replacement_is_returned_with_its_difference(answering: Callable[..., Any]) -> None:
    binary, arguments = answering(changed=True, replaced=[ROW], diff=[DIFF], warnings=["careful"])
    result = run_module("flower_rotate", {"what": "server", "binary": binary})
    assert result.ok and result["changed"] and result["replaced"] == [ROW] and result["diff"] == [DIFF]
    assert "careful" in json.dumps(result["warnings"])
    assert arguments() == ["rotate", "server", "--json", "--timeout", "120", "--min-age", "0"]


def test_options_reach_the_agent(answering: Callable[..., Any]) -> None:
    binary, arguments = answering()
    given = {"what": "ca_finish", "min_age": 3600, "force": True, "timeout": 9, "binary": binary}
    result = run_module("flower_rotate", given, check=True)
    assert result.ok and not result["changed"] and result["replaced"] == []
    words = ["--json", "--timeout", "9", "--min-age", "3600", "--force", "--check"]
    assert arguments() == ["rotate", "ca-finish", *words]


def test_a_refusal_is_one_sentence(answering: Callable[..., Any]) -> None:
    binary, _arguments = answering(1, message="Run 7 is active.", changed=True, replaced=[ROW])
    result = run_module("flower_rotate", {"what": "idle", "binary": binary})
    assert not result.ok and result["msg"] == "Run 7 is active." and result["changed"] and result["replaced"] == [ROW]


def test_a_missing_agent_is_told(tmp_path: Path) -> None:
    result = run_module("flower_rotate", {"what": "server", "binary": str(tmp_path / "nothing")})
    assert not result.ok and "apply the role opennebula.flower.flower_runtime" in result["msg"]


def test_the_real_agent_understands_every_kind(tmp_path: Path) -> None:
    package = Path(rotation.__file__).parents[2]
    binary = tmp_path / "flower-ops"
    # On a machine that is no node: each kind says so in a sentence of its own.
    binary.write_text(
        f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(package))} exec {sys.executable} -m flower_ops.cli "$@" '
        f"--root {shlex.quote(str(tmp_path / 'root'))}\n"
    )
    binary.chmod(0o755)
    for kind in flower_rotate.KINDS:
        result = run_module("flower_rotate", {"what": kind, "binary": str(binary)}, check=True)
        assert not result.ok and result["msg"].endswith("."), kind
        assert not (tmp_path / "root").exists()


def test_documentation_is_whole() -> None:
    documentation = yaml.safe_load(flower_rotate.DOCUMENTATION)
    choices = documentation["options"]["what"]["choices"]
    assert choices == flower_rotate.KINDS == [kind.replace("-", "_") for kind in rotation.KINDS]
    told = " ".join(documentation["options"]["what"]["description"])
    assert all(f"V({kind})" in told for kind in choices)
    returned = yaml.safe_load(flower_rotate.RETURN)
    assert set(returned["replaced"]["contains"]) == set(ROW) and set(returned) == {"replaced", "errors"}
