# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VM templates: create, clone, merge or replace attributes, rename, delete, with their images if that is wanted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..api.settings import api_argument_spec
from ..core.objects import (
    VM_TEMPLATE,
    ObjectResource,
    State,
    base_state,
    object_argument_spec,
    state_after,
    wanted_attributes,
)
from ..core.pools import read_one
from ..core.runner import Plan
from ..data.compare import update_for
from ..data.template import Template
from ..data.xml import labels_of, number
from ..errors import OneUsageError
from .images import TemplateImages, copied_disks

RESERVED = {"NAME": "name"}


def argument_spec() -> dict[str, dict[str, Any]]:
    """Return the complete argument spec of one_template."""
    return {
        **api_argument_spec(),
        **object_argument_spec(),
        "template": {"type": "raw"},
        "update": {"type": "str", "choices": ["merge", "replace"], "default": "merge"},
        "recursive": {"type": "bool", "default": False},
    }


def represent(body: Mapping[str, Any]) -> State:
    """Return a VM template as modules hand it to a play."""
    state = base_state(body, VM_TEMPLATE)
    state["labels"] = labels_of(state["attributes"])
    state["registered"] = number(body, "REGTIME")
    return state


def password_of(attributes: Mapping[str, Any]) -> str | None:
    """Return CONTEXT.PASSWORD, None where there is none."""
    context = attributes.get("CONTEXT")
    return context.get("PASSWORD") if isinstance(context, dict) else None


class TemplateResource(ObjectResource):
    """One VM template, by id or name, present (possibly cloned) or absent."""

    kind = VM_TEMPLATE
    volatile = frozenset({"id", "labels", "registered"})

    def __init__(self, connection: Any, params: Mapping[str, Any]) -> None:
        super().__init__(connection, params)
        self.wanted = wanted_attributes(params.get("template"), RESERVED, "template")
        self.images = TemplateImages(connection)

    def represent(self, body: Mapping[str, Any]) -> State:
        return represent(body)

    def read(self) -> State | None:
        state = super().read()
        if state is None:
            return None
        wanted, there = (password_of(one) for one in (self.wanted, state["attributes"]))
        if wanted is not None and there is not None and wanted != there:
            # oned shows this one attribute encrypted; administrators get it in clear, so that it can be compared.
            body = read_one(self.connection, "one.template.info", state["id"], False, True)
            return state if body is None else represent(body)
        return state

    def settle(self, known: State | None, changed: bool) -> State | None:
        if self.params["state"] == "absent":
            self.images.check_deleted()
            return None
        return known if known is not None else self.must_read_back()

    def facts(self, state: State | None) -> dict[str, Any]:
        return {"template": state or {}}

    def plan_absent(self, before: State) -> Plan[State | None]:
        if not self.params["recursive"]:
            return self.plan_delete(before, delete=lambda: self.call_delete(False))
        listed = self.images.to_delete(before)
        what = f"delete VM template {before['name']}" + (f" and its images {listed}" if listed else "")
        return self.plan_delete(before, what, lambda: self.call_delete(True))

    def plan_create(self) -> Plan[State | None]:
        params = self.params
        name = params["new_name"] or params["name"]
        if params["clone_from"] is not None:
            return self._plan_clone(name)
        if params["template"] is None:
            raise self.missing("to create it give template or clone_from")
        attributes = self.final_attributes(Template(), self.wanted)
        text = Template({"NAME": name, **attributes})
        plan: Plan[State | None] = Plan(after={**self.fresh_state(name, attributes), **self._extra(attributes)})
        plan.add(
            f"create VM template {name}",
            lambda: self.remember_id(self.connection.call("one.template.allocate", text)),
        )
        self.plan_access(plan, state_after(plan))
        return plan

    def _plan_clone(self, name: str) -> Plan[State | None]:
        recursive = self.params["recursive"]
        if recursive and "DISK" in self.wanted:
            raise OneUsageError(
                "template.DISK says which disks the clone shall have, recursive that they shall be copies of the "
                "source's images",
                hint="leave one of them out",
            )
        source = represent(self.cloned_body())
        cloned = copied_disks(source["attributes"]) if recursive else source["attributes"]
        attributes = self._final(cloned)
        plan: Plan[State | None] = Plan(after={**self.fresh_state(name, attributes), **self._extra(attributes)})
        with_images = " and its images" if recursive else ""
        plan.add(
            f"clone VM template {source['name']}{with_images} to {name}",
            lambda: self.remember_id(self.connection.call("one.template.clone", source["id"], name, recursive)),
        )
        if update_for(cloned, attributes) is not None:
            plan.add(f"update attributes of VM template {name}", lambda: self._update_clone(cloned, recursive))
        self.plan_access(plan, state_after(plan))
        return plan

    def _update_clone(self, cloned: Template, recursive: bool) -> None:
        if recursive:
            # Only now it is known which images the copies are.
            cloned = self.must_read_back()["attributes"]
        update = update_for(cloned, self._final(cloned))
        if update is not None:
            self.connection.call("one.template.update", self.object_id, *update)

    def _final(self, current: Template) -> Template:
        """Return what the attributes shall be; disks that were copied for a clone stay in any case."""
        replace = self.params["update"] == "replace" and self.params["template"] is not None
        after = self.final_attributes(current, self.wanted, replace)
        if self.params["recursive"] and self.params["clone_from"] is not None and "DISK" in current:
            after.setdefault("DISK", current["DISK"])
        return after

    def plan_change(self, before: State) -> Plan[State | None]:
        after = {
            **before,
            "name": self.params["new_name"] or before["name"],
            "attributes": self._final(before["attributes"]),
        }
        plan: Plan[State | None] = Plan(after=after)
        self.plan_common(plan, before)
        return plan

    @staticmethod
    def _extra(attributes: Template) -> dict[str, Any]:
        return {"labels": labels_of(attributes), "registered": None}
