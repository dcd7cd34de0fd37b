# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The app that docs/training.md shows: its blocks are one that Flower takes, and that trains."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flower_ops.runs.app import check_run_config, load_app
from flwr.app import Context, Message, RecordDict
from local_grid import LocalGrid

PAGE = Path(__file__).resolve().parents[3] / "docs/training.md"
BLOCK = re.compile(r"^```(?:toml|python)\n# (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """The app as somebody copies it."""
    files = dict(BLOCK.findall(PAGE.read_text(encoding="utf-8")))
    assert sorted(files) == ["my_app/client_app.py", "my_app/server_app.py", "pyproject.toml"]
    folder = tmp_path / "my-app"
    (folder / "my_app").mkdir(parents=True)
    (folder / "my_app/__init__.py").touch()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_flower_takes_it(app: Path) -> None:
    command = [str(Path(sys.executable).parent / "flwr"), "build", "--app", str(app)]
    done = subprocess.run(command, cwd=app.parent, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0 and list(app.parent.rglob("*.fab")), done.stdout + done.stderr


def test_it_trains_and_leaves_its_model(app: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(200, 4))
    np.savez(tmp_path / "train.npz", x=x, y=(x[:, 0] > x[:, 1]).astype(float))
    wanted: dict[str, Any] = {"strategy": "Krum", "num-malicious": 0, "data": str(tmp_path / "train.npz")}
    found = load_app(app)
    config = {**found.config, **check_run_config(found, {**wanted, "output-dir": str(tmp_path / "out")})}
    monkeypatch.syspath_prepend(str(app))
    server, client = (importlib.import_module(f"my_app.{name}").app for name in ("server_app", "client_app"))

    def node(message: Message, context: Context) -> Message:
        context.run_config = config
        return client(message, context)

    server(LocalGrid({1: node, 2: node}), Context(77, 1, {}, RecordDict(), config))
    figures = json.loads((tmp_path / "out/metrics.json").read_text(encoding="utf-8"))
    assert figures["strategy"] == "Krum" and figures["rounds"][-1]["train"]["train-accuracy"] > 0.9
    with np.load(tmp_path / "out/model.npz") as model:
        assert sorted(model) == ["bias", "weights"] and model["weights"][0] > 0 > model["weights"][1]
