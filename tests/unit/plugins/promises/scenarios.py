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
Start = Callable[[ProofCloud], Params]


@dataclass(frozen=True)
class Scenario:
    """One wish. `start` makes the object and returns the parameters that select it; `wish` are the others.

    calls: requests that the run may take, polls not counted; the promise is three. again: those of the second run.
    repeats: whether the second run is a change again (a reboot is one every time).
    """

    module: str
    title: str
    start: Start
    wish: Params = field(default_factory=dict)
    calls: int = 3
    again: int = 2
    repeats: bool = False
    changes: bool = True

    def __str__(self) -> str:
        return f"{self.module}: {self.title}"


def selects(*options: str) -> Callable[[Start], Start]:
    """Say which options a `start` gives."""

    def mark(start: Start) -> Start:
        start.options = frozenset(options)
        return start

    return mark


def fresh(**more: Any) -> Start:
    """A name that nothing has."""
    return selects("name", *more)(lambda cloud: {"name": cloud.name("new"), **more})


def by_id(module: str, key: str, make: Callable[[ProofCloud], str]) -> Start:
    """An object that exists, selected by its id."""
    return selects("id")(lambda cloud: {"id": cloud.ok(module, name=make(cloud), **READING.get(module, {}))[key]["id"]})


#: What makes a module read only.
READING: dict[str, Params] = {"one_vm": {"state": "present"}}


def image(**params: Any) -> Start:
    return by_id("one_image", "image", lambda cloud: cloud.image(**params))


def template(**attributes: Any) -> Start:
    return by_id("one_template", "template", lambda cloud: cloud.vm_template(**attributes))


def vm(**params: Any) -> Start:
    return by_id("one_vm", "vm", lambda cloud: cloud.vm(**params))


@selects("name", "template")
def new_vm(cloud: ProofCloud) -> Params:
    return {"name": cloud.name("new"), "template": str(cloud.id_of_template(cloud.vm_template()))}


def service_template(**changes: Any) -> Start:
    return by_id("one_service_template", "service_template", lambda cloud: cloud.service_template(**changes))


def service(**params: Any) -> Start:
    return by_id("one_service", "service", lambda cloud: cloud.service(**params))


def new_service(**changes: Any) -> Start:
    @selects("name", "template")
    def start(cloud: ProofCloud) -> Params:
        name = cloud.service_template(**changes)
        number = next(item["ID"] for item in cloud.flow.templates() if item["NAME"] == name)
        return {"name": name, "template": str(number)}

    return start


@selects("id")
def locked_template(cloud: ProofCloud) -> Params:
    name = cloud.vm_template()
    return {"id": cloud.ok("one_template", name=name, lock="use")["template"]["id"]}


@selects("name", "template")
def named_template(cloud: ProofCloud) -> Params:
    """A VM template whose name another user uses as well."""
    params = {"name": cloud.name("new"), "template": cloud.vm_template()}
    other = cloud.ok("one_template", api=cloud.user("carol"), name=params["template"], template=WEB, owner="carol")
    cloud.ok("one_template", id=other["template"]["id"], permissions="644")
    return params


@selects("ids")
def two_vms(cloud: ProofCloud) -> Params:
    return {"ids": [cloud.ok("one_vm", name=cloud.vm())["vm"]["id"] for _turn in range(2)]}


@selects("match_name")
def vms_named(cloud: ProofCloud) -> Params:
    return {"match_name": f"{cloud.vm()}*"}


@selects("match_labels")
def vms_labelled(cloud: ProofCloud) -> Params:
    label = cloud.name("label")
    cloud.vm(labels=[label])
    return {"match_labels": [label]}


@selects("match_attributes")
def vms_with(cloud: ProofCloud) -> Params:
    value = cloud.name("value")
    cloud.vm(attributes={"WITH": value})
    return {"match_attributes": {"WITH": value}}


@selects("id")
def failed_vm(cloud: ProofCloud) -> Params:
    """A VM that could not boot, for a reason that is gone."""
    name = cloud.name("vm")
    cloud.driver.fail_deploy[name] = "no such kernel"
    cloud.fails("one_vm", name=name, template=cloud.vm_template())
    cloud.driver.fail_deploy.clear()
    return {"id": cloud.ok("one_vm", name=name, state="present")["vm"]["id"]}


@selects("name", "clone_from")
def new_service_template_clone(cloud: ProofCloud) -> Params:
    return {"name": cloud.name("new"), "clone_from": cloud.service_template()}


@selects("id")
def failed_service(cloud: ProofCloud) -> Params:
    """A service whose VMs could not boot, for a reason that is gone."""
    name = cloud.service_template()
    cloud.driver.fail_deploy["*"] = "no such kernel"
    cloud.fails("one_service", name=name, template=name)
    service = cloud.wait(
        lambda: next(
            (one for one in cloud.ok("one_service_info", name=name)["services"] if one["state"] == "FAILED_DEPLOYING"),
            None,
        ),
        "the failure of the service",
    )
    cloud.driver.fail_deploy.clear()
    return {"id": service["id"]}


@selects("id")
def held_service(cloud: ProofCloud) -> Params:
    """A service that waits to be released."""
    name = cloud.service_template(on_hold=True, deployment="none")
    cloud.ok("one_service", name=name, template=name, wait=False)
    service = cloud.wait(
        lambda: next(
            (one for one in cloud.ok("one_service_info", name=name)["services"] if one["state"] == "HOLD"), None
        ),
        "the service on hold",
    )
    return {"id": service["id"]}


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
    Scenario("one_image", "create with a format and a file system", fresh(size=1, format="qcow2", fs="ext4")),
    Scenario("one_image", "register what a datastore holds", fresh(source="/srv/disk", size=1, format="raw")),
    *(Scenario("one_image", f"lock {level}", image(), {"lock": level}) for level in ("use", "manage", "admin", "all")),
    Scenario("one_image", "unlock", image(lock="use"), {"lock": "none"}),
    Scenario("one_image", "change a locked one", image(lock="use"), {"lock": "none", "labels": ["x"]}, calls=4),
    Scenario("one_image", "delete by force", image(), {"state": "absent", "force": True}),
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
    *(Scenario("one_template", f"lock {level}", template(), {"lock": level}) for level in ("use", "manage", "all")),
    Scenario("one_template", "unlock", locked_template, {"lock": "none"}),
    Scenario("one_template", "clone with its images", fresh(clone_from="zero", recursive=True)),
    Scenario("one_template", "delete with its images", template(), {"state": "absent", "recursive": True}),
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
    Scenario("one_vm", "create on a datastore", new_vm, {"datastore": "0", "enforce_capacity": False}, calls=4),
    Scenario("one_vm", "create from a template of that owner", named_template, {"template_owner": "oneadmin"}, calls=5),
    Scenario("one_vm", "remove a context variable", vm(context={"A": "1"}), {"remove_context": ["A"]}),
    Scenario("one_vm", "other configuration", vm(), {"updateconf": {"CPU_MODEL": {"MODEL": "host-passthrough"}}}),
    Scenario("one_vm", "attach a NIC", vm(), {"nics": [{"NETWORK_ID": 0}, {"NETWORK_ID": 0}]}),
    Scenario("one_vm", "detach a NIC", vm(), {"nics": [], "detach": True}),
    Scenario("one_vm", "attach a disk", vm(), {"disks": [{"TYPE": "fs", "SIZE": 1}]}),
    Scenario("one_vm", "attach a PCI device", vm(state="poweroff"), {"state": "poweroff", "pcis": [{"CLASS": "0302"}]}),
    Scenario("one_vm", "lock", vm(), {"lock": "manage"}),
    Scenario("one_vm", "unlock", vm(lock="use"), {"lock": "none"}),
    Scenario("one_vm", "several by id", two_vms, {"state": "poweroff"}, calls=4),
    Scenario("one_vm", "all of a name", vms_named, {"state": "present", "attributes": {"A": "1"}}, calls=5),
    Scenario("one_vm", "all with a label", vms_labelled, {"state": "present", "attributes": {"A": "1"}}, calls=5),
    Scenario("one_vm", "all with an attribute", vms_with, {"state": "present", "labels": ["x"]}, calls=5),
    Scenario("one_vm", "recover", failed_vm, {"state": "recovered", "recover": "retry"}),
    Scenario("one_vm", "nothing", vm(), {"state": "present"}, changes=False, calls=1),
    Scenario("one_vm", "terminate", vm(), {"state": "absent"}),
    Scenario("one_vm", "terminate what is not there", fresh(state="absent"), changes=False, calls=1),

    Scenario("one_service_template", "create", fresh(template={"roles": [ROLE]}, mark="fed")),
    Scenario("one_service_template", "create with permissions", fresh(template={"roles": []}, permissions="640"),
             calls=4),
    Scenario("one_service_template", "content", service_template(), {"template": {"roles": [ROLE]}}),
    Scenario("one_service_template", "permissions", service_template(), {"permissions": "640"}),
    Scenario("one_service_template", "rename", service_template(), {"new_name": "renamed-svt"}, calls=4),
    Scenario("one_service_template", "merge", service_template(), {
        "update": "merge", "template": {"roles": [{"name": "node", "max_vms": 30}]},
    }),
    Scenario("one_service_template", "remove an attribute", service_template(description="x"), {
        "remove_attributes": ["description"],
    }),
    Scenario("one_service_template", "clone", new_service_template_clone, {"clone_type": "none"}, calls=5),
    Scenario("one_service_template", "clone with VM templates", new_service_template_clone, {"clone_type": "templates"},
             calls=5),
    Scenario("one_service_template", "owner and group", service_template(), {"owner": "alice", "group": "users"},
             calls=6),
    Scenario("one_service_template", "delete with VM templates", service_template(), {
        "state": "absent", "delete_type": "templates",
    }),
    Scenario("one_service_template", "nothing", service_template(), changes=False, calls=1),
    Scenario("one_service_template", "delete", service_template(), {"state": "absent"}),
    Scenario("one_service_template", "delete what is not there", fresh(state="absent"), changes=False, calls=1),

    Scenario("one_service", "start", new_service(), calls=5),
    Scenario("one_service", "start with everything", new_service(user_inputs={"A": "O|text|a||x"}), {
        "roles": [{"name": "node", "cardinality": 2}], "user_inputs_values": {"A": "y"}, "permissions": "640",
        "mark": "fed",
    }, calls=6),
    Scenario("one_service", "scale", service(), {"roles": [{"name": "node", "cardinality": 2}]}, calls=4),
    Scenario("one_service", "bounds and cooldown", service(), {
        "roles": [{"name": "node", "min_vms": 0, "max_vms": 9, "cooldown": 5}],
    }, calls=4),
    Scenario("one_service", "policies", service(), {"roles": [{
        "name": "node", "min_vms": 0, "max_vms": 9,
        "elasticity_policies": [{"type": "CHANGE", "adjust": 1, "expression": "CPU > 80"}],
        "scheduled_policies": [{"type": "CARDINALITY", "adjust": 2, "recurrence": "0 9 * * *"}],
    }]}, calls=4),
    Scenario("one_service", "permissions", service(), {"permissions": "640"}, calls=4),
    Scenario("one_service", "start on a network", new_service(networks={"Net": "M|network|net||"}), {
        "networks_values": {"Net": {"id": 0}},
    }, calls=5),
    Scenario("one_service", "scale beyond the bounds", service(), {
        "roles": [{"name": "front", "cardinality": 3}], "force": True,
    }, calls=4),
    Scenario("one_service", "rename", service(), {"new_name": "renamed-service"}, calls=5),
    Scenario("one_service", "description", service(), {"description": "what it is for"}, calls=5),
    Scenario("one_service", "owner and group", service(), {"owner": "alice", "group": "users"}, calls=7),
    Scenario("one_service", "power a role off", service(), {"roles": [{"name": "node", "state": "poweroff"}]}, calls=5),
    Scenario("one_service", "add a role", service(), {
        "roles": [{"name": "more", "definition": {"template_id": 0, "cardinality": 1}}],
    }, calls=5),
    Scenario("one_service", "remove a role", service(), {"roles": [{"name": "node", "state": "absent"}]}, calls=5),
    Scenario("one_service", "recover", failed_service, {"state": "recovered"}, calls=5),
    Scenario("one_service", "release", held_service, {"state": "released"}, calls=5),
    Scenario("one_service", "nothing", service(), changes=False, calls=2),
    Scenario("one_service", "remove", service(), {"state": "absent"}, calls=4),
    Scenario("one_service", "remove what is not there", fresh(state="absent"), changes=False, calls=1),
]  # fmt: skip
