# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people do with a federation that stands: a training through a crash and beyond, and plain flwr run. In order."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flower_ops import profiles
from lanes.environments import environment

from .conftest import PLAIN_IMAGE, ROOT, Walk, federation
from .laptop import Laptop, free_port

pytestmark = pytest.mark.full
APP = str(ROOT / "tests/lanes/training_app")
OPS = "/opt/flower/venv/bin/flower-ops"


@pytest.fixture(scope="module")
def walk(sandbox: Walk) -> Iterator[Walk]:
    """Two nodes on plain VMs."""
    with federation("people", federation_delivery="push", federation_image_path=PLAIN_IMAGE) as made:
        try:
            assert made.playbook("single_site").code == 0
            yield made
        finally:
            made.playbook("teardown")


def tell(walk: Walk, command: str) -> Any:
    """What flower-ops answers on the SuperLink."""
    return json.loads(walk.ssh(walk.superlink(), f"{OPS} {command} --json"))


def kill_after(walk: Walk, name: str, number: int) -> None:
    """The SuperLink dies when a training has the checkpoint of a round."""

    def there() -> bool:
        return max(tell(walk, f"training status --training {name}")["checkpoint_rounds"], default=0) >= number

    walk.wait(f"round {number} of {name}", there, 180)
    walk.ssh(walk.superlink(), "systemctl kill --signal=KILL flower-superlink")


def test_a_training_outlives_its_superlink_while_a_person_watches(walk: Walk) -> None:
    crash = threading.Thread(target=kill_after, args=(walk, "vectors", 2))
    crash.start()
    config = {"num-server-rounds": 6}
    result = walk.playbook(
        "train", app=APP, train_name="vectors", train_run_config=config, train_report_dir=str(walk.folder / "first")
    )
    crash.join()
    assert result.code == 0
    assert "asked for" in result.output and "going on from round" in result.output and "round 6/6" in result.output
    run = json.loads((walk.folder / "first/run.json").read_text())
    assert [one["round"] for one in run["rounds"]] == [1, 2, 3, 4, 5, 6] and not run["degraded"]
    assert [one["ended"] for one in run["runs"]] == ["broken", "done"] and run["status"] == "finished:completed"
    assert "Earlier runs" in (walk.folder / "first/index.html").read_text()
    assert (walk.folder / "first/model.npz").exists()


def test_it_goes_on_with_more_rounds_and_then_has_nothing_left_to_do(walk: Walk) -> None:
    more = {"train_name": "vectors", "train_state": "resumed", "train_run_config": {"num-server-rounds": 8}}
    result = walk.playbook("train", **more, train_report_dir=str(walk.folder / "more"))
    assert result.code == 0
    assert "round 8/8" in result.output and "round 6/" not in result.output
    run = json.loads((walk.folder / "more/run.json").read_text())
    assert [one["round"] for one in run["rounds"]] == list(range(1, 9)) and len(run["runs"]) == 3
    again = walk.playbook("train", **more, train_report_dir=str(walk.folder / "more"))
    assert again.code == 0
    assert again.changed == 0


def test_begun_once_and_stopped(walk: Walk) -> None:
    begin = {"app": APP, "train_name": "long", "train_state": "started", "train_run_config": {"num-server-rounds": 500}}
    first, second = walk.playbook("train", **begin), walk.playbook("train", **begin)
    assert (first.code, second.code) == (0, 0)
    assert (first.changed, second.changed) == (1, 0)
    assert len([one for one in tell(walk, "training list") if one["training"].startswith("long-")]) == 1
    stopped = walk.playbook("train", train_name="long", train_state="stopped")
    assert stopped.code == 0
    assert "finished:stopped" in stopped.output and stopped.changed == 1


def test_plain_flwr_run_through_the_tunnel(walk: Walk, tmp_path: Path) -> None:
    port = free_port()
    assert walk.playbook("connect", connect_port=port).code == 0
    second = walk.playbook("connect", connect_port=port)
    assert second.code == 0
    assert second.changed == 0
    laptop = Laptop(tmp_path, walk.state / "connect", environment(profiles.DEFAULT) / "bin/flwr", walk.name)
    before = {path: path.read_bytes() for path in laptop.app.rglob("*") if path.is_file()}
    with laptop.tunnel(port):
        said = laptop.train()
        assert "The line is y = 3.0 x + 1.0" in said
        walk.wait("the end of the run", lambda: "finished:completed" in [one["status"] for one in laptop.runs()], 60)
    assert {path: path.read_bytes() for path in before} == before
    # Whoever looks at the SuperLink sees it too.
    mine = [one for one in tell(walk, "run info")["runs"] if not one["recorded"]]
    assert [(one["app"]["name"], one["status"]) for one in mine] == [("quickstart", "finished:completed")]
