# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A SuperNode that is online and answers no more, as Flower 1.32.1 makes one, and its keeper."""

from __future__ import annotations

import base64
import json

import pytest
from lanes.faults import FILE, INSTALLED, VARIABLE

from .conftest import PLAIN_IMAGE, ROOT, Walk, federation

VERSION = "1.32.1"
ENVIRONMENT = "/opt/flower/frameworks/sklearn"
DROP_IN = f"""[Service]
Environment={VARIABLE}=failed-pull
Environment={FILE}=/opt/flower/state/fault.happened
"""


def put(walk: Walk, address: str, path: str, content: str) -> None:
    """Write a file of a VM."""
    encoded = base64.b64encode(content.encode()).decode()
    walk.ssh(address, f"mkdir -p $(dirname {path}) && echo {encoded} | base64 -d > {path}")


def make_the_next_message_unreadable(walk: Walk, address: str) -> None:
    """The SuperNode's next pull of a message fails once, in the code of Flower that cannot cope with it."""
    folder = walk.ssh(
        address, f"{ENVIRONMENT}/bin/python -c 'import sysconfig; print(sysconfig.get_path(\"purelib\"))'"
    ).strip()
    for name, content in INSTALLED.items():
        put(walk, address, f"{folder}/{name}", content)
    put(walk, address, "/etc/systemd/system/flower-supernode.service.d/fault.conf", DROP_IN)
    walk.ssh(address, "systemctl daemon-reload && systemctl restart flower-supernode")


@pytest.mark.full
def test_the_keeper_brings_back_a_node_that_answers_no_more_within_two_rounds(sandbox: Walk) -> None:
    with federation(
        "zombie", federation_delivery="push", federation_image_path=PLAIN_IMAGE, federation_flower_version=VERSION
    ) as walk:
        try:
            assert walk.playbook("single_site").code == 0
            victim = next(iter(walk.by_role("supernode").values()))
            address, vm = str(victim["ansible_host"]), int(victim["one_vm_id"])
            make_the_next_message_unreadable(walk, address)
            walk.wait("both nodes online", lambda: len(walk.online()) == 2, 60)

            rounds = {"num-server-rounds": 3, "round-timeout": 40.0}
            trained = walk.playbook(
                "train", app=str(ROOT / "tests/lanes/app"), train_run_config=rounds,
                train_report_dir=str(walk.folder / "report"),
            )  # fmt: skip
            walk.ssh(address, "test -e /opt/flower/state/fault.happened")
            run = json.loads((walk.folder / "report/run.json").read_text(encoding="utf-8"))
            assert run["status"] == "finished:completed", trained.output
            # The round of the fault, and then all of them: the run itself was never touched.
            assert [entry["results"] for entry in run["rounds"] if entry["round"]] == [1, 2, 2]
            assert run["degraded"] and "round 1: 1 of 2" in run["reason"]
            assert "answers no more" in walk.attributes()[vm]["FL_EVENT"]
            assert "answers no more" in walk.ssh(address, "journalctl --unit flower-keeper --output cat")
        finally:
            assert walk.playbook("teardown").code == 0
