# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a training that is handed over rests on: the disk of its checkpoints, and its app on a disk of its own."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
from flower_ops.runs import record as records
from flower_ops.runs.errors import RunError
from flower_ops.runs.record import Places
from flower_ops.supervisor import handed
from flower_ops.supervisor.model import Memory, State
from flower_ops.supervisor.shelf import Shelf

KEYS = ("training", "checkpoint-path", "checkpoint-disk")


def make_app(folder: Path, keys: tuple[str, ...] = KEYS) -> Path:
    (folder / "pkg").mkdir(parents=True)
    (folder / "pkg/server.py").write_text("app = None\n")
    values = "num-server-rounds = 3\n" + "".join(f'{key} = ""\n' for key in keys)
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "digits"\nversion = "1.2.0"\n[tool.flwr.app.components]\nserverapp = "a:a"\n'
        f'clientapp = "b:b"\n[tool.flwr.app.config]\n{values}'
    )
    return folder


def mount(monkeypatch: pytest.MonkeyPatch, *places: Path) -> None:
    """Have disks mounted there, and nowhere else."""
    names = {str(place) for place in places}
    monkeypatch.setattr("flower_ops.supervisor.asking.os.path.ismount", lambda place: str(place) in names)


def test_a_training_is_tied_to_the_disk_of_its_checkpoints(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, top = make_app(tmp_path / "app"), places.root / "opt/flower/checkpoints"
    mount(monkeypatch, places.root / "opt", top)
    first = handed.hand_over(places, str(app), {}, "first")
    assert first["run_config"]["checkpoint-disk"] == str(top)
    inner = handed.hand_over(places, str(app), {"checkpoint-path": f"{top}/a/b"}, "inner")
    assert inner["run_config"]["checkpoint-disk"] == str(top)
    outside = handed.hand_over(places, str(app), {"checkpoint-path": "/elsewhere"}, "outside")
    assert "checkpoint-disk" not in outside["run_config"]
    unknown = handed.hand_over(places, str(make_app(tmp_path / "plain", KEYS[:2])), {}, "plain")
    assert "checkpoint-disk" not in unknown["run_config"]
    # The same wish is the same training, whether the disk is there or not.
    mount(monkeypatch)
    again = handed.hand_over(places, str(app), {}, "first", once=True)
    assert not again["changed"] and again["training"] == first["training"]


def test_a_training_that_goes_on_keeps_its_disk_though_that_is_lost(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, top = make_app(tmp_path / "app"), places.root / "opt/flower/checkpoints"
    other = top / "other"
    mount(monkeypatch, top)
    name = handed.hand_over(places, str(app), {})["training"]
    shelf = Shelf(places)
    shelf.keep(name, Memory(asked=shelf.one(name).at, state=State.FAILED))
    mount(monkeypatch)
    assert handed.again(places, name)["run_config"]["checkpoint-disk"] == str(top)
    # With its checkpoints elsewhere it needs the disk of that place, if any.
    mount(monkeypatch, other)
    moved = handed.again(places, name, {"checkpoint-path": str(other)})
    assert moved["run_config"]["checkpoint-disk"] == str(other) and moved["checkpoints"] == f"{other}/{name}"
    moved = handed.again(places, name, {"checkpoint-path": "/elsewhere"})
    assert "checkpoint-disk" not in moved["run_config"]


class Writes:
    """What reaches the disk, in order: ("sync", place) and ("name", place)."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[tuple[str, Path]] = []
        self.fault: OSError | None = None
        real_sync, real_replace = os.fsync, os.replace

        def fsync(handle: int) -> None:
            place = Path(os.readlink(f"/proc/self/fd/{handle}"))
            if self.fault and place.is_dir():
                raise self.fault
            real_sync(handle)
            self.done.append(("sync", place))

        def replace(old: Any, new: Any) -> None:
            real_replace(old, new)
            # What was written under the old name is known by the new one.
            self.done = [(what, Path(str(place).replace(str(old), str(new)))) for what, place in self.done]
            self.done.append(("name", Path(new)))

        monkeypatch.setattr("os.fsync", fsync)
        monkeypatch.setattr("os.replace", replace)

    def of(self, folder: Path) -> list[tuple[str, str]]:
        return [(what, os.path.relpath(place, folder)) for what, place in self.done]


def test_an_app_is_on_the_disk_before_it_is_asked_for(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, writes = make_app(tmp_path / "app"), Writes(monkeypatch)
    name = handed.hand_over(places, str(app), {})["training"]
    found = writes.of(Shelf(places).folder / name)
    at = found.index(("name", "."))
    assert sorted(found[:at]) == [
        *(("sync", one) for one in (".", "app", "app/pkg", "app/pkg/server.py", "app/pyproject.toml")),
    ]
    assert found.index(("sync", "app/pkg/server.py")) < found.index(("sync", "app/pkg")) < found.index(("sync", "."))
    # The folder's own name, then the record, and the record's name.
    assert found[at + 1] == ("sync", "..")
    assert found[-3:] == [("sync", "asked.json"), ("name", "asked.json"), ("sync", ".")]


def test_what_is_written_for_good_has_its_name_for_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writes = Writes(monkeypatch)
    records.write_atomically(tmp_path / "x", "1")
    assert writes.of(tmp_path) == [("name", "x")]
    records.write_atomically(tmp_path / "x", "2", durable=True)
    assert writes.of(tmp_path)[1:] == [("sync", "x"), ("name", "x"), ("sync", ".")]
    # Not every file system can do that for a folder.
    writes.fault = OSError(errno.EINVAL, "Invalid argument")
    records.write_atomically(tmp_path / "x", "3", durable=True)
    writes.fault = OSError(errno.EIO, "Input/output error")
    with pytest.raises(RunError, match="Cannot write .*x: Input/output error"):
        records.write_atomically(tmp_path / "x", json.dumps(4), durable=True)
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
