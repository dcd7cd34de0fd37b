# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packing an app, the line per round, and the commands on the SuperLink."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.opennebula.flower.plugins.module_utils.flower.app_archive import AppError, pack
from ansible_collections.opennebula.flower.plugins.module_utils.flower.figures import (
    ACCURACY,
    duration,
    final_metrics,
    pick,
    round_line,
    size,
)
from ansible_collections.opennebula.flower.plugins.module_utils.flower.run_commands import RunCommands, RunFailed

DEMO = Path(__file__).parents[4] / "demos/sklearn"
PROJECT = "[project]\nname='toy'\nversion='2'\n[tool.flwr.app.components]\nserverapp='a:app'\nclientapp='b:app'\n"


def app_in(folder: Path) -> Path:
    folder.mkdir()
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "a.py").write_text("x = 1\n")
    return folder


def test_demo_packs_without_its_data() -> None:
    packed = pack(DEMO)
    assert packed.name == "digits" and "digits_app/server_app.py" in packed.files
    assert not any(name.startswith("data/digits") for name in packed.files)


def test_only_what_flower_bundles_is_packed(tmp_path: Path) -> None:
    folder = app_in(tmp_path / "app")
    for name in (
        "data.csv",
        ".env",
        ".git/config.py",
        "sub/__pycache__/x.py",
        "venv/pyvenv.cfg",
        "venv/lib/y.py",
        "key.pem",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("secret")
    (folder / "sub/deep.py").write_text("")
    (tmp_path / "outside.py").write_text("secret")
    (folder / "link.py").symlink_to(tmp_path / "outside.py")
    packed = pack(folder)
    assert packed.files == ("a.py", "pyproject.toml", "sub/deep.py")
    with tarfile.open(fileobj=io.BytesIO(packed.archive)) as archive:
        assert tuple(archive.getnames()) == packed.files
    assert pack(folder).archive == packed.archive


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "no pyproject.toml"), ("x", "not valid TOML"), ("[tool.flwr.app]\n", "no [tool.flwr.app.components]")],
)
def test_no_app(tmp_path: Path, content: str | None, said: str) -> None:
    if content:
        (tmp_path / "pyproject.toml").write_text(content)
    with pytest.raises(AppError) as caught:
        pack(tmp_path)
    assert said in str(caught.value)
    with pytest.raises(AppError, match="no app directory"):
        pack(tmp_path / "nowhere")


def test_app_larger_than_flower_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ansible_collections.opennebula.flower.plugins.module_utils.flower.app_archive.MAX_BYTES", 100)
    with pytest.raises(AppError, match="10 MiB at most"):
        pack(app_in(tmp_path / "app"))


def test_round_line() -> None:
    one = {
        "round": 2,
        "central": {"accuracy": 0.9333, "loss": 0.31},
        "results": 1,
        "nodes": 2,
        "seconds": 12.2,
        "errors": [],
    }
    assert round_line(one, 3) == "round 2/3  accuracy 0.933  loss 0.310  results 1/2  12 s"
    assert round_line({"round": 1, "errors": ["node 7: boom"]}, None) == "round 1  node 7: boom"
    assert round_line({"round": 1, "dropped": "too few."}, None) == "round 1  none of its results was used: too few."


def test_figures() -> None:
    assert (
        pick({"eval_acc": 0.5, "x": 1}, ACCURACY) == 0.5 and pick({"accuracy": None, "accurate": 1}, ACCURACY) is None
    )
    rounds: list[dict[str, Any]] = [{"central": {"accuracy": 0.9}}, {"central": None, "evaluate": {}, "train": None}]
    assert final_metrics(rounds) == {"accuracy": 0.9} and final_metrics([]) == {}
    assert [size(n) for n in (0, 999, 198066, 3_400_000, 5e12)] == [
        "0 bytes",
        "999 bytes",
        "198 kB",
        "3.4 MB",
        "5000 GB",
    ]
    assert [duration(s) for s in (0.4, 59.4, 200, 3900)] == ["0 s", "59 s", "3 min 20 s", "1 h 05 min"]


class Node:
    """A SuperLink with a flower-ops that answers what it is told to."""

    def __init__(self, home: Path, answer: str) -> None:
        (home / "venv/bin").mkdir(parents=True)
        (home / "venv/bin/flower-ops").touch()
        (home / "apps").mkdir()
        self.home, self.answer = home, answer
        self.calls: list[tuple[list[str], str | None]] = []
        self.unpacked: list[str] = []

    def run_command(self, words: list[str], data: str | None = None) -> tuple[int, str, str]:
        self.calls.append((words, data))
        if "--app" in words:
            folder = Path(words[words.index("--app") + 1])
            self.unpacked = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
        return 0, self.answer, "some warning"

    def commands(self) -> RunCommands:
        return RunCommands(self.run_command, str(self.home))


def test_submit_unpacks_and_cleans_up(tmp_path: Path) -> None:
    node = Node(tmp_path / "flower", 'noise\n{"run_id": "5"}\n')
    archive = tmp_path / "app.tar.gz"
    archive.write_bytes(pack(DEMO).archive)
    assert node.commands().submit(str(archive), {"token": "s3cret"}) == {"run_id": "5"}
    assert tuple(node.unpacked) == pack(DEMO).files and list((node.home / "apps").iterdir()) == []
    words, data = node.calls[0]
    assert "s3cret" not in " ".join(words) and json.loads(str(data)) == {"token": "s3cret"}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ('{"error": "No such run."}', "No such run."),
        ("Killed", "gave no answer: some warning"),
        ("", "gave no answer"),
        ("3", "3"),
    ],
)
def test_errors_of_flower_ops(tmp_path: Path, answer: str, said: str) -> None:
    with pytest.raises(RunFailed) as caught:
        Node(tmp_path / "flower", answer).commands().status("5")
    assert said in str(caught.value)


def test_machine_without_flower_ops(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="is no SuperLink of this collection"):
        RunCommands(lambda *words, **more: (0, "", ""), str(tmp_path)).stop("5")


@pytest.mark.parametrize("name", ["../evil.py", "/etc/evil.py", "a/../../evil.py"])
def test_archive_cannot_write_outside(tmp_path: Path, name: str) -> None:
    node = Node(tmp_path / "flower", "{}")
    archive = tmp_path / "bad.tar"
    with tarfile.open(archive, "w") as out:
        out.addfile(tarfile.TarInfo(name), io.BytesIO())
    with pytest.raises(RunFailed, match="no plain file below"):
        node.commands().submit(str(archive), {})
    assert node.calls == [] and list((node.home / "apps").iterdir()) == []
