# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Own data first, then the published data set, then the bundled one; one line says which and why."""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from flower_ops.training.data import DataError, Share, hub, images, instructions, reach, table
from flower_ops.training.data.bundled import FILES
from flower_ops.training.data.hub import OFFLINE

FAKE = Path(__file__).with_name("fake_flwr_datasets.py")


@pytest.fixture(autouse=True)
def _clean(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OFFLINE:
        monkeypatch.setenv(name, "")
    monkeypatch.delenv("HF_DATASETS_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr(reach, "REACH_S", 0.5)


@pytest.fixture
def _installed(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    place = tmp_path_factory.mktemp("site")
    (place / "flwr_datasets.py").write_text(FAKE.read_text())
    monkeypatch.syspath_prepend(str(place))
    yield
    sys.modules.pop("flwr_datasets", None)


class Answer(BaseHTTPRequestHandler):
    """A hub that is there; the question itself it does not like."""

    def do_HEAD(self) -> None:
        self.send_response(405)
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def _reachable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield
        server.shutdown()


@pytest.fixture
def _silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A hub whose port is open and never answers, as behind a firewall that drops everything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield


def the_line(caplog: pytest.LogCaptureFixture) -> str:
    (record,) = [one for one in caplog.records if one.name.startswith("flwr")]
    left_over = "from the bundled" in record.getMessage() and "is set to" not in record.getMessage()
    assert record.levelno == (logging.WARNING if left_over else logging.INFO)
    caplog.clear()
    return record.getMessage()


@pytest.fixture(autouse=True)
def _heard(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "flwr")


def test_own_data_comes_first(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "data.csv").write_text("1,0\n2,1\n")
    data = table(Share(1, 2), folder=tmp_path, split="all")
    assert (len(data), data.source) == (2, "own")
    assert the_line(caplog) == (
        f"Data (all): 2 samples in 2 classes from own table {tmp_path}/data.csv, because own data comes first."
    )


def test_bundled_data_comes_last(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = images(Share(1, 3, "dirichlet"), folder=tmp_path)
    assert data.samples.shape == (len(data), 32, 32, 3) and data.samples.max() == 255
    assert data.source == "bundled"
    assert the_line(caplog) == (
        f"Data (train): {len(data)} samples in 10 classes from the bundled handwritten digits, partition 1 of 3"
        f" (dirichlet), because {tmp_path} has no folders of images and flwr-datasets is not installed."
    )
    assert table(folder=tmp_path / "gone").samples.shape == (120, 4)
    assert f"because there is no folder {tmp_path}/gone and " in the_line(caplog)


@pytest.mark.usefixtures("_installed", "_reachable")
def test_a_fake_hub_that_answers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    parts = [images(Share(number, 2), folder=tmp_path, size=(4, 4)) for number in range(2)]
    line = "Data (train): 10 samples in 2 classes from uoft-cs/cifar10, partition 1 of 2 (iid), because "
    assert caplog.messages[-1] == f"{line}{tmp_path} has no folders of images."
    values = np.concatenate([part.samples[:, 0, 0, 0] for part in parts])
    assert sorted(values) == list(range(20))
    assert np.array_equal(np.concatenate([part.labels for part in parts]), values % 2)
    assert parts[0].classes == ("cat", "dog") and not parts[0].private
    test = images(folder=tmp_path, split="test", size=(4, 4))
    assert test.samples[:, 0, 0, 0].tolist() == [9]
    flowers = table(folder=tmp_path, split="all")
    assert flowers.source == "hub"
    # The line number would give the label away.
    assert flowers.samples[:3].tolist() == [[0, 1], [0.5, 1], [1, 1]]
    assert (flowers.labels[:2].tolist(), flowers.classes) == ([1, 0], ("Iris-a", "Iris-b"))
    texts = instructions(Share(0, 5), folder=tmp_path)
    assert [set(row) for row in texts.samples] == [{"instruction", "input", "output"}] * 2


@pytest.mark.usefixtures("_installed", "_silent")
def test_a_hub_that_never_answers_costs_seconds(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    begin = time.monotonic()
    assert len(table(folder=tmp_path)) == 120
    assert time.monotonic() - begin < 10
    told = "without the Hugging Face Hub, scikit-learn/iris could not be loaded (it is in no cache here)."
    assert told in the_line(caplog)
    # Large, and of no use.
    assert "flwr_datasets" not in sys.modules


@pytest.mark.usefixtures("_installed", "_silent")
def test_a_fake_cache_serves_without_a_hub(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (Path(os.environ["HF_HOME"]) / "datasets/scikit-learn___iris").mkdir(parents=True)
    assert len(table(folder=tmp_path)) == 120
    assert "scikit-learn/iris could not be loaded (offline mode is enabled)." in the_line(caplog)
    monkeypatch.setenv("FAKE_CACHE", "1")
    assert len(table(folder=tmp_path)) == 8
    assert "from scikit-learn/iris, because" in the_line(caplog)


@pytest.mark.usefixtures("_installed", "_reachable")
def test_a_fake_hub_that_fails_or_hangs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_FAILS", "1")
    assert len(table(folder=tmp_path)) == 120
    assert "scikit-learn/iris could not be loaded (no such data set)." in the_line(caplog)
    with pytest.raises(
        DataError, match=r"^There is no data: scikit-learn/iris could not be loaded .*; provide it or choose"
    ):
        table(folder=tmp_path, source="hub")
    monkeypatch.setenv("FAKE_HANGS", "1")
    with pytest.raises(hub.UnavailableError, match=r"did not arrive in time \(nothing within 0.2 s\)"):
        hub.load("scikit-learn/iris", "train", load_s=0.2)


@pytest.mark.usefixtures("_installed")
def test_told_to_be_offline_nobody_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(urllib.request, "urlopen", lambda *asked, **more: pytest.fail("asked"))
    assert len(table(folder=tmp_path)) == 120


def test_a_source_can_be_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "data.csv").write_text("1,0\n2,1\n")
    assert len(table(folder=tmp_path, source="bundled")) == 120
    assert the_line(caplog).endswith("from the bundled iris flowers, because the source is set to bundled.")
    with pytest.raises(DataError, match=r"^There is no data: there is no folder .*/gone; provide it or choose another"):
        images(folder=tmp_path / "gone", source="own")
    with pytest.raises(DataError, match="'web' is no source of data; choose auto, own, hub, bundled"):
        images(folder=tmp_path, source="web")
    with pytest.raises(DataError, match="'dev' is no part of a data set; choose train, test, all"):
        images(folder=tmp_path, split="dev")


def test_a_folder_that_cannot_be_read_is_no_empty_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal is faked: to root everything is readable."""

    def refuse(folder: Path) -> list[str]:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(DataError, match=r"cannot be read: Permission denied; make it readable\.$"):
        table(folder=tmp_path)


def test_bundled_files_are_what_their_readme_says() -> None:
    told = (FILES / "README.md").read_text()
    names = sorted(place.name for place in FILES.iterdir() if place.name != "README.md")
    assert names == ["digits.csv.gz", "iris.csv"]
    for name in names:
        assert (
            f"| `{hashlib.sha256((FILES / name).read_bytes()).hexdigest()}` |"
            in told.split(f"`{name}`")[1].split("\n")[0]
        )


def test_bundled_digits_keep_their_pixels(tmp_path: Path) -> None:
    small = images(folder=tmp_path, split="all", size=(8, 8), channels=1)
    large = images(folder=tmp_path, split="all")
    assert len(large) == 1797 and large.classes == tuple("0123456789")
    assert np.array_equal(large.samples[:, ::4, ::4, 1], small.samples[..., 0])
    assert np.bincount(large.labels).min() > 170


def test_bundled_instructions_are_right_and_do_not_repeat(tmp_path: Path) -> None:
    data = instructions(folder=tmp_path, split="all").samples
    assert len({(row["instruction"], row["input"]) for row in data}) == len(data) > 400
    answers = {(row["instruction"], row["input"]): row["output"] for row in data}
    assert answers["Add the two numbers.", "seven and five"] == "12"
    assert answers["Which of the two numbers is the greater one?", "two and eleven"] == "eleven"
    assert answers["Write the word backwards.", "needle"] == "eldeen"


def test_no_framework_is_imported() -> None:
    program = (
        "import sys; from pathlib import Path; from flower_ops.training.data import *;"
        "images(Share(0, 2)), table(), instructions();"
        "print([name for name in sys.modules if name.split('.')[0] in"
        " ('flwr', 'flwr_datasets', 'datasets', 'sklearn', 'torch', 'tensorflow', 'PIL', 'pandas', 'scipy')])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
