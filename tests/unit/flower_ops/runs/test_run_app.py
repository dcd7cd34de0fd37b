# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""App directories and run configuration."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import tomllib
from flower_ops.runs.app import App, check_run_config, flat, load_app, render_toml
from flower_ops.runs.errors import RunError
from hypothesis import given
from hypothesis import strategies as st

DEMO = Path(__file__).parents[4] / "demos/sklearn"
VALUES = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text()
KEYS = st.text("abcXYZ019_-", min_size=1, max_size=8) | st.text(min_size=1, max_size=5).filter(lambda t: "." not in t)


@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_toml_holds_what_was_given(values: dict[str, Any]) -> None:
    read = tomllib.loads(render_toml(values))
    assert list(read) == list(values)
    for key, value in values.items():
        same = math.isnan(read[key]) if isinstance(value, float) and math.isnan(value) else read[key] == value
        assert same and type(read[key]) is type(value)


def test_nested_keys_stay_nested() -> None:
    assert flat(tomllib.loads(render_toml({"a.b": 1, "a.c": "x"}))) == {"a.b": 1, "a.c": "x"}


def test_demo_app_is_an_app() -> None:
    app = load_app(DEMO)
    assert (app.name, app.config["num-server-rounds"], app.config["output-dir"]) == ("digits", 3, "")


def app_of(**config: Any) -> App:
    return App(Path("/x"), "toy", "1", config)


@pytest.mark.parametrize(
    ("default", "given", "wanted"),
    [
        (3, "5", 5),
        (3, 5.0, 5),
        (0.1, 1, 1.0),
        (0.1, "1e-3", 0.001),
        (True, "FALSE", False),
        ("x", 5, "5"),
        (1, 2**62 + 1, 2**62 + 1),
    ],
)
def test_values_take_the_declared_type(default: Any, given: Any, wanted: Any) -> None:
    found = check_run_config(app_of(key=default), {"key": given})["key"]
    assert found == wanted and type(found) is type(default)


def test_every_mistake_is_named_at_once() -> None:
    with pytest.raises(RunError) as caught:
        check_run_config(
            app_of(rounds=3, rate=0.1, on=True), {"rounds": 2.5, "rate": "fast", "on": "maybe", "speed": 1}
        )
    text = str(caught.value)
    assert "unknown key speed (the app knows: on, rate, rounds)" in text
    assert "rounds: 2.5 is not a whole number" in text
    assert "rate: 'fast' is not a number" in text and "on: 'maybe' is not true or false" in text


@pytest.mark.parametrize("default", [3, 0.1])
def test_a_number_beyond_all_is_told_in_a_sentence(default: Any) -> None:
    with pytest.raises(RunError, match=r"Run configuration for the app \S+ is wrong: key: the number is too large\."):
        check_run_config(app_of(key=default), {"key": 10**400})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no pyproject.toml"),
        ("[project\n", "not valid TOML"),
        ("[project]\nname='x'\n", "no [tool.flwr.app.components]"),
        ("[tool.flwr]\napp = 3\n", "no [tool.flwr.app.components]"),
    ],
)
def test_no_app(tmp_path: Path, content: str | None, said: str) -> None:
    if content is not None:
        (tmp_path / "pyproject.toml").write_text(content)
    with pytest.raises(RunError, match="pyproject") as caught:
        load_app(tmp_path)
    assert said in str(caught.value)


def test_no_directory(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="There is no app directory"):
        load_app(tmp_path / "nowhere")
