# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long an appliance takes from the start of its systemd until it has said READY, by its own clock."""

from __future__ import annotations

import json
import re
import subprocess

from .figures import Figure
from .place import NETWORK, Place
from .play import BenchError

GOALS = {"superlink": 12.0, "supernode": 8.0}
CPU_GOAL = 2.0
BOOT = "flower-boot.service"


def boot(place: Place, repeat: int) -> list[Figure]:
    """A federation of one SuperLink and one SuperNode by appliance, `repeat` times from nothing.

    One SuperNode, because a VM that boots has cores of its own, and here all of them share those of this machine.
    """
    place.playbook("appliance_image", **place.sandbox_variables)
    variables = {
        "federation_name": "boot",
        "federation_delivery": "appliance",
        "federation_image_path": image(place),
        "federation_supernodes": 1,
        "federation_supernodes_min": 1,
        "federation_variables": {f"ONEAPP_FL_MIN_{of}_CLIENTS": 1 for of in ("FIT", "EVALUATE", "AVAILABLE")},
    }
    seconds: dict[str, list[float]] = {role: [] for role in GOALS}
    processor: dict[str, list[float]] = {role: [] for role in GOALS}
    for _turn in range(repeat):
        place.playbook("single_site", **variables)
        for name in machines():
            role = role_of(name)
            started, ready, used = moments(name)
            seconds[role].append((ready - started) / 1e6)
            if used is not None:
                processor[role].append(used)
        place.playbook("teardown", **variables)
    return figures_of(seconds, processor)


def figures_of(seconds: dict[str, list[float]], processor: dict[str, list[float]]) -> list[Figure]:
    """Measured values by role. Processor time that nobody told is no figure: it would meet every goal."""
    found: list[Figure] = []
    for role, goal in GOALS.items():
        note = "both VMs and the cloud share this machine's cores"
        if not processor[role]:
            note += "; the agent did not tell its processor time"
        found.append(Figure(f"boot: {role} from systemd to READY", "s", tuple(seconds[role]), goal, note))
        if processor[role]:
            name = f"boot: processor time of the agent on a {role}"
            found.append(Figure(name, "s", tuple(processor[role]), CPU_GOAL))
    return found


def image(place: Place) -> str:
    """Path of the image that was baked last."""
    manifest = json.loads((place.image_cache / "appliance.json").read_text(encoding="utf-8"))
    return str(manifest["path"])


def machines() -> list[str]:
    """Containers of the bench's VMs."""
    names = docker("ps", "--filter", f"network={NETWORK}", "--format", "{{.Names}}").split()
    if not names:
        raise BenchError(f"no VM runs on the network {NETWORK}")
    return names


def role_of(name: str) -> str:
    """Role of a VM, out of its CONTEXT."""
    found = re.search(r'^export ONEAPP_FL_ROLE="(\w+)"', inside(name, "cat", "/run/one-context/one_env"), re.MULTILINE)
    if found is None:
        raise BenchError(f"the CONTEXT of {name} names no role")
    return found.group(1)


def moments(name: str) -> tuple[int, int, float | None]:
    """(start of systemd in µs, end of the boot unit in µs, both of one clock; processor time of the agent in s).

    The last one is what the agent itself told, because not every machine counts that of a unit.
    """
    started = properties(inside(name, "systemctl", "show", "--property=UserspaceTimestampMonotonic"))
    unit = properties(inside(name, "systemctl", "show", "--property=ExecMainExitTimestampMonotonic,Result", BOOT))
    if unit.get("Result") != "success":
        raise BenchError(f"{BOOT} of {name} ended with {unit.get('Result')}")
    return (
        int(started["UserspaceTimestampMonotonic"]),
        int(unit["ExecMainExitTimestampMonotonic"]),
        processor_time(inside(name, "journalctl", "--unit", BOOT, "--output=cat", "--no-pager")),
    )


def processor_time(told: str) -> float | None:
    """Seconds, out of the last line with which the agent said that it was ready."""
    found = re.findall(r"^Flower is ready: .*\(([0-9.]+) s of processor time\)", told, re.MULTILINE)
    return float(found[-1]) if found else None


def properties(text: str) -> dict[str, str]:
    """What `systemctl show` prints, as a dictionary."""
    return dict(line.partition("=")[::2] for line in text.splitlines())


def inside(name: str, *command: str) -> str:
    """Output of a command in a VM's container."""
    return docker("exec", name, *command)


def docker(*arguments: str) -> str:
    """Output of the engine's client; BenchError when it fails."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"docker {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
