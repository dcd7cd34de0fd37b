# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running a playbook as a user does, with a clock beside it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


class BenchError(Exception):
    """Something that was to be measured did not work; the text says what, and where its output is."""


@dataclass
class Played:
    """One command: seconds in all, and its lines with the second at which each came."""

    seconds: float
    lines: list[tuple[float, str]] = field(default_factory=list)

    def at(self, text: str) -> float:
        """Second of the first line that holds `text`; the end where there is none."""
        return next((second for second, line in self.lines if text in line), self.seconds)

    @property
    def recap(self) -> dict[str, dict[str, int]]:
        """Counts of the last PLAY RECAP by host."""
        return parse_recap([line for _second, line in self.lines])


def play(command: Sequence[str], folder: Path, log: Path, environment: Mapping[str, str] | None = None) -> Played:
    """Run a command to its end, its output into `log`. environment: ours unless given. BenchError when it fails."""
    started = time.monotonic()
    played = Played(0.0)
    with log.open("w", encoding="utf-8") as stream, subprocess.Popen(
        command, cwd=folder, env=None if environment is None else dict(environment),
        text=True, encoding="utf-8", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            stream.write(line)
            stream.flush()
            played.lines.append((time.monotonic() - started, line.rstrip("\n")))
    played.seconds = time.monotonic() - started
    if process.returncode:
        raise BenchError(f"{' '.join(command[:4])} … failed; its output is in {log}")
    return played


def parse_recap(lines: Sequence[str]) -> dict[str, dict[str, int]]:
    """Counts of the last PLAY RECAP in the lines: {host: {"ok": n, "changed": n, …}}."""
    starts = [index for index, line in enumerate(lines) if line.startswith("PLAY RECAP")]
    recap: dict[str, dict[str, int]] = {}
    for line in lines[starts[-1] + 1 :] if starts else []:
        host, colon, counts = line.partition(" : ")
        pairs = [pair.partition("=") for pair in counts.split()]
        if not colon or not all(value.isdigit() for _key, _equals, value in pairs):
            break
        recap[host.strip()] = {key: int(value) for key, _equals, value in pairs}
    return recap
