# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Defects of another collection's one_image that ours must never have. Each test fails if ours had the defect."""

from __future__ import annotations

import pytest
from proof_cloud import ProofCloud


def test_d1_an_image_asked_for_by_id_is_returned(cloud: ProofCloud) -> None:
    """Elsewhere: `one_image: id=5`, documented as "fetch by id", returns `changed: false` and no image.

    Ours: the image, complete, for one call.
    """
    name = cloud.image()
    by_name = cloud.ok("one_image", name=name)["image"]
    by_id = cloud.ok("one_image", id=by_name["id"])
    assert cloud.calls.total == 1
    assert by_id["image"] == by_name and by_id["image"]["name"] == name and by_id["image"]["state"] == "READY"


def test_d2_persistence_is_compared_with_persistence(cloud: ProofCloud) -> None:
    """Elsewhere: the wanted persistence is compared with the image's state, so it never takes effect or is written anew
    at every run.

    Ours: both directions take effect at the first run, and the second one writes nothing.
    """
    name = cloud.image()
    for wanted in (False, True, False):
        result = cloud.ok("one_image", name=name, persistent=wanted)
        assert result["image"]["persistent"] is wanted
        again = cloud.ok("one_image", name=name, persistent=wanted)
        assert not again["changed"] and cloud.calls.writes == 0


def test_d3_an_image_can_be_created_in_check_mode(cloud: ProofCloud) -> None:
    """Elsewhere: check mode of a creation ends in a traceback (a variable that was never set).

    Ours: check mode predicts the creation and makes nothing.
    """
    name = cloud.name("img")
    predicted = cloud.ok("one_image", check=True, name=name, size=1)
    assert predicted["changed"] and cloud.calls.writes == 0
    assert predicted["diff"]["before"] == {} and predicted["diff"]["after"]["name"] == name
    assert cloud.ok("one_image_info", name=name)["images"] == []


@pytest.mark.parametrize("switches", [{"persistent": True}, {"enabled": False}, {"persistent": True, "enabled": False}])
def test_d4_an_image_can_be_created_with_its_switches(cloud: ProofCloud, switches: dict[str, bool]) -> None:
    """Elsewhere: creation together with `persistent` or `enabled` makes the image and then ends in a traceback.

    Ours: one task makes the image and sets both.
    """
    image = cloud.ok("one_image", name=cloud.name("img"), size=1, **switches)["image"]
    assert {key: image[key] for key in switches} == switches


def test_d5_the_removal_of_an_image_ends_well(cloud: ProofCloud) -> None:
    """Elsewhere: the image is deleted, and the task fails afterwards while it looks whether it is gone.

    Ours: by name and by id the task succeeds, and the image is gone when it ends.
    """
    for by in ("name", "id"):
        name = cloud.image()
        number = cloud.ok("one_image", name=name)["image"]["id"]
        result = cloud.ok("one_image", state="absent", **{by: name if by == "name" else number})
        assert result["changed"] and result["image"] == {}
        assert cloud.ok("one_image_info", name=name)["images"] == []


def test_d6_enabled_holds_for_an_image_in_use(cloud: ProofCloud) -> None:
    """Elsewhere: `enabled: true` fails as soon as a VM uses the image, so a play turns red once a VM boots.

    Ours: an image in use is enabled; nothing is written.
    """
    name = cloud.image()
    cloud.vm(disks=[{"IMAGE": name}])
    result = cloud.ok("one_image", name=name, enabled=True)
    assert result["image"]["state"] == "USED" and not result["changed"] and cloud.calls.writes == 0


def test_d7_a_step_without_effect_does_not_hide_an_earlier_change(cloud: ProofCloud) -> None:
    """Elsewhere: each step overwrites the result, so a last step with nothing to do reports `changed: false`.

    Ours: one change among wishes that are fulfilled already is a change.
    """
    name = cloud.image(persistent=True)
    for change in ({"attributes": {"A": "1"}}, {"labels": ["x"]}, {"permissions": "644"}, {"enabled": False}):
        fulfilled = {"persistent": True, "type": "DATABLOCK"}
        result = cloud.ok("one_image", name=name, **{**fulfilled, **change})
        assert result["changed"] and len(result["steps"]) == 1, change
