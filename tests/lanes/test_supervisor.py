# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A training that is supervised survives what a run does not: kill -9 of the SuperLink, and of the supervisor."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from flower_ops import profiles
from flower_ops.supervisor import handed

from .conftest import Make
from .federation import Federation
from .processes import Service, wait_until

APP = Path(__file__).parent / "training_app"
ROUNDS = 5
# The unit asks systemd since when the SuperLink runs; here its process id stands in a file.
PROGRAM = """\
import sys
from pathlib import Path
from flower_ops.supervisor import service
root = Path(sys.argv[1])
pid = root / "superlink.pid"
sys.exit(service.serve(root, born=lambda: service.born(int(pid.read_text() or 0))))
"""


class Supervised:
    """A federation with a supervisor beside its SuperLink."""

    def __init__(self, lane: Federation) -> None:
        self.lane = lane
        self.supervisor: Service = lane.hub.service("python", ["-c", PROGRAM, str(lane.hub.root)], {})
        lane.services.append(self.supervisor)
        lane.start()
        self._note()
        self.supervisor.start()

    def _note(self) -> None:
        (self.lane.hub.root / "superlink.pid").write_text(str(self.lane.superlink.pid or 0))

    def ask(self, **config: Any) -> str:
        """Hand the app over; the name of its training."""
        wanted = {"num-server-rounds": ROUNDS, "min-available-clients": 2, "node-wait-timeout": 90.0, **config}
        return str(handed.hand_over(self.lane.places, str(APP), wanted)["training"])

    def state(self, training: str) -> dict[str, Any]:
        return handed.status(self.lane.places, training)

    def checkpoint(self, training: str) -> int:
        """Round of the newest one."""
        folder = self.lane.hub.file(f"checkpoints/{training}")
        found = [re.fullmatch(r"checkpoint_round_(\d+)\.npz", path.name) for path in folder.glob("*.npz")]
        return max((int(one[1]) for one in found if one), default=0)

    def reach(self, training: str, number: int) -> None:
        def reached() -> bool:
            assert not self.state(training)["finished"], self.told(training)
            return self.checkpoint(training) >= number

        wait_until(reached, 300, f"no checkpoint of round {number}: {self.told(training)}")

    def finish(self, training: str) -> dict[str, Any]:
        wait_until(lambda: self.state(training)["finished"], 400, f"it does not end: {self.told(training)}")
        return self.state(training)

    def told(self, training: str) -> str:
        return f"{self.state(training)}\n{self.supervisor.said()[-2000:]}\n{self.lane.superlink.said()[-2000:]}"

    def kill_superlink(self) -> None:
        """As the kernel does it, and the unit's control group with it; then as its unit starts it again."""
        self.lane.superlink.kill()
        self.lane.start_superlink()
        self._note()

    def messages(self) -> list[int]:
        """How many training messages each node has got since it was started."""
        return [len(re.findall(r"Receiving: train message", node.said())) for node in self.lane.nodes]


def arrays(place: Path) -> dict[str, bytes]:
    """The arrays of a model.npz, as they were written."""
    with zipfile.ZipFile(place) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize("version", profiles.known())
def test_a_training_survives_the_death_of_its_superlink(federation: Make, version: str) -> None:
    stage = Supervised(federation(version))
    whole = stage.ask()
    assert stage.finish(whole)["state"] == "completed", stage.told(whole)
    assert len(stage.state(whole)["runs"]) == 1
    before = stage.messages()
    broken = stage.ask()
    stage.reach(broken, 2)
    stage.kill_superlink()
    ended = stage.finish(broken)
    assert ended["state"] == "completed", stage.told(broken)
    assert [one["ended"] for one in ended["runs"]] == ["broken", "done"], stage.told(broken)
    assert ended["runs"][1]["from_round"] >= 2
    executed = [after - earlier for earlier, after in zip(before, stage.messages(), strict=True)]
    assert all(ROUNDS <= number <= ROUNDS + 1 for number in executed), executed
    models = [stage.lane.hub.file(f"runs/{name}/model.npz") for name in (whole, broken)]
    assert arrays(models[0]) == arrays(models[1])


def test_a_supervisor_that_is_killed_never_submits_twice(federation: Make) -> None:
    stage = Supervised(federation(profiles.DEFAULT))
    training = stage.ask(**{"num-server-rounds": 3})
    # Whenever a run comes into being, and some more times: the supervisor is killed before, in and after that moment.
    for _time in range(6):
        wait_until(lambda: stage.supervisor.running, 10, "it does not run")
        stage.supervisor.kill()
        stage.supervisor.start()
        wait_until(lambda: stage.lane.cli.list_runs() or stage.supervisor.said(), 60, "it does nothing")
    assert stage.finish(training)["state"] == "completed", stage.told(training)
    assert len(stage.lane.cli.list_runs()) == 1


def test_an_error_of_the_app_ends_its_training_with_the_reason(federation: Make) -> None:
    stage = Supervised(federation(profiles.DEFAULT))
    training = stage.ask(strategy="FedSGD")
    ended = stage.finish(training)
    assert ended["state"] == "failed" and len(ended["runs"]) == 1
    assert "strategy = 'FedSGD': expected one of FedAvg" in ended["reason"]
