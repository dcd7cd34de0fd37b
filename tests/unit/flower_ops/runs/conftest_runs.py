# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The least app, and a stand-in for flwr that lies as the real one does: its exit status is 0 whatever happens."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from flower_ops.flower_cli.flwr_cli import FlwrCli
from flower_ops.runs.record import Places

LOGS = Path(__file__).parent / "logs"
# The least that is an app.
APP = """\
[project]
name = "toy"
version = "1"

[tool.flwr.app]
publisher = "somebody"

[tool.flwr.app.components]
serverapp = "toy:server"
clientapp = "toy:client"
"""

# Talks like flwr 1.34 (seen there: texts, noise around the answer, status 0 for failures, big ids as bare numbers).
SCRIPT = """#!{python}
import json, os, pathlib, sys, time
state = pathlib.Path({state!r})
words = sys.argv[1:]
with (state / "calls.jsonl").open("a") as calls:
    calls.write(json.dumps({{"words": words, "env": dict(os.environ)}}) + "\\n")

def read(name, default):
    path = state / name
    return json.loads(path.read_text()) if path.exists() else default

def answer(**content):
    print(json.dumps(content, indent=2))
    sys.exit(0)

def refuse(text):
    answer(success=False, **{{"error-message": "Using SuperLink: federation (127.0.0.1:9093)\\n\\n" + text}})

if read("unreachable.json", 0):
    refuse("Connection to the SuperLink is unavailable. Please check your network connection and 'address' in the "
           "SuperLink connection configuration.")
runs = read("runs.json", {{}})
if words[0] == "run":
    if "-c" in words:
        (state / "submitted.toml").write_text(pathlib.Path(words[words.index("-c") + 1]).read_text())
    app = pathlib.Path(words[1])
    if (app / "pyproject.toml").exists():
        (state / "project.toml").write_text((app / "pyproject.toml").read_text())
        (state / "files.json").write_text(json.dumps(sorted(str(p.relative_to(app)) for p in app.rglob("*"))))
    if read("refuse_run.json", 0):
        refuse("[code: 15] Invalid run configuration.")
    print("\\x1b[93mNote: \\x1b[0m something {{unimportant}}")
    answer(success=True, **{{"run-id": "14678539780739616445", "fab-id": "opennebula/digits"}})
elif words[0] == "ls":
    if "--run-id" in words:
        one = words[words.index("--run-id") + 1]
        if one not in runs:
            refuse("[code: 16] Run ID not found.")
        states = runs[one]
        entry = states.pop(0) if len(states) > 1 else states[0]
        (state / "runs.json").write_text(json.dumps(runs))
        answer(success=True, runs=[entry])
    answer(success=True, runs=[states[0] for states in runs.values()])
elif words[0] == "log":
    if words[1] not in runs:
        print("\\x1b[92mINFO \\x1b[0m:      Starting logstream for run_id `" + words[1] + "`")
        print("[code: 16] Run ID not found.")
        sys.exit(0)
    parts = read("log_parts.json", [])
    count = int(read("log_calls.json", 0))
    (state / "log_calls.json").write_text(str(count + 1))
    text = parts[min(count, len(parts) - 1)]
    sys.stdout.write(text)
    sys.stdout.flush()
    time.sleep(read("log_hangs.json", 0))
elif words[0] == "stop":
    if words[1] not in runs:
        refuse("[code: 16] Run ID not found.")
    runs[words[1]] = [dict(runs[words[1]][0], status="finished:stopped")]
    (state / "runs.json").write_text(json.dumps(runs))
    answer(success=True, **{{"run-id": words[1]}})
elif words[:2] == ["supernode", "list"]:
    answer(success=True, nodes=[{{"node-id": "17", "status": "online"}}])
elif words[:2] == ["supernode", "register"]:
    print('{{"success": true, "node-id": 12622273257106768163}}')
else:
    print("Usage: flwr [OPTIONS] COMMAND")
"""

RUN_ID = "14678539780739616445"


class FakeFlwr:
    """The executable and the files that steer it."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "fake"
        self.state.mkdir(parents=True)
        self.binary = folder / "bin" / "flwr"
        self.binary.parent.mkdir()
        self.binary.write_text(SCRIPT.format(python=sys.executable, state=str(self.state)), encoding="utf-8")
        self.binary.chmod(0o755)
        self.home = folder / "cli"
        self.home.mkdir()

    def install(self, version: str) -> None:
        """Let the executable look like that of another Flower version."""
        (self.binary.parents[1] / f"lib/python3.11/site-packages/flwr-{version}.dist-info").mkdir(parents=True)

    def set(self, name: str, value: Any) -> None:
        """Steer the executable."""
        (self.state / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")

    def run_states(self, *states: str, run_id: str = RUN_ID, **extra: Any) -> None:
        """What `flwr ls --run-id` answers, one state after the other; the last one stays."""
        times = {"pending-at": "2026-11-22 00:00:00Z", "running-at": "2026-11-22 00:00:02Z"}
        common = {
            "run-id": run_id,
            "status-details": "N/A",
            "elapsed": 23.1,
            **times,
            "finished-at": "2026-11-22 00:00:25Z",
            "network-traffic": {"inbound-bytes": 193794, "outbound-bytes": 197868},
        }
        entries = [{**common, "status": state, **extra} for state in states]
        self.set("runs", {run_id: entries})

    def logs(self, *texts: str) -> None:
        """What `flwr log` prints, one text per call; the last one stays."""
        self.set("log_parts", list(texts))

    @property
    def calls(self) -> list[dict[str, Any]]:
        """Calls so far: words and environment."""
        path = self.state / "calls.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def cli(self) -> FlwrCli:
        """FlwrCli on this executable."""
        return FlwrCli(self.binary, self.home, user=None)


@pytest.fixture
def flwr(tmp_path: Path) -> FakeFlwr:
    """A lying flwr."""
    return FakeFlwr(tmp_path)


@pytest.fixture
def places(tmp_path: Path, flwr: FakeFlwr, monkeypatch: pytest.MonkeyPatch) -> Places:
    """A root folder whose flwr is the lying one."""
    monkeypatch.setenv("FLOWER_OPS_FLWR", str(flwr.binary))
    found = Places(tmp_path / "root")
    found.runs.mkdir(parents=True)
    (tmp_path / "root/opt/flower/cli").mkdir()
    return found


def recorded(name: str) -> str:
    """A log that a real run of Flower 1.34.0 printed (see logs/README.md)."""
    return (LOGS / f"{name}.log").read_text(encoding="utf-8")
