# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The walk on the Flower versions that are not the default: each has a profile, and each has to train."""

from __future__ import annotations

import json

import pytest

from .conftest import PLAIN_IMAGE, ROOT, Walk, federation

LANES = ("1.25.0", "1.41.0")


@pytest.mark.full
@pytest.mark.parametrize("version", LANES)
def test_a_federation_of_this_version_is_made_trains_and_goes(sandbox: Walk, version: str) -> None:
    name = f"lane-{version.replace('.', '-')}"
    with federation(
        name, federation_delivery="push", federation_image_path=PLAIN_IMAGE, federation_flower_version=version
    ) as walk:
        try:
            assert walk.playbook("single_site").code == 0
            assert {values["FL_VERSION"] for values in walk.attributes().values()} == {version}
            assert walk.playbook("single_site").changed == 0
            assert len(walk.online()) == 2
            assert walk.playbook(str(ROOT / "demos/sklearn/prepare.yml")).code == 0
            app, reports = str(ROOT / "demos/sklearn"), str(walk.folder / "report")
            assert walk.playbook("train", app=app, train_report_dir=reports).code == 0
            run = json.loads((walk.folder / "report/run.json").read_text(encoding="utf-8"))
            assert run["status"] == "finished:completed"
            assert [entry["results"] for entry in run["rounds"] if entry["round"]] == [2, 2, 2]
        finally:
            assert walk.playbook("teardown").code == 0


def test_a_version_without_a_profile_is_refused_before_anything_is_made(sandbox: Walk) -> None:
    with federation("unknown", federation_flower_version="1.30.0") as walk:
        refused = walk.playbook("single_site")
        assert refused.code != 0
        assert "1.30.0" in refused.output
        assert not walk.hosts()
