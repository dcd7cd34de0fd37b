# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One service template of OneFlow as a resource of the runner."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import OneAuthorizationError, OneError, OneNotFoundError
from .lookups import Lookups
from .marks import require_mark
from .objects import checked_permissions
from .oneflow import OneFlow
from .runner import Plan, Resource, reject
from .service import mark_of, pick_document, template_view
from .service_template import comparable, desired_body, resolve_names
from .xml import permissions

KIND = "service template"

View = dict[str, Any]


class ServiceTemplateResource(Resource["View | None"]):
    """State: `service.template_view` of the template, None where there is none.

    params: id, name, new_name, state, template, mark, permissions as in the module one_service_template.
    """

    def __init__(self, flow: OneFlow, lookups: Lookups, params: Mapping[str, Any]) -> None:
        self._flow = flow
        self._lookups = lookups
        self._id: int | None = params.get("id")
        self._template: dict[str, Any] | None = params.get("template")
        self._name: str | None = params.get("name") or (self._template or {}).get("name")
        self._absent = params["state"] == "absent"
        self._mark: str | None = params.get("mark")
        self._new_name: str | None = params.get("new_name")
        self._permissions = checked_permissions(params.get("permissions"))

    # -- what the runner asks for -----------------------------------------------------------------------------------

    def read(self) -> View | None:
        if self._id is None:
            if not self._name:
                reject("the service template needs a name or an id", "set name")
            documents = self._flow.templates()
            document = pick_document(KIND, documents, str(self._name), self._mark)
            if document is None and self._new_name and not self._absent:
                # A second run after a rename finds the template under its new name.
                document = pick_document(KIND, documents, self._new_name, self._mark)
        else:
            document = self._by_id(self._id)
        return None if document is None else template_view(document)

    def plan(self, before: View | None) -> Plan[View | None]:
        if self._absent:
            plan: Plan[View | None] = Plan(after=None)
            if before is not None:
                number = before["id"]
                plan.add(f"delete {KIND} {before['name']} (id {number})", lambda: self._flow.delete_template(number))
            return plan
        if before is None:
            return self._plan_new()
        return self._plan_change(before)

    def settle(self, known: View | None, changed: bool) -> View | None:
        if not changed or self._absent:
            return known
        return template_view(self._flow.template(int(self._id or 0)))

    def facts(self, state: View | None) -> dict[str, Any]:
        return {"service_template": state or {}}

    def view(self, state: View | None) -> Any:
        if state is None:
            return {}
        shown = {
            "name": state["name"],
            "permissions": state["permissions"],
            "template": comparable(state["template"]),
        }
        return {key: value for key, value in shown.items() if value is not None}

    # -- planning ---------------------------------------------------------------------------------------------------

    def _by_id(self, number: int) -> Mapping[str, Any] | None:
        try:
            document = self._flow.template(number)
        except OneNotFoundError:
            if self._absent:
                return None
            raise
        require_mark(KIND, str(document["NAME"]), number, mark_of(document), self._mark)
        return document

    def _plan_new(self) -> Plan[View | None]:
        if self._template is None:
            reject(f"{KIND} {self._name} does not exist", "give template so that it can be made, or check the name")
        name = str(self._new_name or self._name)
        body = self._desired(name, None)
        after = {"id": None, "name": name, "permissions": self._permissions, "mark": self._mark, "template": body}
        plan: Plan[View | None] = Plan(after=after)
        plan.add(f"create {KIND} {name}", lambda: self._create(body))
        return plan

    def _plan_change(self, before: View) -> Plan[View | None]:
        number = int(before["id"])
        self._id = number
        name = str(self._new_name or before["name"])
        body = dict(before["template"])
        if self._template is not None:
            body = self._desired(name, before["template"])
        # A rename moves only the document's name; services take the one inside the body.
        body["name"] = name
        permissions_after = self._permissions or before["permissions"]
        after: View = {**before, "name": name, "permissions": permissions_after, "template": body}
        plan: Plan[View | None] = Plan(after=after)
        if before["name"] != name:
            plan.add(f"rename {KIND} {number} to {name}", lambda: self._rename(number, name))
        if comparable(body) != comparable(before["template"]):
            plan.add(f"update {KIND} {name} (id {number})", lambda: self._flow.replace_template(number, body))
        if permissions_after != before["permissions"]:
            plan.add(
                f"set permissions of {KIND} {name} (id {number}) to {self._permissions}",
                lambda: self._chmod(number, permissions_after),
            )
        return plan

    def _desired(self, name: str, current: Mapping[str, Any] | None) -> dict[str, Any]:
        resolved = resolve_names(self._template or {}, self._lookups.vm_template, self._lookups.network)
        return desired_body(resolved, name, self._mark, dict(current or {}))

    # -- writes, each read back where the server would hide a failure -----------------------------------------------

    def _create(self, body: dict[str, Any]) -> None:
        document = self._flow.create_template(body)
        self._id = int(document["ID"])
        if self._permissions is not None and permissions(document) != self._permissions:
            self._chmod(self._id, self._permissions)

    def _chmod(self, number: int, octal: str) -> None:
        self._flow.template_action(number, "chmod", {"octet": octal})
        found = permissions(self._flow.template(number))
        if found != octal:
            raise OneAuthorizationError(f"the permissions of {KIND} {number} stayed {found} instead of {octal}")

    def _rename(self, number: int, name: str) -> None:
        self._flow.template_action(number, "rename", {"name": name})
        found = str(self._flow.template(number)["NAME"])
        if found != name:
            raise OneError(
                f"{KIND} {number} is still named {found}",
                hint=f"check that this user may manage it and that {name} is valid",
            )
