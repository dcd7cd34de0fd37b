# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images: register, clone, change, wait until usable, delete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import OneActionError, OneUsageError
from .objects import (
    IMAGE,
    ObjectResource,
    State,
    base_state,
    object_argument_spec,
    state_after,
    wanted_attributes,
)
from .pools import datastore_id
from .runner import Plan
from .settings import api_argument_spec
from .states import IMAGE_BUSY, IMAGE_STATES, IMAGE_TYPES, IMAGE_USABLE, state_name
from .template import Template
from .wait import wait_argument_spec, wait_for
from .xml import ids, labels_of, number, text

# What oned takes out of the template of a new image; on an existing image these cannot be changed through it.
CREATION_ONLY = frozenset({"FORMAT", "FS", "SOURCE", "DISK_TYPE", "MD5", "SHA1", "NO_DECOMPRESS", "LIMIT_TRANSFER_BW"})
RESERVED = {
    "NAME": "name",
    "PATH": "path",
    "SIZE": "size",
    "TYPE": "type",
    "PERSISTENT": "persistent",
    "LABELS": "labels",
}


def argument_spec() -> dict[str, dict[str, Any]]:
    """Return the complete argument spec of one_image."""
    return {
        **api_argument_spec(),
        **object_argument_spec(),
        **wait_argument_spec(timeout=600),
        "path": {"type": "str"},
        "size": {"type": "int"},
        "type": {"type": "str", "choices": [name for name in IMAGE_TYPES if name != "BACKUP"]},
        "datastore": {"type": "str"},
        "persistent": {"type": "bool"},
        "enabled": {"type": "bool"},
        "attributes": {"type": "dict"},
    }


def represent(body: Mapping[str, Any]) -> State:
    """Return an image as modules hand it to a play."""
    state = base_state(body, IMAGE)
    name = state_name(IMAGE_STATES, text(body, "STATE"))
    state.update(
        {
            "state": name,
            "state_id": number(body, "STATE"),
            "type": state_name(IMAGE_TYPES, text(body, "TYPE")),
            "persistent": text(body, "PERSISTENT") == "1",
            "enabled": name != "DISABLED",
            "size": number(body, "SIZE"),
            "path": text(body, "PATH"),
            "source": text(body, "SOURCE"),
            "format": text(body, "FORMAT"),
            "datastore": {"id": number(body, "DATASTORE_ID"), "name": text(body, "DATASTORE")},
            "running_vms": number(body, "RUNNING_VMS", default=0),
            "vms": ids(body.get("VMS")),
            "labels": labels_of(state["attributes"]),
            "error": text(body, "TEMPLATE", "ERROR"),
        }
    )
    return state


class ImageResource(ObjectResource):
    """One image, by id or name, present (possibly cloned) or absent."""

    kind = IMAGE
    volatile = frozenset(
        {"id", "state", "state_id", "source", "format", "running_vms", "vms", "error", "labels", "datastore"}
    )

    def represent(self, body: Mapping[str, Any]) -> State:
        return represent(body)

    def plan(self, before: State | None) -> Plan[State | None]:
        if self.params["state"] == "absent":
            return self._plan_absent(before)
        return self._plan_create() if before is None else self._plan_change(before)

    def settle(self, known: State | None, changed: bool) -> State | None:
        if self.params["state"] == "absent":
            return self._settle_absent(known, changed)
        if known is not None and not self.params["wait"]:
            return known
        if not self.params["wait"]:
            return self.read_back()
        return self._wait_usable(known)

    def facts(self, state: State | None) -> dict[str, Any]:
        return {"image": state or {}}

    # -- absent ----------------------------------------------------------------------------------------------------

    def _plan_absent(self, before: State | None) -> Plan[State | None]:
        plan: Plan[State | None] = Plan(after=None)
        if before is None or before["state"] == "DELETE":
            return plan
        if before["running_vms"]:
            listed = ", ".join(map(str, before["vms"])) or "unknown"
            raise OneActionError(
                f"image {before['name']} (id {before['id']}) is in use by {before['running_vms']} VM(s): {listed}",
                hint="terminate them first",
            )
        plan.after = None
        plan.add(f"delete image {before['name']}", lambda: self._delete(before))
        return plan

    def _delete(self, before: State) -> None:
        if before["state"] in IMAGE_BUSY:
            # oned refuses to delete an image that is being written; it is done within the copy time.
            wait_for(
                self._must_read,
                lambda image: image["state"] not in IMAGE_BUSY,
                lambda image: None,
                what=f"end of the copy of image {before['name']}",
                timeout=self.params["wait_timeout"],
                interval=self.params["wait_interval"],
                describe=lambda image: f"state {image['state']}",
            )
        self.connection.call("one.image.delete", self.object_id)

    def _settle_absent(self, known: State | None, changed: bool) -> State | None:
        if not self.params["wait"] or (not changed and known is None):
            return None
        wait_for(
            lambda: self.read_back() or {},
            lambda image: not image,
            lambda image: image["error"] or "ERROR" if image.get("state") == "ERROR" else None,
            what=f"deletion of image {self.object_id}",
            timeout=self.params["wait_timeout"],
            interval=self.params["wait_interval"],
            describe=lambda image: f"state {image['state']}",
        )
        return None

    # -- present ---------------------------------------------------------------------------------------------------

    def _plan_create(self) -> Plan[State | None]:
        params = self.params
        if params["clone_from"] is None and params["path"] is None and params["size"] is None:
            raise OneUsageError(
                f"image {params['name']} does not exist",
                hint="to create it give path (a file or URL), size (an empty datablock) or clone_from",
            )
        name = params["new_name"] or params["name"]
        wanted = self.final_attributes(Template(), wanted_attributes(params["attributes"], RESERVED))
        plan: Plan[State | None]
        if params["clone_from"] is not None:
            plan = self._plan_clone(name, wanted)
        else:
            plan = self._plan_allocate(name, wanted)
        after = state_after(plan)
        if params["enabled"] is False:
            after["enabled"] = False
            plan.add(f"disable image {name}", lambda: self._when_ready("one.image.enable", False))
        self.plan_access(plan, after)
        return plan

    def _plan_allocate(self, name: str, attributes: Template) -> Plan[State | None]:
        params = self.params
        kind = params["type"] or ("OS" if params["path"] else "DATABLOCK")
        target = datastore_id(self.connection, params["datastore"] or "default")
        template = Template({"NAME": name, "TYPE": kind, "PERSISTENT": "YES" if params["persistent"] else "NO"})
        if params["path"]:
            template["PATH"] = params["path"]
        if params["size"] is not None:
            template["SIZE"] = str(params["size"])
        template.update(attributes)
        stored = Template({key: value for key, value in attributes.items() if key not in CREATION_ONLY})
        after = self._fresh(name, stored)
        after.update(type=kind, path=params["path"] or "", size=params["size"])
        plan: Plan[State | None] = Plan(after=after)
        plan.add(
            f"create image {name}",
            lambda: self.remember_id(self.connection.call("one.image.allocate", template, target)),
        )
        return plan

    def _plan_clone(self, name: str, attributes: Template) -> Plan[State | None]:
        source = represent(self.cloned_body())
        target = -1 if self.params["datastore"] is None else datastore_id(self.connection, self.params["datastore"])
        after = self._fresh(name, self.final_attributes(source["attributes"], attributes))
        after.update(type=self.params["type"] or source["type"], path=source["path"], size=source["size"])
        plan: Plan[State | None] = Plan(after=after)
        plan.add(
            f"clone image {source['name']} to {name}",
            lambda: self.remember_id(self.connection.call("one.image.clone", source["id"], name, target)),
        )
        if attributes:
            plan.add(
                f"update attributes of image {name}",
                lambda: self.connection.call("one.image.update", self.object_id, attributes, 1),
            )
        if after["type"] != source["type"]:
            plan.add(f"make image {name} {after['type']}", lambda: self._when_ready("one.image.chtype", after["type"]))
        if self.params["persistent"]:
            plan.add(f"make image {name} persistent", lambda: self._when_ready("one.image.persistent", True))
        return plan

    def _plan_change(self, before: State) -> Plan[State | None]:
        params = self.params
        if before["state"] == "DELETE":
            raise OneActionError(
                f"image {before['name']} (id {before['id']}) is just being deleted", hint="run again when it is gone"
            )
        wanted = wanted_attributes(params["attributes"], RESERVED)
        stored = Template({key: value for key, value in wanted.items() if key not in CREATION_ONLY})
        after = {
            **before,
            "name": params["new_name"] or before["name"],
            "attributes": self.final_attributes(before["attributes"], stored),
        }
        plan: Plan[State | None] = Plan(after=after, warnings=self._unchangeable(before))
        # Each switch has a call of its own; compare each with its own field.
        for field, method in (("type", "chtype"), ("persistent", "persistent"), ("enabled", "enable")):
            value = params[field]
            if value is not None and value != before[field]:
                after[field] = value
                self._plan_switch(plan, before, field, f"one.image.{method}", value)
        self.plan_common(plan, before)
        return plan

    def _plan_switch(self, plan: Plan[State | None], before: State, field: str, method: str, value: Any) -> None:
        plan.add(f"set {field} of image {before['name']} to {value}", lambda: self._when_ready(method, value))

    def _unchangeable(self, before: State) -> list[str]:
        found = []
        for field in ("path", "size"):
            value = self.params[field]
            # The size of an image made from a file is that of the file.
            relevant = value is not None and before[field] != value and not (field == "size" and before["path"])
            if relevant:
                found.append(
                    f"image {before['name']} exists with {field} {before[field]!r}; {value!r} was not applied, "
                    "because OpenNebula cannot change it. Use another name or delete the image first"
                )
        return found

    def _fresh(self, name: str, attributes: Template) -> State:
        return {
            **self.fresh_state(name, attributes),
            "state": "LOCKED",
            "state_id": 4,
            "persistent": bool(self.params["persistent"]),
            "enabled": True,
            "source": "",
            "format": "",
            "datastore": {"id": None, "name": self.params["datastore"]},
            "running_vms": 0,
            "vms": [],
            "labels": labels_of(attributes),
            "error": "",
        }

    # -- waiting ---------------------------------------------------------------------------------------------------

    def _when_ready(self, method: str, value: Any) -> None:
        """Switches are refused while the image is being written, so wait for the end of that first."""
        self._wait_usable(None)
        self.connection.call(method, self.object_id, value)

    def _must_read(self) -> State:
        image = self.read_back()
        if image is None:
            raise OneUsageError(f"image {self.object_id} was deleted by somebody else meanwhile")
        return image

    def _wait_usable(self, known: State | None) -> State:
        def failed(image: State) -> str | None:
            if image["state"] != "ERROR":
                return None
            return (image["error"] or "no reason given by the datastore driver") + (
                "; delete it with state=absent, correct path or datastore, and create it again"
            )

        label = self.params["new_name"] or self.params["name"] or self.object_id
        return wait_for(
            self._must_read,
            lambda image: image["state"] in IMAGE_USABLE,
            failed,
            what=f"image {label} becoming READY",
            timeout=self.params["wait_timeout"],
            interval=self.params["wait_interval"],
            describe=lambda image: f"state {image['state']}",
            known=known,
        )
