# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What images, VM templates and VMs have in common: id or name, owner, permissions, labels, attributes, a mark."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..api.connection import Connection
from ..data.compare import merged, replaced, update_for, without
from ..data.marks import MARK_ATTRIBUTE, mark_of, require_mark
from ..data.template import Template, normalise
from ..data.xml import checked_permissions, common_fields, number, permission_bits, split_labels, template_of, text
from ..errors import OneActionError, OneError, OneNotFoundError, OneUsageError
from .lock import explain_lock, lock_argument_spec, lock_of, plan_lock, same_lock
from .pools import checked_name, group_id, pick, read_one, read_pool, unknown_name, user_id
from .runner import NOTHING_DONE, Plan, Resource

# The state of an object as modules return it, see common_fields; None where the object does not exist.
State = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """How oned names one type of object: word for people, XML element, prefix of its calls, call for the pool."""

    word: str
    element: str
    prefix: str
    pool: str
    template: str = "TEMPLATE"


IMAGE = Kind("image", "IMAGE", "one.image", "one.imagepool.info")
VM_TEMPLATE = Kind("VM template", "VMTEMPLATE", "one.template", "one.templatepool.info")
VM = Kind("VM", "VM", "one.vm", "one.vmpool.info", template="USER_TEMPLATE")


def object_argument_spec() -> dict[str, dict[str, Any]]:
    """Return the options that images and VM templates share."""
    return {
        "id": {"type": "int"},
        "name": {"type": "str"},
        "new_name": {"type": "str"},
        "owner": {"type": "str"},
        "group": {"type": "str"},
        "permissions": {"type": "str"},
        "labels": {"type": "list", "elements": "str"},
        "remove_attributes": {"type": "list", "elements": "str", "default": []},
        "clone_from": {"type": "str"},
        **lock_argument_spec(),
        "mark": {"type": "str"},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    }


class ObjectResource(Resource["State | None"]):
    """Base of the image and VM template resources."""

    kind: Kind

    def __init__(self, connection: Connection, params: Mapping[str, Any]) -> None:
        self.connection = connection
        self.params = params
        self.object_id: int | None = params.get("id")
        # The pool, where it had to be read to find a name.
        self.bodies: list[dict[str, Any]] = []
        self.clone_source: dict[str, Any] | None = None
        checked_permissions(params.get("permissions"))
        for option in ("name", "new_name"):
            checked_name(params.get(option), option)

    # -- reading ---------------------------------------------------------------------------------------------------

    @abstractmethod
    def represent(self, body: Mapping[str, Any]) -> State:
        """Return the user's view of one XML body."""

    def read(self) -> State | None:
        body = self._find()
        if body is None:
            return None
        state = self.represent(body)
        self.object_id = state["id"]
        self._check_mark(state)
        return state

    def read_back(self) -> State | None:
        """Return the present state of the object that was read or created; None when it is gone."""
        return None if self.object_id is None else self.read_id(self.object_id)

    def read_id(self, object_id: int) -> State | None:
        """Return the present state of any object of this kind; None when it is gone."""
        body = read_one(self.connection, f"{self.kind.prefix}.info", object_id)
        return None if body is None else self.represent(body)

    def must_read_back(self) -> State:
        """Return the present state of the object that was just created or changed, which must exist."""
        state = self.read_back()
        if state is None:
            raise OneActionError(
                f"{self.kind.word} {self.object_id} does not exist, though OpenNebula says that it was made or changed",
                hint="somebody deleted it meanwhile, or something between here and OpenNebula answered in its place",
            )
        return state

    def known_id(self) -> int:
        """Return the id of the object that was read or created."""
        if self.object_id is None:
            raise ValueError("the object has no id before it is created")
        return self.object_id

    def _find(self) -> dict[str, Any] | None:
        params, word = self.params, self.kind.word
        if params["id"] is not None:
            body = read_one(self.connection, f"{self.kind.prefix}.info", params["id"])
            if body is None and params["state"] != "absent":
                raise OneUsageError(f"{word} {params['id']} does not exist", hint="create it by giving a name, no id")
            return body
        self.bodies = read_pool(self.connection, self.kind.pool, self.kind.element)
        body = self._pick(params["name"])
        if body is None and params.get("new_name") and params["state"] != "absent":
            # A second run after a rename finds the object under its new name.
            body = self._pick(params["new_name"])
        self._remember_clone_source()
        return body

    def missing(self, hint: str) -> OneUsageError:
        """Return the refusal of an object that does not exist and cannot be made of what was given."""
        return OneUsageError(unknown_name(self.kind.word, self.params["name"], self.params["owner"]), hint=hint)

    def _pick(self, name: str) -> dict[str, Any] | None:
        return pick(self.bodies, self.kind.word, name, self.params.get("owner"))

    def _remember_clone_source(self) -> None:
        """Find the source of a clone in the pool just read, so that cloning costs no second look."""
        source = self.params.get("clone_from")
        if not source or self.params["state"] == "absent":
            return
        if source.strip().isdigit():
            found = [body for body in self.bodies if body.get("ID") == source.strip()]
            self.clone_source = found[0] if found else None
        else:
            self.clone_source = pick(self.bodies, self.kind.word, source)

    def _check_mark(self, state: State) -> None:
        require_mark(self.kind.word, state["name"], state["id"], mark_of(state["attributes"]), self.params.get("mark"))

    # -- planning --------------------------------------------------------------------------------------------------

    def plan(self, before: State | None) -> Plan[State | None]:
        if self.params["state"] == "absent":
            return Plan(after=None) if before is None else self.plan_absent(before)
        return self.plan_create() if before is None else self.plan_change(before)

    @abstractmethod
    def plan_absent(self, before: State) -> Plan[State | None]:
        """Return how to remove the object that was read."""

    @abstractmethod
    def plan_create(self) -> Plan[State | None]:
        """Return how to make the object, which does not exist."""

    @abstractmethod
    def plan_change(self, before: State) -> Plan[State | None]:
        """Return how to make the object that was read what it shall be."""

    def final_attributes(self, current: Template, wanted: Template, replace: bool = False) -> Template:
        """Return what TEMPLATE shall be: merged or replaced, names removed, labels and mark set."""
        if replace:
            after = replaced(current, wanted, keep=("LABELS", MARK_ATTRIBUTE))
        else:
            after = merged(current, wanted)
        after = without(after, self.params.get("remove_attributes") or [])
        labels = self.params.get("labels")
        if labels is not None:
            joined = ",".join(split_labels(labels))
            if split_labels([str(after.get("LABELS", ""))]) != split_labels(labels):
                after["LABELS"] = joined
        if self.params.get("mark"):
            after[MARK_ATTRIBUTE] = self.params["mark"]
        return after

    def plan_common(self, plan: Plan[State | None], before: State) -> None:
        """Add the writes for name, attributes, permissions, owner, group and lock; plan.after holds the wanted ones."""
        after = state_after(plan)
        word, prefix = self.kind.word, self.kind.prefix
        if after["name"] != before["name"]:
            self._refuse_taken(before, after["name"])
            plan.add(
                f"rename {word} {before['name']} to {after['name']}",
                lambda: self.connection.call(f"{prefix}.rename", self.object_id, after["name"]),
            )
        update = update_for(before["attributes"], after["attributes"])
        if update is not None:
            template, how = update
            plan.add(
                f"update attributes of {word} {after['name']}",
                lambda: self.connection.call(f"{prefix}.update", self.object_id, template, how),
            )
        self.plan_access(plan, before)

    def _refuse_taken(self, before: State, name: str) -> None:
        """Refuse a new name that the owner gave to another object, as far as the pool was read anyway."""
        owner = before["owner"]["id"]
        for body in self.bodies:
            if text(body, "NAME") == name and number(body, "UID") == owner and number(body, "ID") != before["id"]:
                raise OneUsageError(
                    f"{self.kind.word} {before['name']} cannot be renamed to {name}: {before['owner']['name']} has "
                    f"{self.kind.word} {number(body, 'ID')} of that name",
                    hint="choose another new_name, or remove that object first",
                )

    def plan_access(self, plan: Plan[State | None], before: State) -> None:
        """Add chmod, chown and lock where they differ. Last of all: afterwards the user may have no rights left."""
        self._plan_permissions(plan, before)
        self._plan_owner(plan, before)
        after = state_after(plan)
        what = f"{self.kind.word} {after['name']}"
        after["lock"] = plan_lock(plan, before["lock"], self.params.get("lock"), what, self.call_lock)

    def call_lock(self, verb: str, *level: int) -> None:
        """Make the call lock or unlock."""
        self.connection.call(f"{self.kind.prefix}.{verb}", self.object_id, *level)

    def explain(self, error: OneError, before: State | None) -> OneError:
        return error if before is None else explain_lock(error, before["lock"])

    def _plan_permissions(self, plan: Plan[State | None], before: State) -> None:
        after = state_after(plan)
        word, prefix = self.kind.word, self.kind.prefix
        permissions = self.params.get("permissions")
        if permissions and permissions != before["permissions"]:
            after["permissions"] = permissions
            plan.add(
                f"set permissions of {word} {after['name']} to {permissions}",
                lambda: self.connection.call(f"{prefix}.chmod", self.object_id, *permission_bits(permissions)),
            )

    def _plan_owner(self, plan: Plan[State | None], before: State) -> None:
        after = state_after(plan)
        word, prefix = self.kind.word, self.kind.prefix
        owner = self._other(self.params.get("owner"), before["owner"])
        group = self._other(self.params.get("group"), before["group"])
        if owner is None and group is None:
            return
        # Names become ids while planning: an unknown user must fail before anything is written.
        uid = -1 if owner is None else user_id(self.connection, owner)
        gid = -1 if group is None else group_id(self.connection, group)
        if owner is not None:
            after["owner"] = {"id": uid, "name": owner}
        if group is not None:
            after["group"] = {"id": gid, "name": group}
        plan.add(
            f"give {word} {after['name']} to {owner or 'the same owner'}, group {group or 'unchanged'}",
            lambda: self.connection.call(f"{prefix}.chown", self.object_id, uid, gid),
        )

    def plan_delete(self, before: State, what: str = "", delete: Callable[[], Any] | None = None) -> Plan[State | None]:
        """Return the plan that deletes the object; only `lock: none` takes a lock away for that."""
        word = f"{self.kind.word} {before['name']}"
        plan: Plan[State | None] = Plan(after=None)
        plan.add(what or f"delete {word}", lambda: self.deleted(delete or self.call_delete))
        if same_lock(self.params.get("lock")) == "none":

            def call(verb: str, *level: int) -> Any:
                return self.deleted(lambda: self.call_lock(verb, *level))

            plan_lock(plan, before["lock"], "none", word, call)
        return plan

    def call_delete(self, *arguments: Any) -> Any:
        """Make the delete call."""
        return self.connection.call(f"{self.kind.prefix}.delete", self.object_id, *arguments)

    @staticmethod
    def deleted(call: Callable[[], Any]) -> Any:
        """Make a call on the way to deletion; an object that another run has deleted meanwhile is just as gone."""
        try:
            return call()
        except OneNotFoundError:
            return NOTHING_DONE

    def fresh_state(self, name: str, attributes: Template) -> State:
        """Return the predicted state of an object that this user is about to create."""
        return {
            "id": None,
            "name": name,
            "owner": {"id": None, "name": self.connection.settings.username},
            "group": {"id": None, "name": None},
            "permissions": None,
            "lock": "none",
            "attributes": attributes,
        }

    def cloned_body(self) -> dict[str, Any]:
        """Return the object named in clone_from, or refuse."""
        if self.clone_source is None:
            raise OneUsageError(
                f"{self.kind.word} {self.params['clone_from']} (clone_from) does not exist, or this user may not see it"
            )
        return self.clone_source

    def remember_id(self, object_id: Any) -> None:
        """Keep the id that an allocate or clone call returned, for the steps after it."""
        self.object_id = int(object_id)

    # -- results ---------------------------------------------------------------------------------------------------

    def view(self, state: State | None) -> Any:
        if state is None:
            return {}
        shown = {**state, "owner": state["owner"]["name"], "group": state["group"]["name"]}
        # What is not known before an object exists is None in its prediction and no part of the difference.
        return {key: value for key, value in shown.items() if key not in self.volatile and value is not None}

    # Fields that no option of the module sets, left out of differences.
    volatile: frozenset[str] = frozenset({"id"})

    @staticmethod
    def _other(wanted: str | None, current: Mapping[str, Any]) -> str | None:
        if wanted is None or wanted in (current["name"], str(current["id"])):
            return None
        return wanted


def state_after(plan: Plan[State | None]) -> State:
    """Return the state that a plan leads to which does not remove its object."""
    if plan.after is None:
        raise ValueError("a plan that removes its object leaves no state")
    return plan.after


def base_state(body: Mapping[str, Any], kind: Kind) -> State:
    """Return the common fields, the lock and the attributes of a body."""
    return {**common_fields(dict(body)), "lock": lock_of(body), "attributes": template_of(dict(body), kind.template)}


def wanted_attributes(value: Any, reserved: Mapping[str, str], option: str = "attributes") -> Template:
    """Return normalised attributes; names that have an option of their own are refused with the option to use."""
    if value is not None and not isinstance(value, (Mapping, str)):
        raise OneUsageError(f"{option} must be a dictionary or template text")
    template = normalise(value)
    for name, option in reserved.items():
        if name in template:
            raise OneUsageError(f"{name} cannot be given as an attribute; use the option {option}")
    return template
