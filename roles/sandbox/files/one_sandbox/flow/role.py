# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A role of a running service: its VMs and what is done to them."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from ..oned.errors import OnedError
from .errors import FlowError
from .ruby import deep_merge, ruby_string, to_int, to_raw, xml_to_hash
from .states import RECOVER_DEPLOY, RECOVER_SCALE, RECOVER_UNDEPLOY, ROLE, ROLE_STATES
from .vms import read_vm, state_of, stored_info

if TYPE_CHECKING:
    from .service import Service

DEFAULT_COOLDOWN = 300
DEFAULT_SHUTDOWN = "terminate"
_SCALE_UP, _SCALE_DOWN = 0, 1
_RECOVER_RETRY, _RECOVER_DELETE = 2, 3
_REFERENCE = re.compile(r"\$\{(.*?)\}", re.DOTALL)


class Role:
    """One element of BODY/roles; changes go to that element and are saved with the service."""

    def __init__(self, body: dict[str, Any], service: Service) -> None:
        self.body = body
        self.service = service
        if body.get("nodes") is None:
            body["nodes"] = []
        if body.get("on_hold") is None:
            body["on_hold"] = False
        if body.get("cooldown") is None:
            body["cooldown"] = DEFAULT_COOLDOWN

    # -- what it is ----------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return str(self.body["name"])

    @property
    def state(self) -> str:
        return ROLE_STATES[to_int(self.body["state"])]

    @state.setter
    def state(self, name: str) -> None:
        self.body["state"] = ROLE[name]
        if name == "SCALING":
            for policy in self.body.get("elasticity_policies") or []:
                policy.pop("true_evals", None)

    @property
    def parents(self) -> list[str]:
        return self.body.get("parents") or []

    @property
    def nodes(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.body["nodes"]
        return found

    @property
    def node_ids(self) -> list[int]:
        return [node["deploy_id"] for node in self.nodes]

    @property
    def cardinality(self) -> int:
        return to_int(self.body.get("cardinality"))

    @cardinality.setter
    def cardinality(self, target: int) -> None:
        way = "up" if target > self.cardinality else "down"
        self.service.log("I", f"Role {self.name} scaling {way} from {self.cardinality} to {target} nodes")
        self.body["cardinality"] = target

    def set_cardinality(self, target: int, force: bool) -> None:
        """Within min_vms and max_vms unless forced. Raises FlowError."""
        minimum, maximum = self.body.get("min_vms"), self.body.get("max_vms")
        if not force and target < to_int(minimum):
            raise FlowError(f"Minimum cardinality is {to_int(minimum)}")
        if not force and maximum is not None and target > to_int(maximum):
            raise FlowError(f"Maximum cardinality is {to_int(maximum)}")
        self.cardinality = target

    def drop_nodes(self, gone: set[int]) -> None:
        self.body["nodes"] = [node for node in self.nodes if node["deploy_id"] not in gone]

    @property
    def on_hold(self) -> bool:
        return bool(self.body["on_hold"])

    # -- bringing VMs up -----------------------------------------------------------------------------------------

    def deploy(self) -> list[int]:
        """Create the VMs that are missing. Returns their ids. Raises FlowError; VMs made until then stay nodes."""
        missing = self.cardinality - len(self.nodes)
        if missing <= 0:
            return []
        extra = self._extra_template()
        created = []
        for _turn in range(missing):
            number = self.body["last_vmname"]
            self.body["last_vmname"] = number + 1
            name = f"{self.name}_{number}_(service_{self.service.id})"
            created.append(self._instantiate(name, extra))
        return created

    def _instantiate(self, name: str, extra: str) -> int:
        template_id = to_int(self.body["template_id"])
        try:
            vm_id = int(self._call("one.template.instantiate", template_id, name, self.on_hold, extra, False))
        except OnedError as error:
            self.service.log(
                "E", f"Role {self.name} : Instantiate failed for template {template_id}; {error.message}"
            )
            raise FlowError(
                f"Error instantiating VM Template {template_id} in Role {self.name}: {error.message}"
            ) from None
        self.nodes.append({"deploy_id": vm_id, "vm_info": stored_info(read_vm(self.service.oned, vm_id))})
        return vm_id

    def _extra_template(self) -> str:
        """What is laid over the VM template.

        Without template_contents only SERVICE_ID and ROLE_NAME. With them the whole VM template goes along: CONTEXT and
        other vectors are merged key by key, NIC and other lists are replaced.
        """
        if self.body.get("last_vmname") is None:
            self.body["last_vmname"] = 0
        template_id = to_int(self.body["template_id"])
        contents = self.body.get("template_contents") or {}
        if contents:
            try:
                answer = self._call("one.template.info", template_id)
            except OnedError as error:
                self.service.log("E", f"Role {self.name} : Info template {template_id}; {error.message}")
                raise FlowError(
                    f"Error fetching Info to instantiate template {template_id} in Role {self.name}: {error.message}"
                ) from None
            template = xml_to_hash(answer)["VMTEMPLATE"]["TEMPLATE"]
            contents = deep_merge(template if isinstance(template, dict) else {}, contents, merge_lists=False)
        extra = to_raw({**contents, "SERVICE_ID": self.service.id, "ROLE_NAME": self.name})
        return _REFERENCE.sub(lambda match: self._evaluate(match.group(1)), extra)

    def _evaluate(self, reference: str) -> str:
        """`${parent.template.context.eth0_ip}`: an element of a parent's VM; anything else becomes empty."""
        parent, *path = reference.split(".")
        role = self.service.roles.get(parent)
        if parent not in self.parents or role is None or not path:
            return ""
        for vm_id in role.node_ids:
            try:
                root = ElementTree.fromstring(self._call("one.vm.info", vm_id))
                found = root.find(".//" + "/".join(path).upper())
            except (OnedError, ElementTree.ParseError, SyntaxError):
                continue
            if found is not None and found.text:
                return ruby_string(found.text)
        return ""

    def release(self) -> list[int]:
        """Let held VMs go. Returns their ids. Raises FlowError when one of them cannot."""
        released = []
        for vm_id in self.node_ids:
            try:
                self._call("one.vm.action", "release", vm_id)
                released.append(vm_id)
            except OnedError as error:
                self.service.log("E", f"Role {self.name}: Release failed for VM {vm_id}, {error.message}")
        if len(released) < len(self.nodes):
            raise FlowError(f"Error releasing role {self.name}: false")
        return released

    # -- taking VMs down -----------------------------------------------------------------------------------------

    def shutdown(self, recover: bool = False) -> list[int]:
        """Terminate VMs, the oldest first. Returns their ids. Raises FlowError.

        As on the server, a role with more VMs than its cardinality loses the difference, and one with fewer (a creation
        failed half way) all but the last ones missing: such a VM outlives the service and is the client's to remove.
        """
        size = len(self.nodes)
        count = size - self.cardinality if size != self.cardinality else size
        chosen = self.nodes[:count]  # a negative count slices from the end, as it does there
        ended = [node["deploy_id"] for node in chosen if self._end(node["deploy_id"], recover)]
        if len(ended) != count and count >= 0:
            raise FlowError(f"Error undeploying nodes for role `{self.name}`")
        return ended

    def _end(self, vm_id: int, recover: bool) -> bool:
        action = self.body.get("shutdown_action") or self.service.body.get("shutdown_action") or DEFAULT_SHUTDOWN
        hard = action == "terminate-hard"
        try:
            if recover and state_of(read_vm(self.service.oned, vm_id)).failed:
                self._call("one.vm.recover", vm_id, _RECOVER_RETRY)
            else:
                self._call("one.vm.action", "terminate-hard" if hard else "terminate", vm_id)
            return True
        except OnedError as error:
            self.service.log(
                "E", f"Role {self.name} : Terminate failed for VM {vm_id}, will perform a Delete; {error.message}"
            )
        attempts: list[tuple[Any, ...]] = [("one.vm.recover", vm_id, _RECOVER_DELETE)]
        if not hard:
            attempts.insert(0, ("one.vm.action", "terminate-hard", vm_id))
        for attempt in attempts:
            try:
                self._call(*attempt)
                return True
            except OnedError as error:
                failure = error.message
        self.service.log("E", f"Role {self.name} : Delete failed for VM {vm_id}; {failure}")
        return False

    # -- recovery ------------------------------------------------------------------------------------------------

    def can_recover_deploy(self) -> bool:
        if self.state != "PENDING":
            return self.state in RECOVER_DEPLOY
        parents = [self.service.roles.get(parent) for parent in self.parents]
        return all(parent is None or parent.state == "RUNNING" for parent in parents)

    def can_recover_undeploy(self) -> bool:
        if self.state in RECOVER_UNDEPLOY:
            return True
        others = [role for role in self.service.roles.values() if role is not self]
        return not any(self.name in role.parents and role.state != "DONE" for role in others)

    def can_recover_scale(self) -> bool:
        return self.state in RECOVER_SCALE

    def recover_deploy(self) -> list[int]:
        """Retry failed VMs, create missing ones. Returns the VMs to wait for. Raises FlowError."""
        waiting = []
        for vm_id in self.node_ids:
            try:
                state = state_of(read_vm(self.service.oned, vm_id))
            except OnedError:
                continue
            if state.running and not self.service.ready_gate:
                continue
            try:
                if state.failed:
                    self._call("one.vm.recover", vm_id, _RECOVER_RETRY)
                else:
                    self._call("one.vm.action", "resume", vm_id)
            except OnedError as error:
                if state.failed:
                    self.service.log("E", f"Role {self.name} : Retry failed for VM {vm_id}; {error.message}")
                    continue
            waiting.append(vm_id)
        return waiting + self.deploy()

    @property
    def scaling_up(self) -> bool | None:
        """Which way an unfinished scaling goes; None when there is none."""
        way = self.body.get("scale_way")
        return None if way is None else way == _SCALE_UP

    @scaling_up.setter
    def scaling_up(self, up: bool | None) -> None:
        if up is None:
            self.body.pop("scale_way", None)
        else:
            self.body["scale_way"] = _SCALE_UP if up else _SCALE_DOWN

    # -- the rest ------------------------------------------------------------------------------------------------

    def schedule(self, action: str, period: Any, number: Any, args: Any) -> None:
        """Schedule a VM action on the nodes, `number` of them every `period` seconds; failures go to the log."""
        now, step = int(time.time()), to_int(number)
        for index, vm_id in enumerate(self.node_ids):
            offset = index // step * to_int(period) if step > 0 and to_int(period) > 0 else 0
            arguments = f'ARGS = "{args}",' if args else ""
            text = f"SCHED_ACTION = [ACTION = {action},{arguments}TIME = {now + offset}]"
            try:
                self._call("one.vm.schedadd", vm_id, text)
            except OnedError as error:
                self.service.log("E", f"Role {self.name} : VM {vm_id} error scheduling action; {error.message}")

    def unschedule(self, action_id: int) -> None:
        """Take a scheduled action off the first VM that has it. Raises OnedError."""
        for vm_id in self.node_ids:
            actions = read_vm(self.service.oned, vm_id).get("TEMPLATE", {}).get("SCHED_ACTION", [])
            for action in actions if isinstance(actions, list) else [actions]:
                if to_int(action.get("ID")) == action_id:
                    self._call("one.vm.scheddelete", vm_id, action_id)
                    return

    def chown(self, uid: int, gid: int) -> None:
        """Give the VMs away. Raises OnedError."""
        for vm_id in self.node_ids:
            self._call("one.vm.chown", vm_id, uid, gid)

    def _call(self, method: str, *args: Any) -> Any:
        return self.service.call(method, *args)
