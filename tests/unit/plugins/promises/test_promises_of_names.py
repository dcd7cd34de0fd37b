# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every changing module promises about ids and names: 0 is an id, nobody is guessed at, nothing is made twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from proof_cloud import ProofCloud, running


@dataclass(frozen=True)
class Kind:
    """A module: `make` has an object of that name made anyhow; `facts` is the key of what it returns."""

    module: str
    facts: str
    found: str
    make: Callable[[ProofCloud, str, dict[str, str] | None], int]
    wish: Callable[[ProofCloud], dict[str, Any]]

    def __str__(self) -> str:
        return self.module

    def all_of(self, cloud: ProofCloud, name: str) -> list[dict[str, Any]]:
        """The objects of that name that live."""
        found = cloud.ok(f"{self.module}_info", name=name)[self.found]
        return [one for one in found if one.get("state") != "DONE"]


def make_image(cloud: ProofCloud, name: str, api: dict[str, str] | None) -> int:
    owner = (api or cloud.api)["api_username"]
    return int(cloud.ok("one_image", api=api, name=name, size=1, owner=owner)["image"]["id"])


def make_template(cloud: ProofCloud, name: str, api: dict[str, str] | None) -> int:
    owner = (api or cloud.api)["api_username"]
    wish = {"CPU": 0.1, "MEMORY": 64}
    return int(cloud.ok("one_template", api=api, name=name, template=wish, owner=owner)["template"]["id"])


def make_vm(cloud: ProofCloud, name: str, api: dict[str, str] | None) -> int:
    number = int(cloud.admin.call("one.template.instantiate", bare_template(cloud), name, False, "", False))
    return give(cloud, "vm", number, api)


def make_service_template(cloud: ProofCloud, name: str, api: dict[str, str] | None) -> int:
    return give(cloud, "document", int(cloud.flow.create_template({"name": name, "roles": []})["ID"]), api)


def make_service(cloud: ProofCloud, name: str, api: dict[str, str] | None) -> int:
    return give(cloud, "document", cloud.document(name, 2), api)


def give(cloud: ProofCloud, kind: str, number: int, api: dict[str, str] | None) -> int:
    if api:
        owner = next(user for user in users(cloud) if user[1] == api["api_username"])[0]
        cloud.admin.call(f"one.{kind}.chown", number, owner, -1)
    return number


def users(cloud: ProofCloud) -> list[tuple[int, str]]:
    return [(record.oid, record.name) for record in cloud.sandbox.oned.pools["user"].values()]


def bare_template(cloud: ProofCloud) -> int:
    """The id of a VM template without a network, which every user may use."""
    found = cloud.ok("one_template", name="bare", template={"CPU": 0.1, "MEMORY": 64}, permissions="644")
    return int(found["template"]["id"])


KINDS = [
    Kind("one_image", "image", "images", make_image, lambda cloud: {"size": 1}),
    Kind("one_template", "template", "templates", make_template, lambda cloud: {"template": {"CPU": 0.1}}),
    Kind("one_vm", "vm", "vms", make_vm, lambda cloud: {"template": str(bare_template(cloud))}),
    Kind("one_service_template", "service_template", "service_templates", make_service_template,
         lambda cloud: {"template": {"roles": []}}),
    Kind("one_service", "service", "services", make_service, lambda cloud: {"template": simple_service(cloud)}),
]  # fmt: skip
every_kind = pytest.mark.parametrize("kind", KINDS, ids=str)


def simple_service(cloud: ProofCloud) -> str:
    """The id of a service template with one VM, which every user may use."""
    role = {"name": "a", "type": "vm", "template_id": bare_template(cloud), "cardinality": 1}
    known = cloud.ok("one_service_template", name="simple", template={"roles": [role]}, permissions="644")
    return str(known["service_template"]["id"])


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProofCloud]:
    """A cloud whose first document, with id 0, is a service."""
    with running(tmp_path_factory.mktemp("first")) as started:
        assert started.document("zero", 2) == 0
        yield started


@every_kind
def test_zero_is_an_id(cloud: ProofCloud, first: ProofCloud, kind: Kind) -> None:
    """Read, changed, and removed or kept as any other object; no second one comes into being."""
    place = first if kind.module == "one_service" else cloud
    before = len(place.ok(f"{kind.module}_info")[kind.found])
    state = {"state": "present"} if kind.module == "one_vm" else {}
    read = place.ok(kind.module, id=0, **state)
    assert not read["changed"] and read[kind.facts]["id"] == 0 and read[kind.facts]["name"] == "zero", kind
    octal = "640" if read[kind.facts]["permissions"] != "640" else "600"
    changed = place.ok(kind.module, id=0, permissions=octal, **state)
    assert changed["changed"] and changed[kind.facts]["id"] == 0 and changed[kind.facts]["permissions"] == octal, kind
    assert place.ok(f"{kind.module}_info", id=0)[kind.found][0]["permissions"] == octal, kind
    assert len(place.ok(f"{kind.module}_info")[kind.found]) == before, f"{kind} made an object"


@every_kind
def test_zero_can_be_named_by_those_that_refer_to_it(cloud: ProofCloud, kind: Kind) -> None:
    """Sources and templates of id 0 are used: an image or template to clone, a template to start from."""
    name = cloud.name("ref")
    wishes: dict[str, dict[str, Any]] = {
        "one_image": {"clone_from": "0"},
        "one_template": {"clone_from": "0"},
        "one_vm": {"template": "0"},
        "one_service_template": {"template": {"roles": [{"name": "a", "template": "0", "cardinality": 0}]}},
        "one_service": {"template": "0"},
    }
    result = cloud.run(kind.module, check=True, name=name, **wishes[kind.module])
    assert not result.get("failed") and result["changed"], (kind.module, result.get("msg"))


@every_kind
def test_a_name_that_means_several_is_refused(cloud: ProofCloud, kind: Kind) -> None:
    """The sentence lists id and owner of each; nothing is written, in check mode and without, to change or remove."""
    name, alice = cloud.name("many"), cloud.user("alice")
    ids = {kind.make(cloud, name, None): "oneadmin", kind.make(cloud, name, alice): "alice"}
    for params in ({}, {"permissions": "640"}, {"state": "absent"}, kind.wish(cloud)):
        for check in (True, False):
            sentence = cloud.fails(kind.module, check=check, name=name, **params)
            assert "not unique" in sentence, f"{kind} {params}: {sentence}"
            for number, owner in ids.items():
                assert f"id {number} of {owner}" in sentence, f"{kind} {params}: {sentence}"
            assert cloud.calls.writes == 0, f"{kind} {params} wrote {cloud.calls.by_method}"
    assert len(kind.all_of(cloud, name)) == 2


@every_kind
def test_an_owner_may_be_an_id(cloud: ProofCloud, kind: Kind) -> None:
    """The id of an owner means what the name means: it tells objects of one name apart, and makes no second one."""
    name, carol = cloud.name("owned"), cloud.user("carol")
    ids = {"oneadmin": kind.make(cloud, name, None), "carol": kind.make(cloud, name, carol)}
    users = {one["id"]: str(one["owner"]["id"]) for one in kind.all_of(cloud, name)}
    for number in ids.values():
        state = {"state": "present"} if kind.module == "one_vm" else {}
        result = cloud.ok(kind.module, name=name, owner=users[number], **{**kind.wish(cloud), **state})
        assert result[kind.facts]["id"] == number and not result["changed"], kind
    assert len(kind.all_of(cloud, name)) == 2, kind


@every_kind
def test_an_object_of_another_owner_is_not_made_again(cloud: ProofCloud, kind: Kind) -> None:
    """Whoever may use it finds it: no duplicate, no write."""
    name, bob = cloud.name("shared"), cloud.user("bob")
    number = kind.make(cloud, name, None)
    module = "document" if kind.module.startswith("one_service") else kind.module.removeprefix("one_")
    cloud.admin.call(f"one.{module}.chmod", number, 1, 1, 0, 0, 0, 0, 1, 0, 0)
    if kind.module == "one_vm":
        cloud.ok("one_vm", id=number, state="running")
    wish = kind.wish(cloud)
    for check in (True, False):
        result = cloud.ok(kind.module, check=check, api=bob, name=name, **wish)
        assert not result["changed"] and result[kind.facts]["id"] == number, f"{kind} made a duplicate"
        assert cloud.calls.writes == 0, f"{kind} wrote {cloud.calls.by_method}"
    assert len(kind.all_of(cloud, name)) == 1, kind


@every_kind
def test_runs_at_once_make_one_object(cloud: ProofCloud, kind: Kind) -> None:
    """Processes that share nothing look at the same moment, see nothing, and still end with one object and no error."""
    name, wish = cloud.name("race"), kind.wish(cloud)
    results = cloud.at_once(kind.module, name=name, **wish)
    assert not [result["msg"] for result in results if result.get("failed")], f"{kind}: a run failed"
    left = cloud.wait(lambda: one_is_left(kind.all_of(cloud, name)), f"{kind}: one object is left")
    assert {result[kind.facts]["id"] for result in results} == {left["id"]}, f"{kind}: the runs do not agree"
    assert any(result["changed"] for result in results), kind
    again = cloud.ok(kind.module, name=name, **wish)
    assert not again["changed"] and again[kind.facts]["id"] == left["id"], kind


def one_is_left(found: list[dict[str, Any]]) -> dict[str, Any] | None:
    return found[0] if len(found) == 1 else None
