# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of the changing modules: one line per wish, each on an object of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from proof_cloud import ProofCloud

Params = dict[str, Any]


@dataclass(frozen=True)
class Scenario:
    """One wish. `start` makes the object and returns the parameters that select it; `wish` are the others.

    calls: requests that the run may take, polls not counted; the promise is three. again: those of the second run.
    repeats: whether the second run is a change again (a reboot is one every time).
    """

    module: str
    title: str
    start: Callable[[ProofCloud], Params]
    wish: Params = field(default_factory=dict)
    calls: int = 3
    again: int = 2
    repeats: bool = False
    changes: bool = True

    def __str__(self) -> str:
        return f"{self.module}: {self.title}"


def fresh(**more: Any) -> Callable[[ProofCloud], Params]:
    """A name that nothing has."""
    return lambda cloud: {"name": cloud.name("new"), **more}


def by_id(module: str, key: str, make: Callable[[ProofCloud], str]) -> Callable[[ProofCloud], Params]:
    """An object that exists, selected by its id."""
    return lambda cloud: {"id": cloud.ok(module, name=make(cloud), **READING.get(module, {}))[key]["id"]}


#: What makes a module read only.
READING: dict[str, Params] = {"one_vm": {"state": "present"}}


def image(**params: Any) -> Callable[[ProofCloud], Params]:
    return by_id("one_image", "image", lambda cloud: cloud.image(**params))


def template(**attributes: Any) -> Callable[[ProofCloud], Params]:
    return by_id("one_template", "template", lambda cloud: cloud.vm_template(**attributes))


def vm(**params: Any) -> Callable[[ProofCloud], Params]:
    return by_id("one_vm", "vm", lambda cloud: cloud.vm(**params))


def new_vm(cloud: ProofCloud) -> Params:
    return {"name": cloud.name("new"), "template": str(cloud.id_of_template(cloud.vm_template()))}


def service_template(**changes: Any) -> Callable[[ProofCloud], Params]:
    return by_id("one_service_template", "service_template", lambda cloud: cloud.service_template(**changes))


def service(**params: Any) -> Callable[[ProofCloud], Params]:
    return by_id("one_service", "service", lambda cloud: cloud.service(**params))


def new_service(**changes: Any) -> Callable[[ProofCloud], Params]:
    def start(cloud: ProofCloud) -> Params:
        name = cloud.service_template(**changes)
        number = next(item["ID"] for item in cloud.flow.templates() if item["NAME"] == name)
        return {"name": name, "template": str(number)}

    return start


WEB = {"CPU": 1, "MEMORY": 64, "NIC": [{"NETWORK": "private"}], "CONTEXT": {"NETWORK": True}}
ROLE = {"name": "a", "template_id": 0, "cardinality": 1}

SCENARIOS = [
    Scenario("one_image", "create a data block", fresh(size=1)),
    Scenario("one_image", "create from a path", fresh(path="/var/tmp/x.qcow2", size=2, type="OS", datastore="1")),
    Scenario("one_image", "create with everything", fresh(size=1), {
        "type": "DATABLOCK", "persistent": True, "enabled": False, "attributes": {"A": "1"}, "labels": ["x"],
        "permissions": "640", "mark": "fed",
    }, calls=5),
    Scenario("one_image", "clone", fresh(clone_from="zero", mark="fed"), calls=4),
    Scenario("one_image", "attributes", image(), {"attributes": {"DESCRIPTION": 'a "b" [c], d=e', "dev_prefix": "vd"}}),
    Scenario("one_image", "remove an attribute", image(attributes={"A": "1"}), {"remove_attributes": ["A"]}),
    Scenario("one_image", "type", image(), {"type": "OS"}),
    Scenario("one_image", "persistent", image(), {"persistent": True}),
    Scenario("one_image", "not persistent", image(persistent=True), {"persistent": False}),
    Scenario("one_image", "disable", image(), {"enabled": False}),
    Scenario("one_image", "enable", image(enabled=False), {"enabled": True}),
    Scenario("one_image", "labels", image(), {"labels": ["b", "a"]}),
    Scenario("one_image", "permissions", image(), {"permissions": "664"}),
    Scenario("one_image", "owner", image(), {"owner": "alice"}, calls=4),
    Scenario("one_image", "group", image(), {"group": "users"}, calls=4),
    Scenario("one_image", "rename", image(), {"new_name": "renamed-image"}),
    Scenario("one_image", "nothing", image(), changes=False, calls=1),
    Scenario("one_image", "delete", image(), {"state": "absent"}),
    Scenario("one_image", "delete what is not there", fresh(state="absent"), changes=False, calls=1),

    Scenario("one_template", "create from a mapping", fresh(template=WEB)),
    Scenario("one_template", "create from text", fresh(template='CPU=1\nMEMORY=64\nNIC=[ NETWORK="private" ]')),
    Scenario("one_template", "create with everything", fresh(template=WEB), {
        "labels": ["x"], "permissions": "640", "mark": "fed",
    }, calls=4),
    Scenario("one_template", "clone", fresh(clone_from="zero", mark="fed"), calls=4),
    Scenario("one_template", "merge", template(), {"template": {"MEMORY": 128, "CONTEXT": {"A": "b"}}}),
    Scenario("one_template", "replace", template(X="1"), {"template": WEB, "update": "replace"}),
    Scenario("one_template", "remove attributes", template(X="1"), {"remove_attributes": ["X", "CONTEXT.TOKEN"]}),
    Scenario("one_template", "devices", template(), {"template": {"NIC": [{"NETWORK": "b"}, {"NETWORK": "a"}]}}),
    Scenario("one_template", "labels", template(), {"labels": ["b", "a"]}),
    Scenario("one_template", "permissions", template(), {"permissions": "640"}),
    Scenario("one_template", "owner", template(), {"owner": "alice"}, calls=4),
    Scenario("one_template", "group", template(), {"group": "users"}, calls=4),
    Scenario("one_template", "rename", template(), {"new_name": "renamed-template"}),
    Scenario("one_template", "nothing", template(), changes=False, calls=1),
    Scenario("one_template", "delete", template(), {"state": "absent"}),
    Scenario("one_template", "delete what is not there", fresh(state="absent"), changes=False, calls=1),

    Scenario("one_vm", "create", new_vm, calls=4),
    Scenario("one_vm", "create with everything", new_vm, {
        "attributes": {"A": "1"}, "context": {"B": "2"}, "cpu": 0.2, "vcpu": 2, "memory": 96, "labels": ["x"],
        "nics": [{"NETWORK": "private"}], "permissions": "640", "mark": "fed",
    }, calls=5),
    Scenario("one_vm", "create powered off", new_vm, {"state": "poweroff"}, calls=5),
    Scenario("one_vm", "create on hold", new_vm, {"state": "hold"}, calls=4),
    Scenario("one_vm", "exact count", new_vm, {"count": 2}, calls=5),
    Scenario("one_vm", "attributes", vm(), {"attributes": {"A": "x y"}}),
    Scenario("one_vm", "remove an attribute", vm(attributes={"A": "1"}), {"remove_attributes": ["A"]}),
    Scenario("one_vm", "context", vm(context={"A": "1"}), {"context": {"A": "2"}}),
    Scenario("one_vm", "labels", vm(), {"labels": ["b", "a"]}),
    Scenario("one_vm", "permissions", vm(), {"permissions": "640"}),
    Scenario("one_vm", "owner", vm(), {"owner": "alice"}, calls=4),
    Scenario("one_vm", "group", vm(), {"group": "users"}, calls=4),
    Scenario("one_vm", "rename", vm(), {"new_name": "renamed-vm"}),
    Scenario("one_vm", "resize a VM that is off", vm(state="poweroff"), {"state": "present", "memory": 96, "vcpu": 2}),
    Scenario("one_vm", "power off", vm(), {"state": "poweroff"}),
    Scenario("one_vm", "power off hard", vm(), {"state": "poweroff", "hard": True}),
    Scenario("one_vm", "power on", vm(state="poweroff"), {"state": "running"}),
    Scenario("one_vm", "suspend", vm(), {"state": "suspended"}),
    Scenario("one_vm", "stop", vm(), {"state": "stopped"}),
    Scenario("one_vm", "undeploy", vm(), {"state": "undeployed"}),
    Scenario("one_vm", "reboot", vm(), {"state": "rebooted"}, repeats=True),
    Scenario("one_vm", "nothing", vm(), {"state": "present"}, changes=False, calls=1),
    Scenario("one_vm", "terminate", vm(), {"state": "absent"}),
    Scenario("one_vm", "terminate what is not there", fresh(state="absent"), changes=False, calls=1),

    Scenario("one_service_template", "create", fresh(template={"roles": [ROLE]}, mark="fed")),
    Scenario("one_service_template", "create with permissions", fresh(template={"roles": []}, permissions="640"),
             calls=4),
    Scenario("one_service_template", "content", service_template(), {"template": {"roles": [ROLE]}}),
    Scenario("one_service_template", "permissions", service_template(), {"permissions": "640"}),
    Scenario("one_service_template", "rename", service_template(), {"new_name": "renamed-svt"}, calls=4),
    Scenario("one_service_template", "nothing", service_template(), changes=False, calls=1),
    Scenario("one_service_template", "delete", service_template(), {"state": "absent"}),
    Scenario("one_service_template", "delete what is not there", fresh(state="absent"), changes=False, calls=1),

    Scenario("one_service", "start", new_service(), calls=5),
    Scenario("one_service", "start with everything", new_service(user_inputs={"A": "O|text|a||x"}), {
        "roles": [{"name": "node", "cardinality": 2}], "user_inputs_values": {"A": "y"}, "permissions": "640",
        "mark": "fed",
    }, calls=6),
    Scenario("one_service", "scale", service(), {"roles": [{"name": "node", "cardinality": 2}]}, calls=4),
    Scenario("one_service", "permissions", service(), {"permissions": "640"}, calls=4),
    Scenario("one_service", "nothing", service(), changes=False, calls=2),
    Scenario("one_service", "remove", service(), {"state": "absent"}, calls=4),
    Scenario("one_service", "remove what is not there", fresh(state="absent"), changes=False, calls=1),
]  # fmt: skip
