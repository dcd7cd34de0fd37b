# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The supervisor's eyes and hands: a flwr that lies as the real one does, real files, real watchers."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest_runs import RUN_ID, FakeFlwr, recorded
from flower_ops.cli import main
from flower_ops.machine import foreign
from flower_ops.runs import record as records
from flower_ops.runs.copy import has_mark, marked
from flower_ops.runs.errors import RunError
from flower_ops.runs.record import Places
from flower_ops.supervisor import handed, service, view
from flower_ops.supervisor.model import Cause, Memory, State
from flower_ops.supervisor.shelf import Shelf
from flower_ops.supervisor.world import Hindered, Machine, Unanswered, epoch

CONFIG = {"num-server-rounds": 3, "min-available-clients": 1, "checkpoint-path": "", "training": "", "output-dir": ""}


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """An app that keeps checkpoints."""
    folder = tmp_path / "app"
    (folder / "pkg").mkdir(parents=True)
    (folder / "pkg/server.py").write_text("app = None\n")
    (folder / "secret.pem").write_text("not bundled\n")
    config = "".join(f"{key} = {json.dumps(value)}\n" for key, value in CONFIG.items())
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["x"]\n\n[project]\nname = "digits"\nversion = "1.2.0"  # of the app\n'
        '[tool.other]\nversion = "1.2.0"\n'
        '[tool.flwr.app]\npublisher = "p"\n[tool.flwr.app.components]\nserverapp = "a:a"\nclientapp = "b:b"\n'
        f"[tool.flwr.app.config]\n{config}"
    )
    return folder


@pytest.fixture
def world(places: Places) -> Iterator[Machine]:
    found = Machine(places, lambda: "")
    found._session._output = found.places.cli()._output  # type: ignore[method-assign]
    yield found
    found.rest()


def entry(flwr: FakeFlwr, mark: str, status: str = "running", run_id: str = RUN_ID, **more: Any) -> None:
    flwr.run_states(status, run_id=run_id, **{"fab-version": f"1.2.0+{mark}", **more})


def test_a_training_is_handed_over_with_a_copy_of_its_app(places: Places, app: Path) -> None:
    one = handed.hand_over(places, str(app), {"num-server-rounds": "5"}, "first")
    assert one["training"].startswith("first-") and one["state"] == "waiting" and one["resumes"] and one["nodes"] == 1
    assert one["run_config"]["num-server-rounds"] == 5 and one["run_config"]["training"] == one["training"]
    checkpoints = places.root / "opt/flower/checkpoints"
    assert one["run_config"]["checkpoint-path"] == str(checkpoints)
    assert one["checkpoints"] == f"{checkpoints}/{one['training']}"
    kept = places.root / "opt/flower/trainings" / one["training"] / "app"
    assert sorted(str(path.relative_to(kept)) for path in kept.rglob("*.*")) == ["pkg/server.py", "pyproject.toml"]
    assert kept.stat().st_mode & 0o777 == 0o750 and (kept / "pkg/server.py").stat().st_mode & 0o777 == 0o640
    # Another one of the same name is another training.
    assert handed.hand_over(places, str(app), {}, "first")["training"] != one["training"]
    assert len(handed.trainings(places)) == 2
    assert not list((places.root / "opt/flower/trainings").glob(".new-*"))
    # An app, which is of the group that may look into the folder, could lock what it can open.
    assert (places.root / "opt/flower/trainings/.lock").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("config", "name", "message"),
    [
        ({"rounds": 3}, "", "unknown key rounds"),
        ({"num-server-rounds": "many"}, "", "not a whole number"),
        ({}, "../x", "is no name of a training"),
    ],
)
def test_what_cannot_be_trained_is_refused_at_once(
    places: Places, app: Path, config: dict[str, Any], name: str, message: str
) -> None:
    with pytest.raises(RunError, match=message):
        handed.hand_over(places, str(app), config, name)
    assert handed.trainings(places) == []


def test_numbers_of_nodes_that_an_app_declares_as_text_ask_for_one(places: Places, app: Path) -> None:
    project = (app / "pyproject.toml").read_text()
    text = project.replace("min-available-clients = 1", 'min-available-clients = "1"\nmin-fit-clients = "2"')
    (app / "pyproject.toml").write_text(text)
    assert text != project and handed.hand_over(places, str(app), {})["nodes"] == 1


def test_a_training_is_asked_for_again_and_withdrawn(places: Places, app: Path) -> None:
    one = handed.hand_over(places, str(app), {})
    shelf = Shelf(places)
    asked = shelf.one(one["training"])
    shelf.keep(asked.name, Memory(asked=asked.at, state=State.COMPLETED))
    assert handed.status(places, asked.name)["finished"]
    more = handed.again(places, asked.name, {"num-server-rounds": 9})
    assert more["state"] == "waiting" and more["run_config"]["num-server-rounds"] == 9
    now = shelf.one(asked.name)
    assert (now.at > asked.at, now.mark, now.place, now.app) == (True, asked.mark, asked.place, asked.app)
    handed.withdraw(places, asked.name)
    assert shelf.one(asked.name).withdrawn
    with pytest.raises(RunError, match=f"There is no training other on this SuperLink; it knows: {asked.name}"):
        handed.status(places, "other")


def test_the_command(places: Places, app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = ["--root", str(places.root), "--json"]
    assert main(["training", "start", "--app", str(app), "--name", "x", *root]) == 0
    one = json.loads(capsys.readouterr().out)
    assert main(["training", "list", *root]) == 0
    assert [found["training"] for found in json.loads(capsys.readouterr().out)] == [one["training"]]
    assert main(["training", "status", "--training", "nobody", *root]) == 1
    assert "There is no training nobody" in json.loads(capsys.readouterr().out)["error"]


def test_a_run_carries_the_mark_of_its_training_and_the_app_keeps_its_version(
    places: Places, flwr: FakeFlwr, app: Path, world: Machine
) -> None:
    one = handed.hand_over(places, str(app), {})
    asked = Shelf(places).one(one["training"])
    # The real watcher that is started ends with the run.
    flwr.run_states("finished:completed")
    flwr.logs(recorded("completed"))
    assert world.submit(asked) == RUN_ID
    project = (flwr.state / "project.toml").read_text()
    assert f'version = "1.2.0+{asked.mark}"  # of the app' in project and project.count(asked.mark) == 1
    assert 'version = "1.2.0"  # of the app' in Path(asked.app, "pyproject.toml").read_text()
    record = records.load(places.record(RUN_ID))
    assert record["app"]["version"] == "1.2.0" and record["training"] == asked.name
    end = time.monotonic() + 30
    while world.follow(asked, RUN_ID):
        assert time.monotonic() < end
        time.sleep(0.1)
    submitted = (flwr.state / "submitted.toml").read_text()
    assert f'training = "{asked.name}"' in submitted and f'output-dir = "{places.runs / asked.name}"' in submitted


def test_marks() -> None:
    assert marked("1.0", "ab") == "1.0+ab" and marked("1.0+x", "ab") == "1.0+x.ab"
    assert has_mark("1.0+ab", "ab") and has_mark("1.0+x.ab", "ab")
    assert not has_mark("1.0.ab", "ab") and not has_mark("1.0+abc", "ab") and not has_mark("", "ab")


def test_an_app_whose_version_is_not_to_be_found_is_refused(places: Places, app: Path, world: Machine) -> None:
    project = app / "pyproject.toml"
    project.write_text(project.read_text().replace('version = "1.2.0"  #', 'version = """1.2.0"""  #'))
    asked = Shelf(places).one(handed.hand_over(places, str(app), {})["training"])
    with pytest.raises(RunError, match="cannot be supervised"):
        world.submit(asked)


def test_only_runs_of_the_training_are_seen(places: Places, flwr: FakeFlwr, app: Path, world: Machine) -> None:
    asked = Shelf(places).one(handed.hand_over(places, str(app), {})["training"])
    entry(flwr, "00000000")
    assert world.seen(asked, world.runs(), ()) == ()
    entry(flwr, asked.mark)
    (seen,) = world.seen(asked, world.runs(), ()) or ()
    assert seen.run_id == RUN_ID and seen.cause is None and seen.at == epoch("2026-11-22T00:00:00Z") and not seen.host
    world._born = lambda: "one"
    (seen,) = world.seen(asked, world.runs(), ()) or ()
    assert seen.host == "one"
    entry(flwr, asked.mark, "starting")
    (seen,) = world.seen(asked, world.runs(), ()) or ()
    assert not seen.host, "it may yet be taken up by a SuperLink that is started anew"
    # Started anew while it answers: nobody knows which of the two has.
    entry(flwr, asked.mark)
    both = iter(("one", "two"))
    world._born = lambda: next(both)
    (seen,) = world.seen(asked, world.runs(), ()) or ()
    assert not seen.host


def test_a_silent_flower_is_no_reason_to_give_up(flwr: FakeFlwr, places: Places, app: Path, world: Machine) -> None:
    asked = Shelf(places).one(handed.hand_over(places, str(app), {})["training"])
    flwr.set("unreachable", 1)
    for call in (world.runs, world.online, lambda: world.submit(asked), lambda: world.stop(RUN_ID)):
        with pytest.raises(Unanswered):
            call()
    flwr.set("unreachable", 0)
    flwr.set("refuse_run", 1)
    with pytest.raises(RunError, match="Invalid run configuration"):
        world.submit(asked)


def test_the_last_words_of_a_run_are_read_before_it_is_judged(
    places: Places, flwr: FakeFlwr, app: Path, world: Machine
) -> None:
    """A supervisor that was away when the run ended: nobody followed it, and its record was never written."""
    asked = Shelf(places).one(handed.hand_over(places, str(app), {})["training"])
    entry(flwr, asked.mark, "finished:failed")
    flwr.logs(recorded("serverapp_failed"))
    assert world.seen(asked, world.runs(), ()) is None
    end = time.monotonic() + 30
    while (found := world.seen(asked, world.runs(), ())) is None:
        assert time.monotonic() < end
        time.sleep(0.1)
    (seen,) = found
    assert seen.cause is Cause.APP and seen.reason.startswith("FileNotFoundError: no digits")
    assert records.load(places.record(RUN_ID))["training"] == asked.name
    # What has been judged is not read again, should its record have gone.
    places.record(RUN_ID).unlink()
    assert len(world.seen(asked, world.runs(), {RUN_ID}) or ()) == 1 and not places.record(RUN_ID).exists()


def test_progress_and_checkpoints(places: Places, app: Path, world: Machine) -> None:
    asked = Shelf(places).one(handed.hand_over(places, str(app), {})["training"])
    assert world.round(asked) == 0 and world.progress(RUN_ID) == (0, 0, "")
    folder = Path(asked.place)
    folder.mkdir(parents=True)
    for name in (
        "checkpoint_round_9.npz",
        "checkpoint_round_10.npz",
        "checkpoint_latest.npz",
        ".new-1-checkpoint_round_99.npz",
    ):
        (folder / name).touch()
    assert world.round(asked) == 10


@pytest.mark.parametrize("text", ["", "[]", "{", '{"attempts": 3}', '{"attempts": [], "state": "?"}', "\x00"])
def test_memory_that_cannot_be_read_is_none(places: Places, text: str) -> None:
    (places.runs / "x-1.training.json").write_text(text)
    assert Shelf(places).recall("x-1") == Memory()


def test_memory_is_read_as_it_was_written(places: Places) -> None:
    from supervisor_support import Stage

    stage = Stage()
    stage.until(lambda: stage.world.listed)
    stage.tick()
    stage.world.reboot(at_once=False)
    stage.to_the_end()
    Shelf(places).keep("x-1", stage.memory())
    assert Shelf(places).recall("x-1") == stage.memory()


def test_whoever_holds_the_lock_alone_supervises(places: Places, flwr: FakeFlwr) -> None:
    """A flwr that a killed supervisor has left behind keeps the next one from submitting."""
    code = "import fcntl,sys; f=open(sys.argv[1],'a'); fcntl.flock(f, 2); print('held', flush=True); sys.stdin.read()"
    held = subprocess.Popen(
        [sys.executable, "-c", code, str(places.runs / service.LOCK)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert held.stdout and held.stdout.readline() == b"held\n"
    stop = threading.Event()
    looked = threading.Event()

    def born() -> str:
        looked.set()
        return ""

    shelf = Shelf(places)
    from supervisor_support import asked

    shelf.ask(asked(app="/nowhere"))
    thread = threading.Thread(target=service.serve, args=(places.root, stop, born))
    thread.start()
    try:
        time.sleep(1.5)
        assert flwr.calls == []
        held.communicate(b"")
        end = time.monotonic() + 20
        while shelf.recall("digits-1a2b3c4d").reason == "":
            assert time.monotonic() < end
            time.sleep(0.1)
    finally:
        stop.set()
        thread.join(20)
        held.kill()


def test_the_birth_of_a_process() -> None:
    assert service.born(os.getpid()) == service.born(os.getpid()) != service.born(1)
    assert service.born(os.getpid()) and service.born(2**22 + 7) == "" == service.born(0)


def test_what_hinders_a_submission_and_passes_is_told_from_what_does_not(
    places: Places, flwr: FakeFlwr, app: Path, world: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Shelf(places).one(handed.hand_over(places, str(app), {})["training"])

    def slow(*_arguments: Any, **_more: Any) -> Any:
        raise subprocess.TimeoutExpired("flwr", 120)

    def full(*_arguments: Any, **_more: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("flower_ops.flower_cli.flwr_cli.FlwrCli._output", slow)
        with pytest.raises(Hindered, match="no answer within 120 s"):
            world.submit(asked)
    for broken in ("flower_ops.runs.copy.shutil.copyfile", "flower_ops.runs.record.tempfile.mkstemp"):
        with monkeypatch.context() as patch:
            patch.setattr(broken, full)
            with pytest.raises(Hindered, match="No space left on device"):
                world.submit(asked)
    with monkeypatch.context() as patch:
        # As the shell tells it that makes the output folder.
        patch.setattr("flower_ops.runs.output._run", lambda *_: "mktemp: No space left on device")
        with pytest.raises(Hindered, match="No space left on device"):
            world.submit(asked)


@pytest.mark.parametrize(
    "answer",
    [
        # Killed in the middle of its work.
        "kill -9 $$",
        "echo 'Traceback (most recent call last):'",
        # 1.25 prints the whole gRPC error, 1.34 its details, 1.41 what HTTP said.
        *(
            f"""echo '{{"success": false, "error-message": "{text}"}}'"""
            for text in (
                "<_InactiveRpcError of RPC that terminated with: status = StatusCode.INTERNAL details = x>",
                "<_InactiveRpcError of RPC that terminated with: status = StatusCode.RESOURCE_EXHAUSTED details = x>",
                "Exception calling application: (sqlite3.OperationalError) database is locked",
                "Internal server error.",
                "Deadline Exceeded",
                "[code: 14] Failed to create or initialize the run.",
            )
        ),
    ],
)
def test_a_fault_of_flower_itself_passes(
    places: Places, flwr: FakeFlwr, app: Path, world: Machine, answer: str
) -> None:
    asked = Shelf(places).one(handed.hand_over(places, str(app), {})["training"])
    flwr.binary.write_text(f"#!/bin/sh\n{answer}\n")
    with pytest.raises(Hindered, match="Cannot submit the app"):
        world.submit(asked)


@pytest.mark.parametrize(
    "text",
    [
        "[code: 15] Invalid run configuration.",
        "Authentication failed. Please run `flwr login`",
        "❌ Permission denied.",
    ],
)
def test_what_flower_refuses_does_not_pass(
    places: Places, flwr: FakeFlwr, app: Path, world: Machine, text: str
) -> None:
    asked = Shelf(places).one(handed.hand_over(places, str(app), {})["training"])
    flwr.binary.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps({'success': False, 'error-message': text})}\nEND\n")
    with pytest.raises(RunError, match="Cannot submit the app"):
        world.submit(asked)


def test_only_flower_says_that_a_run_is_lost(flwr: FakeFlwr, world: Machine) -> None:
    flwr.run_states("running")
    assert (world.run(RUN_ID) or {})["status"] == "running" and world.run("5") is None
    flwr.binary.write_text("""#!/bin/sh\necho '{"success": false, "error-message": "database is locked"}'\n""")
    with pytest.raises(Unanswered, match="database is locked"):
        world.run(RUN_ID)


@pytest.mark.parametrize("kind", ["pipe", "link", "folder", "large", "deep"])
def test_what_is_no_regular_file_is_not_read(places: Places, kind: str) -> None:
    """Apps can write into that folder; a reader that waits for a pipe would wait for ever."""
    secret = places.root / "secret"
    secret.write_text('{"attempts": [], "state": "completed"}')
    for place in (places.runs / "x-1.training.json", places.record("77"), places.runs / "supervisor.lock"):
        if kind == "pipe":
            os.mkfifo(place)
        elif kind == "link":
            place.symlink_to(secret)
        elif kind == "folder":
            place.mkdir()
        elif kind == "large":
            with place.open("wb") as stream:
                stream.truncate(foreign.MOST + 1)
        else:
            place.write_text("[" * 100_000)
    assert Shelf(places).recall("x-1") == Memory()
    with pytest.raises(RunError, match="The record .*77.json cannot be read"):
        records.load(places.record("77"))
    assert view._supervised(places) is False


def test_signs_of_life(places: Places, flwr: FakeFlwr, app: Path, world: Machine) -> None:
    asked = Shelf(places).one(handed.hand_over(places, str(app), {})["training"])
    record = records.new_record(RUN_ID, {"name": "digits", "version": "1"}, places.runs / "x", asked.name)
    records.save(places.record(RUN_ID), record)
    first = world.life(asked, RUN_ID)
    records.save(places.record(RUN_ID), record)
    again = world.life(asked, RUN_ID)
    assert again.sign == first.sign and again.written > first.written and not again.waits
    records.save(places.record(RUN_ID), {**record, "log_tail": ["INFO :      [ROUND 1/3]"]})
    assert world.life(asked, RUN_ID).sign != first.sign
    records.save(places.record(RUN_ID), {**record, "waiting": "waiting for nodes: 1 connected, 2 needed"})
    assert world.life(asked, RUN_ID).waits
    folder = Path(asked.place)
    folder.mkdir(parents=True)
    (folder / "checkpoint_round_1.npz").touch()
    assert world.life(asked, RUN_ID).sign != first.sign
