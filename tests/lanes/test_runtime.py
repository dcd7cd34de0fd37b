# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runtime of a lane as nodes get it: a wheelhouse from the index, installed without one."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.opennebula.flower.plugins.module_utils.flower.wheelhouse import Target, Wheelhouse
from ansible_collections.opennebula.flower.plugins.modules.flower_venv import install
from flower_ops import profiles

from .environments import CACHE, FLOWER_OPS

LOOK = """\
import importlib.metadata as metadata, pathlib
from flower_ops import profiles
profile = profiles.profile(metadata.version("flwr"))
folder = profile.supernode_environment()["PYTHONPATH"]
print(metadata.version("cryptography"), pathlib.Path(folder, "sitecustomize.py").is_file())
if profile.fleet_port_is_shared:
    import flower_ops.gate.__main__
"""


def run(
    command: list[str], environ_update: dict[str, str] | None = None, cwd: str | None = None
) -> tuple[int, str, str]:
    """As AnsibleModule.run_command does it."""
    surroundings = {**os.environ, **(environ_update or {})}
    done = subprocess.run(command, capture_output=True, text=True, env=surroundings, cwd=cwd, check=False)
    return done.returncode, done.stdout, done.stderr


def within(version: str, pin: str) -> bool:
    """Whether a version fits a pin of the form >=x,<y."""

    def numbers(text: str) -> list[int]:
        return [int(part) for part in text.split(".")]

    least, less = (part.strip("<>=") for part in pin.split(","))
    return numbers(least) <= numbers(version) < numbers(less)


@pytest.mark.parametrize("version", [known for known in profiles.known() if known != profiles.DEFAULT])
def test_pins_resolve_and_the_node_package_works_in_it(tmp_path: Path, version: str) -> None:
    """The default version takes this way in the end-to-end test."""
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    target = Target(python, platform.machine(), (f"flwr=={version}",), (FLOWER_OPS,))
    archive, _made = Wheelhouse(CACHE / "wheelhouse", run, [sys.executable]).build(target)
    environment = tmp_path / "venv"
    install(Path(archive["path"]), environment)
    assert profiles.installed(environment) == version
    status, said, trouble = run([str(environment / "bin/python"), "-c", LOOK], cwd=str(tmp_path))
    assert status == 0, trouble
    cryptography, complete = said.split()
    assert within(cryptography, profiles.profile(version).cryptography) and complete == "True"
    assert run([str(environment / "bin/flower-ops"), "--help"])[0] == 0
    status, said, trouble = run([str(environment / "bin/uv"), "pip", "check", "--python", str(environment)])
    assert status == 0, said + trouble
