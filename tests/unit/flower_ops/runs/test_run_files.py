# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of a run are what its app wrote: nothing that an app laid there leads whoever fetches them to anything else."""

from __future__ import annotations

import base64
import json
import os
import pwd
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flower_ops.runs import files
from flower_ops.runs.account import perform
from flower_ops.runs.cli import main
from flower_ops.runs.errors import RunError
from flower_ops.runs.files import files_of, read

ROOT = os.geteuid() == 0
#: An account that exists everywhere; where the tests do not run as root, nobody becomes anybody else.
USER = "nobody" if ROOT else pwd.getpwuid(os.geteuid()).pw_name
ACCOUNT = pwd.getpwnam(USER)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody may enter."""
    found = Path(tempfile.mkdtemp())
    found.chmod(0o755)
    yield found
    shutil.rmtree(found)


@pytest.fixture
def secret(place: Path) -> Path:
    """A key of root, beside the folders of apps."""
    found = place / "private/ca.key"
    found.parent.mkdir()
    found.write_text("the key")
    found.chmod(0o600)
    return found


@pytest.fixture
def folder(place: Path) -> Path:
    """An output folder with a model, all of it the account's."""
    found = place / "runs/out"
    (found / "logs").mkdir(parents=True)
    (found / "model.npz").write_bytes(b"weights")
    (found / "logs/a.txt").write_text("text")
    for path in (place / "runs", found, *found.rglob("*")):
        shutil.chown(path, USER)
    return found


def link(path: Path, target: Path) -> None:
    """A link as an app lays one."""
    path.symlink_to(target)
    os.chown(path, ACCOUNT.pw_uid, ACCOUNT.pw_gid, follow_symlinks=False)


def names(folder: Path) -> list[str]:
    return [one["name"] for one in files_of(folder, USER)["files"]]


def left_out(folder: Path) -> list[str]:
    found: list[str] = files_of(folder, USER)["files_left_out"]
    return found


def content(folder: Path, name: str) -> bytes:
    return base64.b64decode(read(folder, name, 0, "", USER)["content"])


def test_what_an_app_wrote_is_listed_and_read(folder: Path) -> None:
    (folder / ".scratch").write_text("")
    found = files_of(folder, USER)
    assert found["files"] == [
        {"name": "logs/a.txt", "path": f"{folder}/logs/a.txt", "size": 4},
        {"name": "model.npz", "path": f"{folder}/model.npz", "size": 7},
    ]
    assert found["files_left_out"] == [] and content(folder, "logs/a.txt") == b"text"
    assert files_of(folder / "nowhere", USER) == files_of(Path(), USER) == {"files": [], "files_left_out": []}


def test_links_are_left_out_and_never_followed(folder: Path, secret: Path) -> None:
    link(folder / "key.npz", secret)
    link(folder / "private", secret.parent)
    assert names(folder) == ["logs/a.txt", "model.npz"]
    assert left_out(folder) == ["key.npz is a link", "private is a link"]
    for name in ("key.npz", "private/ca.key"):
        with pytest.raises(RunError, match=f"^The file {folder}/{name} is not handed over: it is a link, or lies behi"):
            read(folder, name, 0, "", USER)


def test_a_file_or_folder_exchanged_after_it_was_listed_is_refused(folder: Path, secret: Path) -> None:
    """The moment between the list and the fetch is an app's to use."""
    os.rename(secret, secret.with_name("model.npz"))
    for path, target in ((folder / "model.npz", secret.with_name("model.npz")), (folder / "logs", secret.parent)):
        os.rename(path, path.with_name(f"{path.name}-before"))
        link(path, target)
    for name in ("model.npz", "logs/model.npz"):
        with pytest.raises(RunError, match="is not handed over: it is a link"):
            read(folder, name, 0, "", USER)


@pytest.mark.parametrize("exchanged", ["runs/out", "runs"])
def test_an_output_folder_exchanged_for_a_link_is_refused(
    place: Path, folder: Path, secret: Path, exchanged: str
) -> None:
    (secret.parent / "out").mkdir()
    (secret.parent / "out/ca.key").write_text("another key")
    os.rename(place / exchanged, place / "before")
    link(place / exchanged, secret.parent)
    assert names(folder) == []
    assert left_out(folder) == [f"The folder {folder} cannot be looked into: it is a link, or lies behind one"]
    with pytest.raises(RunError, match="is a link"):
        read(folder, "ca.key", 0, "", USER)


def test_a_pipe_holds_nobody(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    shutil.chown(folder / "pipe", USER)
    signal.alarm(20)
    assert left_out(folder) == ["pipe is no regular file"]
    with pytest.raises(RunError, match="it is no regular file"):
        read(folder, "pipe", 0, "", USER)
    signal.alarm(0)


def test_a_hard_link_to_a_file_of_another_account_is_refused(
    folder: Path, secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Even one that everybody may read.
    secret.chmod(0o644)
    os.link(secret, folder / "key.npz")
    if not ROOT:
        # Here all files are of one account.
        me = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    assert "key.npz is a hard link to a file of another account" in left_out(folder)
    with pytest.raises(RunError, match="it is a hard link to a file of another account"):
        read(folder, "key.npz", 0, "", USER)


def test_an_app_names_its_own_files_as_it_likes_but_not_oddly(folder: Path) -> None:
    for name in ("Ergebnis für Köln (2).csv", "epoch=3-loss=0.1.ckpt", "-rf", "a\nb", "a\\b", "ü" * 110):
        (folder / name).write_text("x")
    os.close(os.open(os.fsencode(folder) + b"/\xff", os.O_WRONLY | os.O_CREAT))
    assert names(folder)[:2] == ["Ergebnis für Köln (2).csv", "epoch=3-loss=0.1.ckpt"]
    told = left_out(folder)
    assert [one.split(" ")[0] for one in told] == ["'-rf'", "'a\\nb'", "'a\\\\b'", "'\\udcff'"]
    assert all(one.endswith("has a name with odd characters, or too long a one") for one in told)


@pytest.mark.parametrize(
    "name", ["../private/ca.key", "/etc/passwd", "logs/../model.npz", "", "logs//a.txt", ".x", "."]
)
def test_names_that_lead_elsewhere_are_refused(folder: Path, name: str) -> None:
    with pytest.raises(RunError, match="is no name of a file of a run"):
        read(folder, name, 0, "", USER)


def test_what_is_handed_over_is_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_FILES", 1)
    assert names(folder) == ["logs/a.txt"] and "model.npz is one too many: 1 files" in left_out(folder)[0]
    monkeypatch.undo()
    with (folder / "huge.bin").open("wb") as stream:
        stream.truncate(files.MAX_BYTES + 1)
    assert "huge.bin is too large: 8 GiB are handed over at most, all files together" in left_out(folder)
    assert "model.npz" in names(folder)
    for number in range(20):
        os.mkfifo(folder / f"pipe-{number}")
    assert len(left_out(folder)) == 11 and left_out(folder)[-1] == "and more"
    monkeypatch.setattr(files, "_MAX_SEEN", 3)
    assert "there are 3 files and folders or more, and no others were looked at" in left_out(folder)


def test_a_large_file_comes_in_parts_of_one_content(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "CHUNK", 4)
    first = read(folder, "model.npz", 0, "", USER)
    second = read(folder, "model.npz", 4, first["state"], USER)
    assert base64.b64decode(first["content"]) + base64.b64decode(second["content"]) == b"weights"
    (folder / "model.npz").write_bytes(b"another")
    with pytest.raises(RunError, match="changed while it was fetched; fetch it again"):
        read(folder, "model.npz", 4, first["state"], USER)


def test_a_link_that_root_laid_on_the_way_is_no_trick(place: Path, folder: Path) -> None:
    (place / "disk").symlink_to("runs")
    if ROOT:
        assert names(place / "disk/out") == ["logs/a.txt", "model.npz"]
    (place / "round").symlink_to("round")
    assert "is a link" in left_out(place / "round")[0]


def test_the_command(folder: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["file", "--json", "--root", str(place), "--folder", str(folder), "--file", "model.npz", "--offset", "3"]
    assert main(words) == 0
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert base64.b64decode(answer["content"]) == b"ghts" and (answer["name"], answer["size"]) == ("model.npz", 7)
    assert main([*words[:-3], "nothing"]) == 1
    assert "is not handed over: it cannot be read (No such file" in json.loads(capsys.readouterr().out)["error"]


def test_root_looks_with_the_rights_of_the_account_and_the_account_cannot_look_into_root(secret: Path) -> None:
    def work() -> dict[str, Any]:
        # Tracing this process, or reading its memory, would be reading root's.
        owner = os.stat("/proc/self/mem").st_uid
        ids = [*os.getresuid(), *os.getresgid(), *os.getgroups()]
        return {"ids": ids, "readable": os.access(secret, os.R_OK), "owner": owner}

    def die() -> dict[str, Any]:
        os.kill(os.getpid(), signal.SIGKILL)
        return {}

    def refuse() -> dict[str, Any]:
        raise RunError("not so")

    if ROOT:
        groups = [ACCOUNT.pw_gid] * 3
        assert perform(USER, work) == {"ids": [ACCOUNT.pw_uid] * 3 + groups, "readable": False, "owner": 0}
        with pytest.raises(RunError, match="ended without an answer"):
            perform(USER, die)
        with pytest.raises(RunError, match="The account nobody-at-all does not exist"):
            perform("nobody-at-all", dict)
    else:
        assert perform(USER, work) == work()
    with pytest.raises(RunError, match="^not so$"):
        perform(USER, refuse)
