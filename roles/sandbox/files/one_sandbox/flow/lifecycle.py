# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services from birth to death: what clients ask for (`Lifecycle`'s public methods) and what follows from it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..oned.core import Oned
from ..oned.errors import OnedError
from ..oned.records import Session
from .documents import SERVICE, Documents
from .errors import FlowError, Uncaught
from .policies import Policies
from .reactions import Reactions
from .role import Role
from .ruby import JsonError, load_json, to_int
from .service import Service
from .states import (
    RECOVER_DEPLOY,
    RECOVER_DEPLOY_NETS,
    RECOVER_SCALE,
    RECOVER_UNDEPLOY,
    RECOVER_UNDEPLOY_NETS,
)
from .states import SERVICE as SERVICE_STATE
from .vms import read_vms, state_of
from .waits import Wait

_LOG = logging.getLogger(__name__)


class Lifecycle(Reactions):
    """All services of one oned.

    Methods act with the rights of the session given; what happens later happens in the name of the service's owner.
    They raise FlowError, OnedError and Uncaught, as HTTP answers them. interval: seconds between two looks at the VMs.
    """

    def __init__(self, oned: Oned, interval: float, policy_interval: float) -> None:
        super().__init__(oned, Documents(oned))
        self.policies = Policies(oned, policy_interval)
        self._interval = interval
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="one-flow", daemon=True)

    def start(self) -> None:
        """Go on where an earlier process stopped, then watch."""
        self._catch_up()
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def read(self, session: Session, service_id: Any) -> Service:
        return Service(self.oned, self.documents, session, service_id)

    @contextmanager
    def _changing(self, session: Session, service_id: Any) -> Iterator[Service]:
        with self.lock:
            yield self.read(session, service_id)

    # -- what clients ask for ------------------------------------------------------------------------------------

    def deploy(self, session: Session, service_id: int) -> None:
        """First step of a new service: its networks."""
        with self._changing(session, service_id) as service:
            try:
                service.create_networks()
            except OnedError:
                service.state = "FAILED_DEPLOYING"
                service.save()
                raise
            service.state = "DEPLOYING_NETS"
            self.waits.add(service.id, None, Wait("nets", networks=service.networks()))
            service.save()

    def undeploy(self, session: Session, service_id: Any, delete: bool = False) -> None:
        with self._changing(session, service_id) as service:
            if not service.can_undeploy and not delete:
                raise FlowError(f"Service cannot be undeployed in state: {service.state}")
            self.undeploy_roles(service)

    def scale(self, session: Session, service_id: Any, name: Any, target: int, force: Any) -> None:
        with self._changing(session, service_id) as service:
            if service.state != "RUNNING":
                raise FlowError(f"Service cannot be scaled in state: {service.state}")
            role = service.roles.get(name)
            if role is None:
                raise FlowError(f"Role {name} not found")
            if not isinstance(force, bool):
                # The server builds a JSON text with the bare value of "force" and fails to read it back.
                shown = "" if force is None else force
                raise Uncaught(f"unexpected token at '{{ \"cardinality\" : {target},\n  \"force\" : {shown} }}'")
            difference = target - role.cardinality
            try:
                role.set_cardinality(target, force)
            except FlowError as error:
                raise FlowError(f"Can't scale service {service.id}: {error.message}") from None
            if not difference:
                raise FlowError(f"Cardinality of {name} is already at {target}")
            self.watchdog.remove(service.id)
            role.scaling_up = difference > 0
            self._finish(service, "SCALING", "FAILED_SCALING", self._scale, role, difference > 0)

    def _scale(self, service: Service, role: Role, up: bool) -> None:
        if up:
            service.session = self.owner(service)
            self.deploy_roles(service, [role], "SCALING", "FAILED_SCALING", "scale_up")
        else:
            self.shut_down_roles(service, [role], "SCALING", "FAILED_SCALING", "scale_down")

    def recover(self, session: Session, service_id: Any, delete: bool = False) -> None:
        with self._changing(session, service_id) as service:
            self.waits.cancel(service.id)
            if delete:
                self.undeploy_roles(service)
                return
            state = service.state
            if state in RECOVER_DEPLOY:
                for role in [role for role in service.roles.values() if role.can_recover_deploy()]:
                    self._retry(service, role, "deploy", "FAILED_DEPLOYING")
            elif state in RECOVER_UNDEPLOY:
                for role in [role for role in service.roles.values() if role.can_recover_undeploy()]:
                    self.waits.add(service.id, role.name, Wait("undeploy", set(role.shutdown(recover=True))))
            elif state in RECOVER_SCALE:
                service.session = self.owner(service)
                for role in [role for role in service.roles.values() if role.can_recover_scale()]:
                    self._recover_scale(service, role)
            elif state in RECOVER_DEPLOY_NETS:
                self.waits.add(service.id, None, Wait("nets", networks=service.networks()))
            elif state in RECOVER_UNDEPLOY_NETS:
                self.waits.add(service.id, None, Wait("nets_gone"))
            elif state == "COOLDOWN":
                service.state = "RUNNING"
                for role in service.roles.values():
                    role.state = "RUNNING"
                self.watchdog.add(service)
            else:
                raise FlowError(f"Service cannot be recovered in state: {state}")
            service.save()

    def _retry(self, service: Service, role: Role, kind: str, error_state: str) -> None:
        try:
            self.waits.add(service.id, role.name, Wait(kind, set(role.recover_deploy()), service.ready_gate))
        except FlowError:
            # The reason is in the service's log.
            role.state = error_state

    def _recover_scale(self, service: Service, role: Role) -> None:
        if role.scaling_up:
            self._retry(service, role, "scale_up", "FAILED_SCALING")
        elif role.scaling_up is False:
            self.waits.add(service.id, role.name, Wait("scale_down", set(role.shutdown(recover=True))))

    def update(self, session: Session, service_id: Any, text: str, append: bool) -> None:
        with self._changing(session, service_id) as service:
            if not service.can_update:
                raise FlowError(f"Service cannot be updated in state: {service.state}")
            try:
                service.replace_body(text, append)
            except JsonError as error:
                raise Uncaught(str(error)) from None
            service.save()

    def add_role(self, session: Session, service_id: Any, template: dict[str, Any]) -> None:
        with self._changing(session, service_id) as service:
            if service.state != "RUNNING":
                raise FlowError(f"Cannot modify roles in state: {service.state}")
            role = service.add_role(template)
            try:
                service.fill_template()
            except FlowError:
                service.state = "FAILED_DEPLOYING"
                service.save()
                raise
            self.watchdog.remove(service.id)
            self._finish(service, "DEPLOYING", "FAILED_DEPLOYING", self.deploy_roles,
                         [role], "DEPLOYING", "FAILED_DEPLOYING", "add")  # fmt: skip

    def remove_role(self, session: Session, service_id: Any, name: Any) -> None:
        with self._changing(session, service_id) as service:
            if service.state != "RUNNING":
                raise FlowError(f"Cannot modify roles in state: {service.state}")
            if name not in service.roles:
                raise FlowError(f"Role {name} does not exist")
            self.watchdog.remove(service.id)
            self._finish(service, "UNDEPLOYING", "FAILED_UNDEPLOYING", self.shut_down_roles,
                         [service.roles[name]], "UNDEPLOYING", "FAILED_UNDEPLOYING", "remove")  # fmt: skip

    def release(self, session: Session, service_id: Any) -> None:
        with self._changing(session, service_id) as service:
            roles = service.roles_to_release()
            if not roles:
                raise FlowError("Service has no roles in HOLD")
            self._finish(service, "DEPLOYING", "FAILED_DEPLOYING", self.release_roles, roles, "release")

    def chown(self, session: Session, service_id: Any, uid: int, gid: int) -> None:
        """The document and every VM; all or nothing."""
        with self._changing(session, service_id) as service:
            old = service.document.uid, service.document.gid
            service.call("one.document.chown", service.id, uid, gid)
            try:
                for role in service.roles.values():
                    role.chown(uid, gid)
            except OnedError as error:
                for role in service.roles.values():
                    role.chown(*old)
                service.call("one.document.chown", service.id, *old)
                raise FlowError(error.message) from None

    def chmod(self, session: Session, service_id: Any, octet: Any) -> None:
        with self._changing(session, service_id) as service:
            self.documents.chmod(session, service.id, octet)

    def rename(self, session: Session, service_id: Any, name: str) -> None:
        with self._changing(session, service_id) as service:
            service.call("one.document.rename", service.id, name)

    def schedule(self, session: Session, service_id: Any, role: str | None, action: str, *how: Any) -> None:
        """Schedule a VM action on one role, or on all (None). how: period, number, args."""
        with self._changing(session, service_id) as service:
            for item in self._chosen(service, role):
                if item.state == "DONE" and role is not None:
                    raise FlowError(f"Role {item.name} is in DONE state")
                item.schedule(action, *how)

    def unschedule(self, session: Session, service_id: Any, role: str | None, action_id: str) -> None:
        with self._changing(session, service_id) as service:
            for item in self._chosen(service, role):
                item.unschedule(to_int(action_id))

    @staticmethod
    def _chosen(service: Service, role: str | None) -> list[Role]:
        if role is None:
            return list(service.roles.values())
        if role not in service.roles:
            raise FlowError(f"Role '{role}' not found")
        return [service.roles[role]]

    def purge_done(self, session: Session) -> None:
        """Delete the documents of services that are DONE."""
        with self.lock:
            for document in self.documents.pool(session, SERVICE):
                if document.body.get("state") == SERVICE_STATE["DONE"]:
                    self.documents.delete(session, document.id)

    @staticmethod
    def parse(text: str) -> Any:
        """JSON of a request that the server reads without guarding itself. Raises Uncaught."""
        try:
            return load_json(text)
        except JsonError as error:
            raise Uncaught(str(error)) from None

    # -- what goes on by itself ----------------------------------------------------------------------------------

    def _catch_up(self) -> None:
        session = self.oned.session_for(0)
        for document in self.documents.pool(session, SERVICE):
            service = self.read(session, document.id)
            if service.state in ("RUNNING", "WARNING"):
                self.watchdog.add(service)
            elif service.transient:
                try:
                    self.recover(session, service.id)
                except (FlowError, OnedError):
                    _LOG.exception("Service %s could not be taken up again.", service.id)

    def _run(self) -> None:
        while not self._stopped.wait(self._interval):
            try:
                self._tick()
            except Exception:
                # A fault of the sandbox; it must be seen, but services go on.
                _LOG.exception("A look at the services failed.")

    def _tick(self) -> None:
        with self.lock:
            ids = {*self.waits.vm_ids(), *self.watchdog.vm_ids()}
            found = read_vms(self.oned, ids)
            states = {vm_id: state_of(found.get(vm_id)) for vm_id in ids}
            self.look(states)
        self._apply_policies()

    def _apply_policies(self) -> None:
        """Scale what the policies of running services ask for."""
        if not self.policies.due():
            return
        for service_id, role, target in self._wanted():
            with self.lock:
                try:
                    self.scale(self.oned.session_for(0), service_id, role, target, False)
                except (FlowError, OnedError) as error:
                    _LOG.warning("Service %s: a policy of role %s could not scale to %s: %s",
                                 service_id, role, target, error)  # fmt: skip

    def _wanted(self) -> list[tuple[int, str, int]]:
        wanted: list[tuple[int, str, int]] = []
        session = self.oned.session_for(0)
        with self.lock:
            for document in self.documents.pool(session, SERVICE):
                if document.body.get("state") == SERVICE_STATE["RUNNING"]:
                    service = self.read(session, document.id)
                    targets, changed = self.policies.evaluate(service)
                    wanted.extend((service.id, role, target) for role, target in targets)
                    if changed:
                        service.save()
        return wanted
