# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One image as the runner sees it: register, clone, change, wait until usable, delete."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..api.connection import Connection
from ..core.objects import IMAGE, ObjectResource, State, state_after, wanted_attributes
from ..core.pools import datastore_id
from ..core.runner import Plan
from ..data.compare import update_for
from ..data.template import Template
from ..data.xml import labels_of, number, text
from ..errors import OneActionError, OneError, OneNotFoundError
from .image import (
    CREATION_ONLY,
    DEFAULT_DATASTORE,
    FILE_TYPES,
    FILES_DATASTORE,
    RESERVED,
    represent,
    users_of,
)
from .waits import ImageWaits


class ImageResource(ObjectResource):
    """One image, by id or name, present (possibly cloned) or absent."""

    kind = IMAGE
    volatile = frozenset(
        {"id", "state", "state_id", "source", "format", "running_vms", "vms", "error", "labels", "datastore"}
    )

    def __init__(self, connection: Connection, params: Mapping[str, Any]) -> None:
        super().__init__(connection, params)
        self.attributes = wanted_attributes(params["attributes"], RESERVED)
        self.waits = ImageWaits(self.read_id, params)
        # An image of that name that is just being deleted: it must be gone before there can be another one.
        self.leaving: int | None = None
        # The image as it was found, as long as nobody has to look again; None for one that is being made.
        self.found: State | None = None

    def represent(self, body: Mapping[str, Any]) -> State:
        return represent(body)

    def read(self) -> State | None:
        state = super().read()
        self.leaving = None
        if state is not None and state["state"] == "DELETE":
            if self.params["id"] is not None and self.params["state"] != "absent":
                raise OneActionError(f"image {state['name']} (id {state['id']}) is just being deleted")
            self.leaving = state["id"]
            state = None
        self.found = state
        return state

    def settle(self, known: State | None, changed: bool) -> State | None:
        wait = self.params["wait"]
        if self.params["state"] == "absent":
            going = self.object_id if changed else self.leaving
            if wait and going is not None:
                self.waits.gone(going)
            return None
        if wait:
            return self.waits.usable(self.known_id(), known)
        return known if known is not None else self.must_read_back()

    def facts(self, state: State | None) -> dict[str, Any]:
        return {"image": state or {}}

    def explain(self, error: OneError, before: State | None) -> OneError:
        if isinstance(error, OneNotFoundError) and "datastore" in error.text and self.params["datastore"] is None:
            error.hint = "this cloud has no such default datastore; say which one with datastore"
        return super().explain(error, before)

    def call_lock(self, verb: str, *level: int) -> None:
        # oned drops the lock of an image with each change of its state: lock it when it is ready, not while it is made.
        if verb == "lock":
            self.waits.idle(self.known_id(), self.found)
        super().call_lock(verb, *level)

    # -- absent ----------------------------------------------------------------------------------------------------

    def plan_absent(self, before: State) -> Plan[State | None]:
        if before["running_vms"]:
            raise OneActionError(
                f"image {before['name']} (id {before['id']}) is in use by {users_of(before)}",
                hint="terminate them first",
            )
        return self.plan_delete(before, delete=lambda: self._delete(before))

    def _delete(self, before: State) -> Any:
        if self.params["force"]:
            return self.call_delete(True)
        # oned refuses to delete an image that is being written or copied; it is done within the copy time.
        self.waits.copied(before)
        return self.call_delete()

    # -- create ----------------------------------------------------------------------------------------------------

    def plan_create(self) -> Plan[State | None]:
        params = self.params
        if not any(params[name] is not None for name in ("clone_from", "path", "size")):
            raise self.missing("to create it give path (a file or URL), size (an empty datablock) or clone_from")
        name = params["new_name"] or params["name"]
        plan = self._plan_allocate(name) if params["clone_from"] is None else self._plan_clone(name)
        if params["enabled"] is False:
            state_after(plan)["enabled"] = False
            self._add_switch(plan, f"disable image {name}", "enable", False)
        self.plan_access(plan, state_after(plan))
        return plan

    def _plan_allocate(self, name: str) -> Plan[State | None]:
        params = self.params
        attributes = self.final_attributes(Template(), self.attributes)
        kind = params["type"] or ("OS" if params["path"] else "DATABLOCK")
        target = self._datastore(FILES_DATASTORE if kind in FILE_TYPES else DEFAULT_DATASTORE)
        template = Template({"NAME": name, "TYPE": kind, "PERSISTENT": "YES" if params["persistent"] else "NO"})
        for option in ("path", "source", "size", "format", "fs"):
            if params[option] is not None:
                template[option.upper()] = str(params[option])
        template.update(attributes)
        stored = Template({key: value for key, value in attributes.items() if key not in CREATION_ONLY})
        after = self._fresh(name, stored)
        after.update(type=kind, path=params["path"] or "", size=params["size"], fs=params["fs"])
        after["persistent"] = bool(params["persistent"])
        plan: Plan[State | None] = Plan(after=after)
        plan.add(
            f"create image {name}",
            lambda: self._make(lambda: self.connection.call("one.image.allocate", template, target)),
        )
        return plan

    def _plan_clone(self, name: str) -> Plan[State | None]:
        params = self.params
        source = represent(self.cloned_body())
        target = self._datastore(-1)
        attributes = self.final_attributes(source["attributes"], self.attributes)
        after = self._fresh(name, attributes)
        after.update(type=params["type"] or source["type"], size=source["size"], persistent=params["persistent"])
        plan: Plan[State | None] = Plan(after=after)

        def clone() -> Any:
            self.waits.copied(source)
            return self.connection.call("one.image.clone", source["id"], name, target)

        plan.add(f"clone image {source['name']} to {name}", lambda: self._make(clone))
        update = update_for(source["attributes"], attributes)
        if update is not None:
            template, how = update
            plan.add(
                f"update attributes of image {name}",
                lambda: self.connection.call("one.image.update", self.object_id, template, how),
            )
        if after["type"] != source["type"]:
            self._add_switch(plan, f"make image {name} {after['type']}", "chtype", after["type"])
        # Whether a copy is persistent is oned's choice: as the source, or what DEFAULT_IMAGE_PERSISTENT says.
        if params["persistent"] is not None:
            word = "persistent" if params["persistent"] else "non-persistent"
            self._add_switch(plan, f"make image {name} {word}", "persistent", params["persistent"])
        return plan

    def _make(self, make: Callable[[], Any]) -> None:
        if self.leaving is not None:
            self.waits.gone(self.leaving)
        self.remember_id(make())

    def _datastore(self, default: int) -> int:
        """Return the id of the wanted datastore; images of the pool just read tell most names without a call."""
        wanted = self.params["datastore"]
        if wanted is None:
            return default
        for body in self.bodies:
            if text(body, "DATASTORE") == wanted:
                return number(body, "DATASTORE_ID")
        return datastore_id(self.connection, wanted)

    def _fresh(self, name: str, attributes: Template) -> State:
        return {
            **self.fresh_state(name, attributes),
            "state": "LOCKED",
            "state_id": 4,
            "enabled": True,
            "source": "",
            "format": "",
            "datastore": {"id": None, "name": self.params["datastore"]},
            "running_vms": 0,
            "vms": [],
            "labels": labels_of(attributes),
            "error": "",
        }

    # -- change ----------------------------------------------------------------------------------------------------

    def plan_change(self, before: State) -> Plan[State | None]:
        params = self.params
        stored = Template({key: value for key, value in self.attributes.items() if key not in CREATION_ONLY})
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
                if field != "type":
                    self._refuse_while_used(before, field, value)
                after[field] = value
                self._add_switch(plan, f"set {field} of image {before['name']} to {value}", method, value)
        self.plan_common(plan, before)
        return plan

    @staticmethod
    def _refuse_while_used(before: State, field: str, value: bool) -> None:
        if before["running_vms"]:
            raise OneActionError(
                f"{field} of image {before['name']} (id {before['id']}) cannot become {str(value).lower()} while VMs "
                f"use it; these are {users_of(before)}",
                hint="terminate them first",
            )

    def _add_switch(self, plan: Plan[State | None], what: str, method: str, value: Any) -> None:
        def switch() -> None:
            # Switches are refused while the image is being written or copied.
            self.waits.idle(self.known_id(), self.found)
            self.connection.call(f"one.image.{method}", self.object_id, value)

        plan.add(what, switch)

    def _unchangeable(self, before: State) -> list[str]:
        found = []
        for field in ("path", "source", "size", "format", "fs", "datastore"):
            value, there = self.params[field], before[field]
            # The size of an image made from a file is that of the file.
            if value is None or (field == "size" and before["path"]):
                continue
            known = (there["name"], str(there["id"])) if field == "datastore" else (there,)
            if value not in known:
                found.append(
                    f"image {before['name']} exists with {field} {known[0]!r}; {value!r} was not applied, "
                    "because OpenNebula cannot change it. Use another name or delete the image first"
                )
        return found
