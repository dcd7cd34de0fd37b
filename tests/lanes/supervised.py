# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A federation whose trainings are supervised."""

from __future__ import annotations

import contextlib
import re
import time
from pathlib import Path
from typing import Any

from flower_ops.supervisor import handed

from .environments import ROOT
from .federation import Federation
from .processes import Service, wait_until

APP = Path(__file__).parent / "training_app"
UNIT = ROOT / "roles/superlink/files/flower-superlink.service"
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

    def ask(self, app: Path = APP, **config: Any) -> str:
        """Hand an app over; the name of its training."""
        wanted = {"num-server-rounds": ROUNDS, "min-available-clients": 2, "node-wait-timeout": 90.0, **config}
        return str(handed.hand_over(self.lane.places, str(app), wanted)["training"])

    def state(self, training: str) -> dict[str, Any]:
        return handed.status(self.lane.places, training)

    def checkpoint(self, training: str) -> int:
        """Round of the newest one."""
        return max(self.written(training), default=0)

    def written(self, training: str) -> dict[int, float]:
        """When the checkpoints that are there were written, in seconds since the epoch, by round."""
        folder = self.lane.hub.file(f"checkpoints/{training}")
        found = {}
        for path in folder.glob("*.npz"):
            name = re.fullmatch(r"checkpoint_round_(\d+)\.npz", path.name)
            # Old ones are removed while this looks.
            with contextlib.suppress(FileNotFoundError):
                if name:
                    found[int(name[1])] = path.stat().st_mtime
        return found

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
        """As the kernel does it, and the unit's control group with it; then as its unit starts it again, and when."""
        self.lane.superlink.kill()
        (pause,) = re.findall(r"^RestartSec=(\d+)$", UNIT.read_text(), re.MULTILINE)
        time.sleep(int(pause))
        self.lane.start_superlink()
        self._note()

    def messages(self) -> list[int]:
        """How many training messages each node has got since it was started."""
        return [len(re.findall(r"Receiving: train message", node.said())) for node in self.lane.nodes]
