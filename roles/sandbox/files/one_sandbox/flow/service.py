# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A running service: its document, its roles, and which role's turn it is."""

from __future__ import annotations

import time
from typing import Any

from ..oned.core import Oned
from ..oned.errors import OnedError
from ..oned.records import Session
from .documents import SERVICE as SERVICE_TYPE
from .documents import Document, Documents
from .errors import FlowError
from .role import Role
from .ruby import deep_merge, load_json, to_int
from .states import FAILED, ROLE, SERVICE, SERVICE_STATES, TRANSIENT

_LOG_LENGTH = 50
_IMMUTABLE = (
    "user_inputs", "user_inputs_values", "deployment", "log", "name", "networks", "networks_values",
    "ready_status_gate", "state", "start_time",
)  # fmt: skip
_ROLE_IMMUTABLE = ("cardinality", "last_vmname", "nodes", "parents", "state", "template_id")


class Service:
    """A service as read on behalf of `session`; `save` writes it back."""

    def __init__(self, oned: Oned, documents: Documents, session: Session, service_id: Any) -> None:
        """Raises OnedError, FlowError when the session may not read it or it is no service."""
        self.oned = oned
        self.session = session
        self._documents = documents
        self.document: Document = documents.read(session, service_id, SERVICE_TYPE)
        self._load_roles()

    def _load_roles(self) -> None:
        self.roles: dict[str, Role] = {}
        for item in self.body.get("roles") or []:
            item.setdefault("state", ROLE["PENDING"])
            self.roles[item["name"]] = Role(item, self)

    @property
    def id(self) -> int:
        return self.document.id

    @property
    def body(self) -> dict[str, Any]:
        return self.document.body

    @property
    def state(self) -> str:
        return SERVICE_STATES[to_int(self.body.get("state"))]

    @state.setter
    def state(self, name: str) -> None:
        self.body["state"] = SERVICE[name]
        self.log("I", f"New state: {name}")

    @property
    def straight(self) -> bool:
        return self.body.get("deployment") == "straight"

    @property
    def ready_gate(self) -> bool:
        return bool(self.body.get("ready_status_gate"))

    @property
    def on_hold(self) -> bool:
        return bool(self.body.get("on_hold"))

    @property
    def transient(self) -> bool:
        return self.state in TRANSIENT

    @property
    def can_undeploy(self) -> bool:
        blocked = (self.transient and self.state != "UNDEPLOYING") or self.state == "DONE" or self.state in FAILED
        return not blocked

    @property
    def can_update(self) -> bool:
        return not self.transient and self.state not in FAILED

    def log(self, severity: str, message: str) -> None:
        """severity: "I" or "E". The last 50 entries are kept."""
        entries = self.body.get("log") or []
        entries.append({"timestamp": int(time.time()), "severity": severity, "message": message})
        self.body["log"] = entries[-_LOG_LENGTH:]

    def call(self, method: str, *args: Any) -> Any:
        """A call to oned as the session of this service object."""
        return self.oned.call(self.session, method, *args)

    def save(self) -> None:
        self._documents.write(self.session, self.document)

    def delete(self) -> None:
        self._documents.delete(self.session, self.id)

    # -- whose turn it is ----------------------------------------------------------------------------------------

    def all_roles(self, state: str) -> bool:
        return all(role.state == state for role in self.roles.values())

    def roles_to_deploy(self) -> list[Role]:
        """`none`: all that wait; `straight`: those whose parents run."""
        if not self.straight:
            return [role for role in self.roles.values() if role.state in ("PENDING", "SCALING")]
        return self._after_parents("PENDING", "RUNNING")

    def roles_to_hold(self) -> list[Role]:
        return self._after_parents("PENDING", "HOLD") if self.straight else self._in_state("PENDING")

    def roles_to_release(self) -> list[Role]:
        return self._after_parents("HOLD", "RUNNING") if self.straight else self._in_state("HOLD")

    def roles_to_shut_down(self) -> list[Role]:
        """`straight`: those that no living role names as parent."""
        ended = ("UNDEPLOYING", "DONE", "FAILED_UNDEPLOYING")
        living = [role for role in self.roles.values() if role.state not in ended]
        if not self.straight:
            return living
        needed = {parent for role in self.roles.values() if role.state != "DONE" for parent in role.parents}
        return [role for role in living if role.name not in needed]

    def _in_state(self, state: str) -> list[Role]:
        return [role for role in self.roles.values() if role.state == state]

    def _after_parents(self, state: str, parents_state: str) -> list[Role]:
        ready = {role.name for role in self._in_state(parents_state)}
        return [role for role in self._in_state(state) if set(role.parents) <= ready]

    def emptied(self, role: Role) -> bool:
        """Must the service go now, because its last VM did (automatic_deletion)?"""
        if not self.body.get("automatic_deletion") or role.nodes:
            return False
        return not any(item.nodes for item in self.roles.values())

    # -- contents ------------------------------------------------------------------------------------------------

    def add_role(self, template: dict[str, Any]) -> Role:
        """Raises FlowError when the name is taken."""
        if template["name"] in self.roles:
            raise FlowError(f"Role {template['name']} already exists")
        template.setdefault("state", ROLE["PENDING"])
        self.body["roles"].append(template)
        role = self.roles[template["name"]] = Role(template, self)
        return role

    def remove_role(self, name: str) -> None:
        self.roles.pop(name)
        self.body["roles"] = [role for role in self.body["roles"] if role["name"] != name]

    def fill_template(self) -> None:
        """Put networks and user inputs into the roles' template_contents. Raises FlowError."""
        inputs = self.body.get("user_inputs_values") or {}
        try:
            for role in self.body["roles"]:
                contents = role.get("template_contents") or {}
                if contents.get("NIC"):
                    contents["NIC"] = [self._resolve_network(nic) for nic in contents["NIC"]]
                values = deep_merge(inputs, role.get("user_inputs_values") or {})
                if values:
                    contents.setdefault("CONTEXT", {})
                for key, value in values.items():
                    contents[key] = value
                    contents["CONTEXT"][key] = f"${key}"
                role["template_contents"] = contents
        except (AttributeError, TypeError, KeyError):
            raise FlowError("Error generating VM template contents") from None

    def _resolve_network(self, nic: dict[str, Any]) -> dict[str, Any]:
        wanted = nic.get("NETWORK_ID")
        if isinstance(wanted, str) and wanted.lstrip("$") != wanted:
            for network in self.body.get("networks_values") or []:
                if wanted[1:] in network:
                    nic["NETWORK_ID"] = network[wanted[1:]].get("id")
        return nic

    def networks(self) -> list[int]:
        """Ids of the networks that must be ready before the roles are deployed."""
        values = self.body.get("networks_values") or []
        return [to_int(net.get("id")) for item in values for net in item.values()]

    def create_networks(self) -> None:
        """Networks asked for by template or reservation. Raises OnedError."""
        for item in self.body.get("networks_values") or []:
            for name, net in item.items():
                label = f"{name}-{self.id}"
                if "id" in net:
                    continue
                if "template_id" in net:
                    extra = net.get("extra", "")
                    net["id"] = self.call("one.vntemplate.instantiate", to_int(net["template_id"]), label, extra)
                elif net.get("reserve_from") is not None and net.get("extra"):
                    extra = f'{net["extra"]}\nNAME="{label}"\n'
                    net["id"] = self.call("one.vn.reserve", to_int(net["reserve_from"]), extra)

    def delete_networks(self) -> None:
        """Remove what create_networks made; a network that will not go stays."""
        for item in self.body.get("networks_values") or []:
            for net in item.values():
                if "template_id" in net or "reserve_from" in net:
                    try:
                        self.call("one.vn.delete", to_int(net.get("id")))
                    except OnedError as error:
                        self.log("E", f"Error trying to delete Virtual Networks {net.get('id')}: {error.message}")

    def replace_body(self, text: str, append: bool) -> None:
        """PUT /service/:id. Raises FlowError for what may not change, JsonError."""
        template = load_json(text)
        if append:
            for key in _IMMUTABLE:
                if template.get(key) is not None:
                    raise _immutable(f"service/{key}")
            self.document.body = {**self.body, **template}
            return
        if len(template["roles"]) != len(self.roles):
            raise _immutable("service/roles size")
        for key in _IMMUTABLE:
            if template.get(key) != self.body.get(key):
                raise _immutable(f"service/{key}")
        for role in template["roles"]:
            if role.get("name") not in self.roles:
                raise FlowError("To change `service/name` use rename operation")
            for key in _ROLE_IMMUTABLE:
                if role.get(key) != self.roles[role["name"]].body.get(key):
                    raise _immutable(f"role/{key}")
        self.document.body = template


def _immutable(what: str) -> FlowError:
    return FlowError(f"Immutable value: `{what}` can not be changed")
