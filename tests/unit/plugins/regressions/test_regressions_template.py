# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Defects of another collection's one_template that ours must never have. Each test fails if ours had the defect."""

from __future__ import annotations

from proof_cloud import ProofCloud

WEB = {"CPU": 1, "MEMORY": 512, "CONTEXT": {"NETWORK": True}, "NIC": [{"NETWORK": "private"}]}


def made(cloud: ProofCloud, **template: object) -> str:
    name = cloud.name("vmt")
    cloud.ok("one_template", name=name, template={**WEB, **template})
    return name


def test_d8_a_vm_template_can_be_created_in_check_mode(cloud: ProofCloud) -> None:
    """Elsewhere: check mode of a creation ends in a traceback, because there is no object to return.

    Ours: check mode predicts the creation and makes nothing.
    """
    name = cloud.name("vmt")
    predicted = cloud.ok("one_template", check=True, name=name, template=WEB)
    assert predicted["changed"] and cloud.calls.writes == 0
    assert cloud.ok("one_template_info", name=name)["templates"] == []
    assert cloud.ok("one_template", name=name, template=WEB)["diff"] == predicted["diff"]


def test_d9_equal_content_is_not_written(cloud: ProofCloud) -> None:
    """Elsewhere: every run writes the whole template, and check mode always says `changed`.

    Ours: the comparison comes first; an equal template costs one call, which reads. Order, spelling of names and of
    numbers do not count.
    """
    name = made(cloud)
    same = 'nic=[ network = private ]\nmemory = 512\ncpu="1"\nCONTEXT=[NETWORK=YES]'
    for content in (WEB, same, dict(reversed(WEB.items()))):
        for check in (True, False):
            result = cloud.ok("one_template", check=check, name=name, template=content)
            assert not result["changed"] and result["diff"] == {"before": {}, "after": {}}
            assert cloud.calls.writes == 0 and cloud.calls.total == 1


def test_d10_attributes_of_others_survive_a_change(cloud: ProofCloud) -> None:
    """Elsewhere: a template is replaced as a whole: a task that changes CPU wipes labels and all that others had set.

    Ours: what the task does not name stays, inside of vectors too. Replacing is an option, and spares labels even then.
    """
    name = made(cloud, LABELS="prod", SUNSTONE={"ICON": "x"}, LOGO="y")
    changed = {"CPU": 2, "CONTEXT": {"FOO": "bar"}}
    attributes = cloud.ok("one_template", name=name, template=changed)["template"]["attributes"]
    assert attributes["CPU"] == "2" and attributes["CONTEXT"] == {"NETWORK": "YES", "FOO": "bar"}
    assert (attributes["LABELS"], attributes["SUNSTONE"], attributes["LOGO"]) == ("prod", {"ICON": "x"}, "y")
    replaced = cloud.ok("one_template", name=name, template=WEB, update="replace")["template"]["attributes"]
    assert "LOGO" not in replaced and replaced["LABELS"] == "prod"


def test_d11_id_zero_is_an_id(cloud: ProofCloud) -> None:
    """Elsewhere: id 0 counts as "no id"; the task makes a template called "None" and then ends in a traceback.

    Ours: the template with id 0 is found and changed, and no other one comes into being.
    """
    before = len(cloud.ok("one_template_info")["templates"])
    result = cloud.ok("one_template", id=0, template={"TOUCHED": "d11"})
    assert result["template"]["id"] == 0 and result["template"]["name"] == "zero"
    assert result["template"]["attributes"]["TOUCHED"] == "d11"
    assert len(cloud.ok("one_template_info")["templates"]) == before


def test_d12_a_vm_template_can_be_fetched_without_giving_its_content(cloud: ProofCloud) -> None:
    """Elsewhere: the documented example that fetches a template by id is refused, since `template` is required.

    Ours: id or name is enough, returns the template and changes nothing.
    """
    name = made(cloud)
    by_name = cloud.ok("one_template", name=name)
    by_id = cloud.ok("one_template", id=by_name["template"]["id"])
    assert by_id["template"] == by_name["template"] and by_id["template"]["attributes"]["MEMORY"] == "512"
    assert not by_id["changed"] and cloud.calls.total == 1


def test_d13_a_usable_template_of_another_owner_is_not_duplicated(cloud: ProofCloud) -> None:
    """Elsewhere: only the user's own templates are looked at, so one that is shared is made a second time.

    Ours: it counts as existing; whoever wants an own one says `owner`.
    """
    alice, name = cloud.user("alice-d13"), made(cloud)
    cloud.ok("one_template", name=name, permissions="604")
    shared = cloud.ok("one_template", api=alice, name=name)
    assert not shared["changed"] and shared["template"]["owner"]["name"] == "oneadmin"
    cloud.ok("one_template", api=alice, name=name, template={"CPU": 1})
    assert len(cloud.ok("one_template_info", name=name)["templates"]) == 1
    own = cloud.ok("one_template", api=alice, name=name, template={"CPU": 1}, owner="alice-d13")
    assert own["changed"] and own["template"]["owner"]["name"] == "alice-d13"
