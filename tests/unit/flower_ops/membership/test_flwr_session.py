# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many flwr commands in one process, against a program that is installed as flwr is and behaves like it."""

from __future__ import annotations

import sys
from pathlib import Path

import flower_ops
import pytest
from flower_ops.flower_cli.flwr_cli import FlwrCliError
from flower_ops.flower_cli.flwr_session import FlwrSession

PROGRAM = """
import json, os, sys, time

def main():
    words = sys.argv[1:]
    print("\\x1b[92mUsing SuperLink: federation\\x1b[0m")
    key = words[2]
    if key == "crash.pub":
        raise RuntimeError("Boom")
    if key == "die.pub":
        os._exit(3)
    if key == "hang.pub":
        time.sleep(60)
    if key == "used.pub":
        print(json.dumps({"success": False, "error-message": "[code: 23] Public key already in use."}))
    else:
        print(json.dumps({"success": True, "node-id": os.getpid(), "words": words}, indent=1))
    # Whatever happened, the status of flwr is 0.
    sys.exit(0)
"""


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """An environment in which a console script of the name flwr is installed."""
    packages = tmp_path / "packages"
    dist = packages / "fake_flwr-1.0.dist-info"
    dist.mkdir(parents=True)
    (dist / "METADATA").write_text("Metadata-Version: 2.1\nName: fake-flwr\nVersion: 1.0\n")
    (dist / "entry_points.txt").write_text("[console_scripts]\nflwr = fake_flwr:main\n")
    (packages / "fake_flwr.py").write_text(PROGRAM)
    python = tmp_path / "venv/bin/python"
    python.parent.mkdir(parents=True)
    place = Path(flower_ops.__file__).parents[1]
    python.write_text(f'#!/bin/sh\nPYTHONPATH={packages}:{place} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return tmp_path / "venv"


def session(venv: Path, timeout: float = 20.0) -> FlwrSession:
    return FlwrSession(venv / "bin/flwr", venv, user=None, timeout=timeout)


def test_commands_share_one_process_and_failures_do_not_end_it(venv: Path) -> None:
    flower = session(venv)
    flower.expect(True)
    first = flower.register("one.pub")
    for key, reason in (("used.pub", "already in use"), ("crash.pub", "gave no JSON answer .*RuntimeError: Boom")):
        with pytest.raises(FlwrCliError, match=reason):
            flower.register(key)
    assert flower.register("two.pub") == first
    flower.expect(False)
    assert flower.register("three.pub") != first
    flower.close()
    flower.close()


def test_a_process_that_dies_or_hangs_is_replaced_for_the_next_command(venv: Path) -> None:
    flower = session(venv)
    assert flower.register("one.pub")
    with pytest.raises(FlwrCliError, match="no JSON answer"):
        flower.register("die.pub")
    assert flower.register("two.pub")
    flower.timeout = 0.5
    with pytest.raises(FlwrCliError, match="no answer within") as caught:
        flower.register("hang.pub")
    assert caught.value.unreachable
    flower.timeout = 20.0
    assert flower.register("three.pub")
    flower.close()


def test_a_runtime_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(FlwrCliError, match="apply the role flower_runtime"):
        session(tmp_path / "nothing").register("one.pub")
