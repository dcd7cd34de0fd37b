# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is looked into on a VM, and what a database forgets and the audit does not."""

from __future__ import annotations

import os
import sqlite3
import struct
import time
from pathlib import Path

import pytest
from audit_support import SALT, node_with, prints_of, samples
from flower_ops.audit import canary, disks, search
from flower_ops.audit.common import set_apart
from flower_ops.audit.control import npy
from flower_ops.audit.errors import AuditError
from flower_ops.audit.hold import Hold, databases
from flower_ops.audit.prints import Prints
from flower_ops.audit.search import Wanted


@pytest.fixture
def vm(tmp_path: Path) -> Path:
    """The folders of a VM."""
    for folder in ("opt/flower/state", "opt/flower/runs", "opt/flower/venvs/abc", "tmp", "var/log", "srv", "proc/1"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


def looked_at(root: Path, since: float = 0.0, apart: tuple[Path, ...] = ()) -> set[str]:
    return {str(one.path.relative_to(root)) for one in disks.files(root, disks.FOLDERS, apart, since)}


def test_folders_are_searched_whole_and_elsewhere_what_changed(vm: Path) -> None:
    old = time.time() - 1000
    for name in ("opt/flower/state/a", "opt/flower/venvs/abc/b", "srv/c", "proc/1/d", "tmp/mine/e"):
        path = vm / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
        os.utime(path, (old, old))
    (vm / "tmp/link").symlink_to(vm / "srv/c")
    os.link(vm / "tmp/mine/e", vm / "tmp/mine/same")
    (vm / "tmp/empty").touch()
    assert looked_at(vm) - {"tmp/mine/same"} == {"opt/flower/state/a", "tmp/mine/e"}
    # A changed time of change cannot be turned back by an app; here it is that of the writing above.
    assert {"srv/c", "opt/flower/venvs/abc/b"} <= looked_at(vm, since=time.time() - 100)
    assert looked_at(vm, since=time.time() + 100) - {"tmp/mine/same"} == {"opt/flower/state/a", "tmp/mine/e"}
    assert not any(name.startswith("proc") for name in looked_at(vm, since=1))
    assert not any(name.startswith("tmp/mine") for name in looked_at(vm, apart=(vm / "tmp/mine",)))


@pytest.fixture
def nodes(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[bytes, Prints]]:
    folder = tmp_path_factory.mktemp("nodes")
    return [node_with(folder, seed, f"node-{seed}") for seed in (1, 2)]


def run_search(vm: Path, nodes: list[tuple[bytes, Prints]], own: str = "", since: float = 0.0) -> dict[str, object]:
    return search.search([prints for _data, prints in nodes], own, SALT, Wanted(vm, since=since, journal=False))


def test_a_clean_machine_and_its_control(vm: Path, nodes: list[tuple[bytes, Prints]]) -> None:
    (vm / "opt/flower/state/model").write_bytes(os.urandom(300000))
    found = run_search(vm, nodes)
    assert found["findings"] == [] and found["shared"] == []
    assert found["control"] == {"planted": found["control"]["planted"], "missed": []}  # type: ignore[index]
    assert found["files"] == 1 and found["bytes"] > 300000  # type: ignore[operator]
    # Nothing of the control is left behind.
    assert looked_at(vm) == {"opt/flower/state/model"}


def test_a_finding_says_whose_what_and_where(vm: Path, nodes: list[tuple[bytes, Prints]]) -> None:
    rows = nodes[1][0][3 * 64 : 6 * 64]
    (vm / "var/log/app.log").write_bytes(bytes(1000) + struct.pack("<192d", *rows))
    found = run_search(vm, nodes, since=time.time() - 60)
    (one,) = found["findings"]  # type: ignore[misc]
    assert one["node"] == "node-2" and one["path"] == str(vm / "var/log/app.log") and one["changed"]  # type: ignore[index]
    assert one["forms"] == ["64-bit floats"] and one["samples"] == 3  # type: ignore[index]
    assert one["named"] == [{"file": 1, "row": row} for row in (4, 5, 6)]  # type: ignore[index]
    assert 1000 <= one["offset"] < 1600  # type: ignore[index]


def test_a_node_may_hold_its_own_samples_and_no_others(vm: Path, nodes: list[tuple[bytes, Prints]]) -> None:
    (vm / "opt/flower/data").mkdir()
    (vm / "opt/flower/data/own").write_bytes(nodes[0][0])
    assert run_search(vm, nodes, own="node-1")["findings"] == []
    (one,) = run_search(vm, nodes, own="node-2")["findings"]  # type: ignore[misc]
    assert one["node"] == "node-1" and one["samples"] == 20  # type: ignore[index]


def test_one_sample_that_two_nodes_have_is_found_in_the_data_of_each(vm: Path, tmp_path: Path) -> None:
    """Old, in a folder that is searched for the data's sake only, where no control is planted."""
    nodes, old = [], time.time() - 1000
    (vm / "srv/data").mkdir()
    for seed in (5, 6):
        data, _prints = node_with(tmp_path, seed, f"node-{seed}")
        path = tmp_path / f"node-{seed}/samples.npy"
        path.write_bytes(npy(samples(5, count=1) + data[64:], 64))
        nodes.append((data, prints_of(tmp_path / f"node-{seed}", f"node-{seed}")))
        (vm / "srv/data/samples.npy").write_bytes(path.read_bytes())
    os.utime(vm / "srv/data/samples.npy", (old, old))
    looked = [prints for _data, prints in nodes]
    found = search.search(looked, "node-6", SALT, Wanted(vm, journal=False, data=("/srv/data",)))
    (one,) = found["findings"]
    assert (one["node"], one["path"], one["samples"]) == ("node-5", str(vm / "srv/data/samples.npy"), 1)
    assert one["named"] == [{"file": 1, "row": 1}] and found["control"]["missed"] == []
    assert len(os.listdir(vm / "srv/data")) == 1 and 0 < found["shared"][0]["share"] < 0.1


def write(base: sqlite3.Connection, content: bytes) -> None:
    """As Flower does: a message comes, is read, and is deleted; the next ones take its room."""
    base.execute("INSERT INTO objects VALUES (?)", (content,))
    base.commit()
    base.execute("DELETE FROM objects")
    base.commit()


def test_a_hold_keeps_what_a_database_forgets(vm: Path, nodes: list[tuple[bytes, Prints]]) -> None:
    path = vm / "opt/flower/state/state.db"
    writer = sqlite3.connect(path)
    writer.execute("PRAGMA journal_mode = WAL")
    # Flower's is twenty times as long, and so would be this test.
    writer.execute("PRAGMA wal_autocheckpoint = 50")
    writer.execute("CREATE TABLE objects (content BLOB)")
    write(writer, bytes(10))
    assert databases(vm / "opt/flower/state") == [path]
    leaked = struct.pack("<640d", *nodes[0][0][:640])
    with Hold(databases(vm / "opt/flower/state")) as hold:
        assert hold.held == [str(path)] and not hold.failed
        write(writer, leaked)
        # Two megabytes through a log that would begin anew after a tenth, if nobody read.
        for _turn in range(20):
            write(writer, os.urandom(100000))
        findings = run_search(vm, nodes)["findings"]
    assert [(one["node"], one["path"]) for one in findings] == [("node-1", f"{path}-wal")]  # type: ignore[union-attr, index, call-overload]
    # And it is over with the hold: writers go on as before.
    for _turn in range(20):
        write(writer, os.urandom(100000))
    assert run_search(vm, nodes)["findings"] == []
    writer.close()


def test_a_hold_leaves_databases_alone_that_are_no_longer_wal(vm: Path) -> None:
    path = vm / "opt/flower/state/old.db"
    base = sqlite3.connect(path)
    base.execute("CREATE TABLE objects (content BLOB)")
    base.commit()
    path.with_name("old.db-shm").touch()
    with Hold([path]) as hold:
        assert "not wal" in hold.failed[str(path)] and not hold.held
        write(base, b"x")
    base.close()


def test_a_hold_blocks_no_writer_and_says_what_it_cannot_hold(vm: Path) -> None:
    path = vm / "opt/flower/state/old.db"
    base = sqlite3.connect(path)
    base.execute("CREATE TABLE objects (content BLOB)")
    base.commit()
    (vm / "opt/flower/state/broken.db").write_bytes(b"SQLite format 3\0" + bytes(200))
    with Hold(databases(vm / "opt/flower/state")) as hold:
        assert hold.held == [] and set(hold.failed) == {str(path), str(path.with_name("broken.db"))}
        assert "nobody has it open" in hold.failed[str(path)]
        write(base, b"x")
    base.close()


@pytest.mark.parametrize("form", sorted(canary.FORMS))
def test_canaries_are_made_found_and_removed(form: str, tmp_path: Path) -> None:
    folder, manifest = tmp_path / "data", tmp_path / "canary.json"
    folder.mkdir()
    assert canary.plant(folder, form, manifest)
    first = prints_of(folder)
    assert first.facts["taken"] >= 100 and first.facts["unreadable"] == 0
    # Those of an audit that was cut off make room for others.
    canary.plant(folder, form, manifest)
    second = prints_of(folder, "other")
    # Labels of two nodes may be the same.
    assert all(one.share < 0.03 for one in set_apart([first, second])) and set_apart([first, second]) == []
    assert canary.remove(manifest) and not any(folder.iterdir()) and not canary.remove(manifest)


def test_canaries_never_join_data_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/mine.csv").write_text("1,2,3\n", encoding="ascii")
    with pytest.raises(AuditError, match="holds data already"):
        canary.plant(tmp_path / "data", "table", tmp_path / "canary.json")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_journal_that_nobody_can_read_is_told(
    vm: Path, nodes: list[tuple[bytes, Prints]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(vm))
    looked = [prints for _data, prints in nodes]
    assert search.search(looked, "", SALT, Wanted(vm))["journal"] is False
    assert search.search(looked, "", SALT, Wanted(vm, journal=False))["journal"] is True
    # These two are fakes.
    for code, told in ((1, False), (0, True)):
        (vm / "journalctl").write_text(f"#!/bin/sh\nexit {code}\n", encoding="ascii")
        (vm / "journalctl").chmod(0o755)
        assert search.search(looked, "", SALT, Wanted(vm))["journal"] is told


def test_a_file_that_cannot_be_read_is_told_and_one_that_is_gone_is_not(
    vm: Path, nodes: list[tuple[bytes, Prints]], monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = {"gone": FileNotFoundError(), "broken": OSError(5, "Input/output error")}
    for name in errors:
        (vm / "tmp" / name).write_bytes(b"x" * 100)
    real = Path.open

    def fake(path: Path, *about: object, **more: object) -> object:
        if path.name in errors:
            raise errors[path.name]
        return real(path, *about, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", fake)
    assert run_search(vm, nodes)["unreadable"] == 1
