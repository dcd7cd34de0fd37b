# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One service template of OneFlow as a resource of the runner."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..api.oneflow import OneFlow
from ..core.lookups import Lookups
from ..core.runner import Plan, Resource, reject
from ..data.marks import mark_of as object_mark
from ..data.marks import require_mark
from ..data.xml import number, template_of, text
from ..document.access import Access, first_of_its_name, plan_access, taken_back, verify
from ..document.document import body_of, mark_of, template_view
from ..document.find import look_patiently, pick_document
from ..errors import OneError, OneNotFoundError, OneUsageError
from .body import comparable
from .checks import check_keys, check_parents, check_templates
from .names import resolve_names
from .wanted import desired_body

KIND = "service template"
#: Seconds between looks at clones of two runs at once, until it shows whose is complete.
CLONE_PATIENCE = (0.2, 0.5, 1.0, 2.0)

View = dict[str, Any]
Document = Mapping[str, Any]


class ServiceTemplateResource(Resource["View | None"]):
    """State: `service.template_view` of the template, None where there is none.

    params: id, name, new_name, state, template, update, remove_attributes, clone_from, clone_type, delete_type, owner,
    group, permissions and mark as in the module one_service_template.
    """

    def __init__(self, flow: OneFlow, lookups: Lookups, params: Mapping[str, Any]) -> None:
        self._flow = flow
        self._lookups = lookups
        self._params = params
        self._id: int | None = params.get("id")
        self._template: dict[str, Any] | None = params.get("template")
        self._name: str | None = params.get("name") or (self._template or {}).get("name")
        self._absent = params["state"] == "absent"
        self._mark: str | None = params.get("mark")
        self._new_name: str | None = params.get("new_name")
        self._access = Access.from_params(params)
        self._known: frozenset[int] = frozenset()
        self._source: Document | None = None
        #: The name of what is to be cloned where check mode can only hope that an earlier task makes it.
        self._promised_source: str | None = None
        #: The document as the last write left it.
        self._document: Document | None = None
        self._warnings: list[str] = []
        #: About keys that OneFlow does not know.
        self._doubts: list[str] = []

    # -- what the runner asks for -----------------------------------------------------------------------------------

    def read(self) -> View | None:
        if self._id is None:
            document = self._by_name()
        else:
            document = self._by_id(self._id)
        return None if document is None else template_view(document)

    def plan(self, before: View | None) -> Plan[View | None]:
        if self._absent:
            return self._plan_absent(before)
        plan = self._plan_new() if before is None else self._plan_change(before)
        plan.warnings += [*self._doubts, *self._lookups.warnings, *self._warnings]
        return plan

    def settle(self, known: View | None, changed: bool) -> View | None:
        if not changed or self._absent:
            return known
        return template_view(self._document or self._flow.template(int(self._id or 0)))

    def facts(self, state: View | None) -> dict[str, Any]:
        return {"service_template": state or {}}

    def view(self, state: View | None) -> Any:
        if state is None:
            return {}
        shown = {
            "name": state["name"],
            "owner": state["owner"]["name"],
            "group": state["group"]["name"],
            "permissions": state["permissions"],
            "template": comparable(state["template"]),
        }
        return {key: value for key, value in shown.items() if value is not None}

    # -- reading ----------------------------------------------------------------------------------------------------

    def _by_name(self) -> Document | None:
        if not self._name:
            reject("the service template needs a name or an id", "set name")
        found, documents = look_patiently(self._flow.templates, self._choose)
        self._known = frozenset(int(document["ID"]) for document in documents)
        if found is None and self._params.get("clone_from") and not self._absent:
            self._source = self._find_source(documents, str(self._params["clone_from"]).strip())
        return found

    def _choose(self, documents: Sequence[Document]) -> Document | None:
        owner = self._params.get("owner")
        if self._absent:
            return pick_document(KIND, documents, str(self._name), self._mark, owner)
        # A second run after a rename finds the template under its new name.
        for name in filter(None, (self._name, self._new_name)):
            found = pick_document(KIND, documents, name, self._mark, owner, self._flow.username)
            if found is not None:
                return found
        return None

    def _find_source(self, documents: Sequence[Document], reference: str) -> Document | None:
        """The service template to clone, by name or id; in check mode None where it is not there yet."""
        if reference.isdigit():
            found = next((document for document in documents if str(document["ID"]) == reference), None)
        else:
            found = pick_document(KIND, documents, reference, None)
            if found is None and self._lookups.check_mode:
                self._promised_source = self._lookups.promised(KIND, reference)
                return None
        if found is None:
            raise OneUsageError(f"{KIND} {reference} (clone_from) does not exist, or this user may not see it")
        return found

    def _by_id(self, number: int) -> Document | None:
        try:
            document = self._flow.template(number)
        except OneNotFoundError:
            if self._absent:
                return None
            raise
        require_mark(KIND, str(document["NAME"]), number, mark_of(document), self._mark)
        return document

    # -- planning ---------------------------------------------------------------------------------------------------

    def _plan_absent(self, before: View | None) -> Plan[View | None]:
        plan: Plan[View | None] = Plan(after=None)
        if before is None:
            return plan
        number, how = before["id"], self._params.get("delete_type") or "none"
        what = f"delete {KIND} {before['name']} (id {number})"
        if how != "none":
            ids = sorted({int(role["template_id"]) for role in before["template"].get("roles") or []})
            self._check_vm_templates(ids, how)
            images = " and their images" if how == "all" else ""
            what += f" with its VM templates {', '.join(str(one) for one in ids) or '(none)'}{images}"
        plan.add(what, lambda: self._delete(number, how))
        return plan

    def _check_vm_templates(self, ids: Sequence[int], how: str) -> None:
        """With a mark, no VM template may go that does not carry it."""
        if self._mark is None:
            return
        if how == "all":
            reject("delete_type all does not look at the marks of images", "delete the images with one_image")
        for body in self._lookups.vm_template_bodies():
            if number(body, "ID") in ids:
                name, found = text(body, "NAME"), object_mark(template_of(body))
                require_mark("VM template", name, number(body, "ID"), found, self._mark)

    def _plan_new(self) -> Plan[View | None]:
        name = str(self._new_name or self._name)
        source = self._source
        if source is None and self._template is None and self._promised_source is None:
            reject(f"{KIND} {name} does not exist", "give template so that it can be made, or check the name")
        body = self._desired(name, template_view(source)["template"] if source else None)
        access = self._access.predicted(None, self._lookups)
        plan: Plan[View | None] = Plan({"id": None, "name": name, "mark": self._mark, "template": body, **access})
        recursive = self._params.get("clone_type") or "none"
        if self._promised_source is not None:
            plan.add(f"clone {KIND} {self._promised_source} to {name}", lambda: None)
        elif source is None:
            plan.add(f"create {KIND} {name}", lambda: self._make(lambda: self._flow.create_template(body)))
        elif recursive == "none":
            # A copy made from the body has the right name and mark from its first moment.
            words = f"clone {KIND} {source['NAME']} (id {source['ID']}) to {name}"
            plan.add(words, lambda: self._make(lambda: self._flow.create_template(body)))
        else:
            number = int(source["ID"])
            with_what = "VM templates and images" if recursive == "all" else "VM templates"
            plan.add(
                f"clone {KIND} {source['NAME']} (id {number}) to {name} with its {with_what}",
                lambda: self._make(lambda: self._clone(source, name, recursive), recursive, source),
            )
        return plan

    def _plan_change(self, before: View) -> Plan[View | None]:
        number = int(before["id"])
        self._id = number
        name = str(self._new_name or before["name"])
        body = self._desired(name, before["template"])
        after: View = {**before, "name": name, "template": body, **self._access.predicted(before, self._lookups)}
        plan: Plan[View | None] = Plan(after=after)
        if before["name"] != name:
            plan.add(f"rename {KIND} {number} to {name}", lambda: self._act({"name": name}, "rename", {"name": name}))
        if comparable(body) != comparable(before["template"]):
            plan.add(f"update {KIND} {name} (id {number})", lambda: self._replace(number, body))
        plan_access(
            plan,
            f"{KIND} {name} (id {number})",
            before,
            after,
            lambda perform, params: self._act(_written(perform, after), perform, params),
        )
        return plan

    def _desired(self, name: str, current: dict[str, Any] | None) -> dict[str, Any]:
        template = self._template
        where = f"{KIND} {name}"
        if template is not None:
            self._doubts = check_keys(template.get("roles"), where)
            template = resolve_names(template, self._lookups.vm_template, self._lookups.network)
        # A clone begins as its source, and what is asked is laid over it, also when it is there already.
        merge = self._params.get("update") == "merge" or bool(self._params.get("clone_from"))
        remove = self._params.get("remove_attributes") or []
        body = desired_body(template, name, self._mark, current, merge=merge, remove=remove)
        # What a clone of something that is not there yet begins with is not known.
        if self._promised_source is None and template is not None:
            replacing = current is not None and not merge
            hint = "give the whole role, or set update to merge" if replacing else "give template or template_id in it"
            check_templates(template.get("roles"), body, where, hint)
        if self._promised_source is None and (template is not None or remove):
            check_parents(body, where)
        # A rename moves only the document's name; services take the one inside the body.
        body["name"] = name
        return body

    # -- writes, each read back where the server would hide a failure -----------------------------------------------

    def _make(
        self, first: Callable[[], Document], own_objects: str = "none", source: Document | None = None
    ) -> None:
        """Create, give way to another run that was faster, and do what creation could not say.

        own_objects: the delete_type that takes back what `first` made beside the service template.
        source: of a clone with VM templates, where only a complete one is a rival: another cannot get their names.
        """
        mine = first()
        self._id = int(mine["ID"])
        self._document = mine
        rivals = [one for one in self._flow.templates() if source is None or is_complete(one, source)]
        other = first_of_its_name(rivals, mine, mark_of, self._known, self._params.get("owner"))
        if other is not None:
            self._delete(self._id, own_objects)
            self._id = None
            error = taken_back(KIND, str(mine["NAME"]), mine["ID"], other["ID"])
            self._warnings.append(error.text)
            raise error
        for step in self._plan_change(template_view(self._document)).steps:
            step.do()

    def _clone(self, source: Document, name: str, recursive: str) -> Document:
        try:
            return self._flow.clone_template(int(source["ID"]), name, recursive)
        except OneError:
            # OneFlow takes back the VM templates, and leaves the clone of the service template.
            winner = self._take_back_clone(source, name)
            if winner is None:
                raise
            # Another run was faster, and the VM templates have their names already.
            return winner

    def _take_back_clone(self, source: Document, name: str) -> Document | None:
        """Delete what a failed clone left, and return the one of another run, if there is one.

        Which of several is ours nobody tells. That of a run that goes on gets VM templates of its own, ours never does.
        """
        complete: list[Document] = []
        for pause in (0.0, *CLONE_PATIENCE):
            time.sleep(pause)
            made = [one for one in self._flow.templates() if one["NAME"] == name and int(one["ID"]) not in self._known]
            complete = [one for one in made if is_complete(one, source)]
            left = [one for one in made if one not in complete]
            if len(left) < 2:
                break
        if left:
            self._delete(max(int(one["ID"]) for one in left), "none")
        return min(complete, key=lambda one: int(one["ID"])) if complete else None

    def _replace(self, number: int, body: dict[str, Any]) -> None:
        self._document = self._flow.replace_template(number, body)

    def _act(self, wanted: View, perform: str, params: dict[str, Any]) -> None:
        """An action to which OneFlow says yes whatever happens: done only if the document says so too."""
        self._flow.template_action(int(self._id or 0), perform, params)
        self._document = self._flow.template(int(self._id or 0))
        verify(f"{KIND} {self._id}", template_view(self._document), wanted)

    def _delete(self, number: int, how: str) -> None:
        try:
            self._flow.delete_template(number, how)
        except OneNotFoundError:
            if how != "none":
                # One of its VM templates may be what is missing.
                raise


def is_complete(clone: Mapping[str, Any], source: Mapping[str, Any]) -> bool:
    """Whether a clone with VM templates has got its own: until then its roles name those of the source."""
    theirs, ours = ({role.get("template_id") for role in body_of(one).get("roles") or []} for one in (source, clone))
    return not theirs & ours


def _written(perform: str, after: View) -> View:
    return {"permissions": after["permissions"]} if perform == "chmod" else {
        "owner": after["owner"], "group": after["group"],
    }
