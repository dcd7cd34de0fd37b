# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What follows when VMs reach or leave the states that services wait for."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from ..oned.core import Oned
from ..oned.errors import OnedError
from ..oned.records import Session
from ..oned.template import xml_to_dict
from .documents import Documents
from .errors import FlowError
from .role import Role
from .ruby import to_int
from .service import Service
from .vms import VmState
from .waits import Key, Wait, Waits
from .watch import Event, Watchdog

_LOG = logging.getLogger(__name__)
_VNET_READY, _VNET_USED, _VNET_ERROR = 1, 2, 5


class Reactions:
    """The part of the life cycle that nobody asks for directly. `look` is called with `lock` held."""

    def __init__(self, oned: Oned, documents: Documents) -> None:
        self.oned = oned
        self.documents = documents
        self.lock = threading.RLock()
        self.waits = Waits()
        self.watchdog = Watchdog()

    # -- steps that clients and reactions share ------------------------------------------------------------------

    def owner(self, service: Service) -> Session:
        """A session of the service's owner; oneadmin's when that user is gone."""
        try:
            return self.oned.session_for(service.document.uid)
        except OnedError:
            return self.oned.session_for(0)

    def deploy_roles(self, service: Service, roles: list[Role], state: str, error_state: str, kind: str) -> None:
        """Create the roles' VMs and wait for them. Raises FlowError; the role then has error_state."""
        for role in roles:
            if role.state == "PENDING" and (service.on_hold or self._parent_on_hold(service, role)):
                role.body["on_hold"] = True
            try:
                nodes = set(role.deploy())
            except FlowError as error:
                role.state = error_state
                raise FlowError(f"Error deploying role {role.name}: {error.message}") from None
            if role.on_hold and role.state == "PENDING":
                role.state = "HOLD"
                self.waits.add(service.id, role.name, Wait("hold", nodes))
            else:
                role.state = state
                self.waits.add(service.id, role.name, Wait(kind, nodes, service.ready_gate))

    @staticmethod
    def _parent_on_hold(service: Service, role: Role) -> bool:
        return any(service.roles[parent].on_hold for parent in role.parents if parent in service.roles)

    def shut_down_roles(self, service: Service, roles: list[Role], state: str, error_state: str, kind: str) -> None:
        """Terminate VMs of the roles and wait for them. Raises FlowError; the role then has error_state."""
        for role in roles:
            try:
                nodes = set(role.shutdown())
            except FlowError as error:
                role.state = error_state
                raise FlowError(f"Error undeploying role {role.name}: {error.message}") from None
            role.state = state
            self.waits.add(service.id, role.name, Wait(kind, nodes))

    def release_roles(self, service: Service, roles: list[Role], kind: str) -> None:
        """Release held VMs of the roles and wait for them. Raises FlowError."""
        for role in roles:
            try:
                nodes = set(role.release())
            except FlowError:
                role.state = "FAILED_DEPLOYING"
                raise
            role.state = "DEPLOYING"
            self.waits.add(service.id, role.name, Wait(kind, nodes, service.ready_gate))

    def undeploy_roles(self, service: Service) -> None:
        """Begin the end of a service. Raises FlowError."""
        self.watchdog.remove(service.id)
        roles = service.roles_to_shut_down()
        if not roles:
            self.waits.cancel(service.id)
            service.delete()
            return
        self._finish(service, "UNDEPLOYING", "FAILED_UNDEPLOYING", self.shut_down_roles,
                     roles, "UNDEPLOYING", "FAILED_UNDEPLOYING", "undeploy")  # fmt: skip

    def _finish(
        self, service: Service, state: str, error_state: str, step: Callable[..., None], *args: Any
    ) -> None:
        try:
            step(service, *args)
        except FlowError:
            service.state = error_state
            service.save()
            raise
        service.state = state
        service.save()

    # -- waits that end ------------------------------------------------------------------------------------------

    def look(self, states: Mapping[int, VmState]) -> None:
        """React to what the VMs did since the last look."""
        for key, wait in self.waits.items():
            well = self._networks_ready(wait) if wait.kind in ("nets", "nets_gone") else wait.look(states)
            if well is not None:
                self.waits.pop(key, wait)
                self._guard(self._wait_ended, key, wait, well)
        self.watchdog.look(states, lambda service_id, event: self._guard(self._vm_changed, service_id, event))

    def _guard(self, step: Callable[..., None], *args: Any) -> None:
        try:
            step(*args)
        except (FlowError, OnedError) as error:
            # Nobody is there to be told; the state of the service and its log say what happened.
            _LOG.warning("A step of a service failed: %s", error)

    def _networks_ready(self, wait: Wait) -> bool | None:
        for network_id in wait.networks:
            try:
                answer = self.oned.call(self.oned.session_for(0), "one.vn.info", network_id)
            except OnedError:
                continue
            state = to_int(xml_to_dict(answer)["VNET"].get("STATE", _VNET_READY))
            if state == _VNET_ERROR:
                return False
            if state not in (_VNET_READY, _VNET_USED):
                return None
        return True

    def _wait_ended(self, key: Key, wait: Wait, well: bool) -> None:
        service_id, name = key
        try:
            service = Service(self.oned, self.documents, self.oned.session_for(0), service_id)
        except OnedError:
            return
        service.session = self.owner(service)
        if wait.kind == "nets":
            self._networks_up(service, well)
        elif wait.kind == "nets_gone":
            service.delete()
        elif name in service.roles:
            role = service.roles[name]
            if not well:
                self._failed(service, role, wait)
            else:
                getattr(self, f"_after_{wait.kind}")(service, role, wait)

    def _networks_up(self, service: Service, well: bool) -> None:
        if not well:
            self.waits.cancel(service.id)
            service.state = "FAILED_DEPLOYING_NETS"
            service.save()
            return
        try:
            service.fill_template()
        except FlowError:
            service.state = "FAILED_DEPLOYING"
            service.save()
            raise
        roles = service.roles_to_deploy()
        if roles:
            state = "HOLD" if service.on_hold else "DEPLOYING"
            self._finish(service, state, "FAILED_DEPLOYING", self.deploy_roles,
                         roles, "DEPLOYING", "FAILED_DEPLOYING", "deploy")  # fmt: skip
        elif service.all_roles("RUNNING"):
            service.state = "RUNNING"
            service.save()
            self.watchdog.add(service)

    def _failed(self, service: Service, role: Role, wait: Wait) -> None:
        self.waits.cancel(service.id)
        kinds = {"scale_up": "SCALING", "scale_down": "SCALING", "undeploy": "UNDEPLOYING", "remove": "UNDEPLOYING"}
        service.state = role.state = f"FAILED_{kinds.get(wait.kind, 'DEPLOYING')}"
        if wait.kind in ("undeploy", "scale_down", "remove"):
            role.drop_nodes(wait.ended)
        service.save()

    def _after_deploy(self, service: Service, role: Role, wait: Wait) -> None:
        role.state = "RUNNING"
        if service.all_roles("RUNNING"):
            service.state = "RUNNING"
        elif service.straight:
            # As on the server, a role that cannot be created is FAILED_DEPLOYING while its service stays DEPLOYING.
            self._guard(self.deploy_roles, service, service.roles_to_deploy(),
                        "DEPLOYING", "FAILED_DEPLOYING", "deploy")  # fmt: skip
        self._running(service, role)

    def _after_release(self, service: Service, role: Role, wait: Wait) -> None:
        role.state = "RUNNING"
        if service.all_roles("RUNNING"):
            service.state = "RUNNING"
        elif service.straight:
            self._guard(self.release_roles, service, service.roles_to_release(), "release")
        self._running(service, role)

    def _after_add(self, service: Service, role: Role, wait: Wait) -> None:
        role.state = "RUNNING"
        service.state = "RUNNING"
        self._running(service, role)

    def _running(self, service: Service, role: Role) -> None:
        service.save()
        if service.all_roles("RUNNING"):
            self.watchdog.add(service)
        if service.emptied(role):
            self.undeploy_roles(service)

    def _after_hold(self, service: Service, role: Role, wait: Wait) -> None:
        role.state = "HOLD"
        if service.all_roles("HOLD"):
            if service.state != "HOLD":
                service.state = "HOLD"
        elif service.straight:
            self._guard(self.deploy_roles, service, service.roles_to_hold(),
                        "DEPLOYING", "FAILED_DEPLOYING", "deploy")  # fmt: skip
        service.save()

    def _after_undeploy(self, service: Service, role: Role, wait: Wait) -> None:
        role.state = "DONE"
        role.drop_nodes(wait.ended)
        if service.all_roles("DONE"):
            service.delete_networks()
            service.state = "UNDEPLOYING_NETS"
            self.waits.add(service.id, None, Wait("nets_gone"))
        elif service.straight:
            self._guard(self.shut_down_roles, service, service.roles_to_shut_down(),
                        "UNDEPLOYING", "FAILED_UNDEPLOYING", "undeploy")  # fmt: skip
        service.save()

    def _after_remove(self, service: Service, role: Role, wait: Wait) -> None:
        service.remove_role(role.name)
        if service.all_roles("DONE"):
            service.delete_networks()
            service.delete()
            return
        service.state = "RUNNING"
        service.save()
        if service.all_roles("RUNNING"):
            self.watchdog.add(service)

    def _after_scale_up(self, service: Service, role: Role, wait: Wait) -> None:
        self._cool_down(service, role)

    def _after_scale_down(self, service: Service, role: Role, wait: Wait) -> None:
        role.drop_nodes(wait.ended)
        self._cool_down(service, role)

    def _cool_down(self, service: Service, role: Role) -> None:
        service.state = role.state = "COOLDOWN"
        until = time.monotonic() + to_int(role.body["cooldown"])
        self.waits.add(service.id, role.name, Wait("cooldown", until=until))
        role.scaling_up = None
        service.save()

    def _after_cooldown(self, service: Service, role: Role, wait: Wait) -> None:
        service.state = role.state = "RUNNING"
        service.save()
        self.watchdog.add(service)
        if service.emptied(role):
            self.undeploy_roles(service)

    # -- VMs of running services ---------------------------------------------------------------------------------

    def _vm_changed(self, service_id: int, event: Event) -> None:
        what, name, vm_id = event
        service = Service(self.oned, self.documents, self.oned.session_for(0), service_id)
        service.session = self.owner(service)
        role = service.roles.get(name)
        if role is None:
            return
        before = (service.state, role.state, len(role.nodes))
        if what == "error":
            if service.state != "WARNING":
                service.state = "WARNING"
            role.state = "WARNING"
        elif what == "done" and vm_id in role.node_ids:
            if role.cardinality > 0:
                role.cardinality -= 1
            role.drop_nodes({vm_id})
            self.watchdog.drop_vm(service_id, vm_id)
        elif what == "running":
            role.state = "RUNNING"
            if service.all_roles("RUNNING") and service.state != "RUNNING":
                service.state = "RUNNING"
        if before != (service.state, role.state, len(role.nodes)):
            service.save()
        if service.emptied(role):
            self.undeploy_roles(service)
