# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of our units at boot, beside those of OpenNebula's contextualisation, by the judgement of systemd."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = sorted(ROOT.glob("roles/*/files/flower*.service"))
SANDBOX = {
    unit.name: unit.read_text(encoding="utf-8")
    for unit in ROOT.glob("roles/sandbox/files/one_sandbox/context/*.service")
}
# How the units of OpenNebula's one-apps (context-linux, 2023 to 2026) stand to others; what they start matters not.
ONE_APPS = {
    "one-context-local.service": "[Unit]\nDefaultDependencies=no\nWants=network-pre.target\nBefore=network-pre.target\n"
    "After=local-fs.target\n",
    "one-context-online.service": "[Unit]\nRequires=one-context-local.service\nAfter=one-context-local.service\n"
    "Wants=network.target\nBefore=network.target\n",
    "one-context.service": "[Unit]\nRequires=one-context-local.service one-context-online.service\n"
    "Wants=network-online.target\n"
    "After=multi-user.target one-context-local.service one-context-online.service network-online.target\n",
}


def place(folder: Path, name: str, text: str) -> None:
    """A unit that stands where the real one does, starts nothing, and is enabled as its [Install] says."""
    order = re.split(r"^\[(?:Service|Install)\]", text, maxsplit=1, flags=re.MULTILINE)[0]
    (folder / name).write_text(f"{order}\n[Service]\nType=oneshot\nExecStart=/bin/true\n", encoding="utf-8")
    wanted = re.search(r"^WantedBy=(\S+)", text, re.MULTILINE)
    target = wanted.group(1) if wanted else "multi-user.target"
    (folder / f"{target}.wants").mkdir(exist_ok=True)
    (folder / f"{target}.wants" / name).symlink_to(f"../{name}")


def complaints(folder: Path) -> str:
    """What systemd finds wrong in starting everything that is enabled in a folder."""
    analyze = shutil.which("systemd-analyze")
    assert analyze, "systemd-analyze is missing on this machine: install the package systemd (250 or newer)"
    done = subprocess.run(
        [analyze, "verify", "--man=no", "multi-user.target"], capture_output=True, text=True, check=False,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{folder}:", "LC_ALL": "C.UTF-8", "SYSTEMD_LOG_COLOR": "0"},
    )  # fmt: skip
    return "\n".join(line for line in done.stderr.splitlines() if re.search("cycle|deleted|one-context|flower", line))


@pytest.mark.parametrize("context", [ONE_APPS, SANDBOX], ids=["one-apps", "sandbox"])
def test_a_vm_can_start_everything_that_an_image_enables(tmp_path: Path, context: dict[str, str]) -> None:
    assert {"one-context-local.service", "one-context.service"} <= set(context)
    for name, text in {**context, **{unit.name: unit.read_text(encoding="utf-8") for unit in OURS}}.items():
        if "@" not in name:
            place(tmp_path, name, text)
    assert complaints(tmp_path) == ""


def test_the_judge_sees_a_cycle(tmp_path: Path) -> None:
    """One that waits for the contextualisation and that the target waits for."""
    for name, text in ONE_APPS.items():
        place(tmp_path, name, text)
    early = "[Unit]\nAfter=one-context.service\n[Install]\nWantedBy=multi-user.target\n"
    place(tmp_path, "flower-early.service", early)
    assert "ordering cycle" in complaints(tmp_path)


def test_the_agent_runs_after_the_contextualisation() -> None:
    text = (ROOT / "roles/appliance/files/flower-boot.service").read_text(encoding="utf-8")
    after = " ".join(re.findall(r"^After=(.*)", text, re.MULTILINE)).split()
    assert {"one-context.service", "one-context-local.service", "network-online.target"} <= set(after)
