# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an app declares is all that an operator may say, with the defaults that are documented."""

from __future__ import annotations

import importlib
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from federation import USE_CASES, config_of
from flower_ops.runs.app import load_app
from flower_ops.supervisor.asking import KEYS
from flower_ops.training import checks
from flower_ops.training.settings import FORMS, Settings
from flwr.app import Context, RecordDict

CASES = ["image-classification", "anomaly-detection", "llm-fine-tuning"]
DATA = {"data-source", "data-dir", "data-shared", "partitioner", "partition-alpha", "partition-seed"}
#: One epoch of a language model takes longer.
OWN_DEFAULTS = {"llm-fine-tuning": {"round-timeout": 3600.0}}


@pytest.mark.parametrize("case", CASES)
def test_all_keys_are_there_with_their_defaults(case: str) -> None:
    config = config_of(case)
    defaults = {one.name.replace("_", "-"): one.default for one in fields(Settings)}
    wanted = {**defaults, **OWN_DEFAULTS.get(case, {})}
    assert {key: config[key] for key in wanted} == wanted
    # The type decides how a value of a context variable is read.
    assert {key: type(config[key]) for key in wanted} == {key: type(value) for key, value in wanted.items()}
    assert set(config) >= DATA | set(KEYS.values())
    assert Settings.read(config) == Settings(round_timeout=wanted["round-timeout"])


@pytest.mark.parametrize("case", CASES)
def test_every_key_is_checked_before_a_node_is_asked(case: str) -> None:
    server = importlib.import_module(f"{case.replace('-', '_')}.server_app")
    config = config_of(case)
    assert set(config) == {*FORMS, *DATA, *server.FORMS}
    assert checks.read(config, server.FORMS) == Settings.read(config)
    odd = dict.fromkeys({*server.FORMS, "partitioner", "data-source"}, -1)
    with pytest.raises(ValueError, match=f"has {len(odd)} faults") as caught:
        server.app(None, Context(1, 1, {}, RecordDict(), {**config, **odd}))
    assert all(f"{key} = -1: expected " in str(caught.value) for key in odd)


@pytest.mark.parametrize("case", CASES)
def test_a_use_case_is_what_it_is_called(case: str) -> None:
    app = load_app(USE_CASES / case)
    assert app.name == f"flower-{case}" and not app.has_connections
    assert (USE_CASES / case / "README.md").is_file()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("half", ["server_app", "client_app"])
def test_no_framework_is_imported_before_it_is_needed(case: str, half: str) -> None:
    """A SuperLink has none, and a node answers the survey without paying for one."""
    program = f"import sys, {case.replace('-', '_')}.{half}\nprint(*sys.modules)"
    path = ":".join(map(str, (USE_CASES / case, *sys.path)))
    done = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    imported = {name.partition(".")[0] for name in done.stdout.split()}
    assert "flwr" in imported
    assert not imported & {"torch", "tensorflow", "keras", "sklearn", "transformers", "peft", "huggingface_hub"}


def test_the_apps_are_small_and_hold_no_data() -> None:
    for path in (one for one in USE_CASES.rglob("*") if one.is_file() and "__pycache__" not in one.parts):
        assert path.suffix in {".py", ".toml", ".md"} and path.stat().st_size < 16_000, path
    assert {path.name for path in USE_CASES.iterdir()} == set(CASES)
    assert isinstance(USE_CASES, Path)
