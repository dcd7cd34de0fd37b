# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: opennebula
short_description: Virtual machines of OpenNebula, above all those of OneFlow services
version_added: 0.1.0
author:
  - opennebula.flower contributors (@opennebula)
description:
  - Makes hosts of the VMs of services, with the names, groups and variables that M(opennebula.flower.one_service)
    returns for the same VMs. A host belongs to the group of its role, to C(federation_) with the ownership mark (or
    the name) of its service, and to C(opennebula).
  - A host is named after its service, its role and the id of its VM, so that its name stays when others come and go.
  - Takes one request to OneFlow, and one to OpenNebula for every 500 VMs.
  - The file must be named C(*opennebula.yml), C(*opennebula.yaml), C(*.one.yml) or C(*.one.yaml).
options:
  plugin:
    description: Must be V(opennebula.flower.opennebula).
    type: str
    required: true
    choices: [opennebula.flower.opennebula]
  api_url:
    description: XML-RPC endpoint of OpenNebula, for example V(http://one.example.org:2633/RPC2).
    type: str
    env:
      - name: ONE_URL
      - name: ONE_XMLRPC
  api_username:
    description:
      - User of the cloud.
      - If neither user nor password is given, both are read from the file named by E(ONE_AUTH), or C(~/.one/one_auth).
    type: str
    env:
      - name: ONE_USERNAME
  api_password:
    description: Password or login token of O(api_username).
    type: str
    env:
      - name: ONE_PASSWORD
  api_timeout:
    description: Seconds that one request may take.
    type: int
    default: 30
  validate_certs:
    description: Whether the certificate of an C(https) endpoint is verified.
    type: bool
    default: true
  ca_path:
    description: File with the certificates of the authorities to trust instead of the default ones.
    type: path
  oneflow_url:
    description: Endpoint of OneFlow; the host of O(api_url) on port 2474, if not given.
    type: str
    env:
      - name: ONEFLOW_URL
  services:
    description: Only services of these names. All services that the user may see, if not given.
    type: list
    elements: str
    default: []
  federations:
    description: Only services, and VMs without a service, that are marked as belonging to these federations.
    type: list
    elements: str
    default: []
  states:
    description: Only VMs in these states.
    type: list
    elements: str
    choices: [running, poweroff, suspended, stopped, undeployed, unknown]
    default: [running]
  network:
    description: Name or id of the network whose address is C(ansible_host). Without it, that of the first NIC.
    type: str
  hostname:
    description:
      - What a host is named after. V(role) joins the service, the role and the id of the VM; V(vm) is the name of the
        VM; V(address) is its address. Names that occur more than once get the id of the VM appended.
      - Only V(role) gives the same names as M(opennebula.flower.one_service).
    type: str
    choices: [role, vm, address]
    default: role
  role_groups:
    description: Whether there is a group for every role.
    type: bool
    default: true
  service_groups:
    description: Whether there is a group C(service_) with the name of every service.
    type: bool
    default: false
  include_standalone:
    description:
      - Whether VMs that belong to no service become hosts too, named as the VM. Their attribute C(FLOWER_ROLE) puts
        them into the group of a role, their ownership mark into that of a federation.
    type: bool
    default: false
extends_documentation_fragment:
  - ansible.builtin.constructed
  - ansible.builtin.inventory_cache
requirements:
  - pyone >= 6.10
seealso:
  - module: opennebula.flower.one_service
"""

EXAMPLES = r"""
# federation.one.yml: the VMs of one federation; address and credentials come from the environment
---
plugin: opennebula.flower.opennebula
federations:
  - mnist

# everything that runs, with groups of our own, read anew after ten minutes
---
plugin: opennebula.flower.opennebula
api_url: http://one.example.org:2633/RPC2
include_standalone: true
service_groups: true
cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: /tmp/opennebula
cache_timeout: 600
compose:
  ansible_user: "'root'"
keyed_groups:
  - prefix: site
    key: one_attributes.SITE | default('none')
"""

from typing import Any

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible.utils.unsafe_proxy import wrap_var
from ansible_collections.opennebula.flower.plugins.module_utils.one.compare import masked
from ansible_collections.opennebula.flower.plugins.module_utils.one.errors import OneError
from ansible_collections.opennebula.flower.plugins.module_utils.one.flow_session import FlowSession
from ansible_collections.opennebula.flower.plugins.module_utils.one.hosts import (
    Host,
    group_name,
    host_name,
    service_hosts,
    standalone_hosts,
    unique_names,
)
from ansible_collections.opennebula.flower.plugins.module_utils.one.marks import mark_of
from ansible_collections.opennebula.flower.plugins.module_utils.one.service import service_view, vm_ids
from ansible_collections.opennebula.flower.plugins.module_utils.one.service_vms import read_all_vms, read_vms

_SUFFIXES = ("opennebula.yml", "opennebula.yaml", ".one.yml", ".one.yaml")
_API_OPTIONS = ("api_url", "api_username", "api_password", "api_timeout", "validate_certs", "ca_path", "oneflow_url")


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    """Inventory of the VMs of OneFlow services; see DOCUMENTATION."""

    NAME = "opennebula.flower.opennebula"

    def verify_file(self, path: str) -> bool:
        return bool(super().verify_file(path)) and path.endswith(_SUFFIXES)

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        for host in self._hosts(self._cloud(self.get_cache_key(path), cache)):
            self._add(host)

    # -- reading ----------------------------------------------------------------------------------------------------

    def _cloud(self, key: str, cache: bool) -> dict[str, Any]:
        """Services and VMs as views, from the cache where the user wants that."""
        use_cache = bool(self.get_option("cache"))
        if use_cache and cache:
            try:
                # Caches that others wrote under this name are read anew.
                known: dict[str, Any] = self._cache[key]
                whole = {"services", "vms", "standalone"} <= set(known)
                if whole and (known["standalone"] or not self.get_option("include_standalone")):
                    return known
            except KeyError:
                pass
        found = self._read()
        if use_cache:
            self._cache[key] = found
        return found

    def _read(self) -> dict[str, Any]:
        # As templates, so that a password can come from a lookup and need not stand in the file.
        params = {name: self.templar.template(self.get_option(name)) for name in _API_OPTIONS}
        standalone = bool(self.get_option("include_standalone"))
        try:
            session = FlowSession(params)
            services = [service_view(document) for document in session.flow.services()]
            if standalone:
                vms = read_all_vms(session.connect())
            else:
                ids = sorted(number for service in services for number in vm_ids(service))
                vms = read_vms(session.connect(), ids) if ids else []
        except OneError as error:
            raise AnsibleParserError(str(error)) from error
        # A cache is a file: no secrets in it.
        return {"services": masked(services), "vms": masked(vms), "standalone": standalone}

    # -- hosts ------------------------------------------------------------------------------------------------------

    def _hosts(self, cloud: dict[str, Any]) -> list[Host]:
        names, marks = self.get_option("services"), self.get_option("federations")
        chosen = {"states": self.get_option("states"), "network": self.get_option("network")}
        hosts: list[Host] = []
        in_service: set[int] = set()
        for service in cloud["services"]:
            in_service.update(vm_ids(service))
            if (not names or service["name"] in names) and (not marks or service["mark"] in marks):
                hosts += self._grouped(service, service_hosts(service, cloud["vms"], **chosen))
        if self.get_option("include_standalone"):
            alone = [vm for vm in cloud["vms"] if vm["id"] not in in_service]
            others = standalone_hosts(alone, **chosen)
            hosts += [host for host in others if not marks or mark_of(host["vars"]["one_attributes"]) in marks]
        return unique_names([self._named(host) for host in hosts])

    def _grouped(self, service: dict[str, Any], hosts: list[Host]) -> list[Host]:
        if not self.get_option("role_groups"):
            hosts = [
                {**host, "groups": [name for name in host["groups"] if name != group_name(host["vars"]["one_role"])]}
                for host in hosts
            ]
        if self.get_option("service_groups"):
            group = group_name(f"service_{service['name']}")
            hosts = [{**host, "groups": [*host["groups"], group]} for host in hosts]
        return hosts

    def _named(self, host: Host) -> Host:
        strategy = self.get_option("hostname")
        if strategy == "vm":
            return {**host, "name": host_name(host["vars"]["one_vm_name"])}
        if strategy == "address":
            return {**host, "name": host["vars"]["ansible_host"]}
        return host

    def _add(self, host: Host) -> None:
        # A VM writes its own attributes: before ansible-core 2.19 they would count as templates on the control machine.
        name, variables = host["name"], wrap_var(host["vars"])
        self.inventory.add_host(name)
        for key, value in variables.items():
            self.inventory.set_variable(name, key, value)
        for group in host["groups"]:
            self.inventory.add_group(group)
            self.inventory.add_child(group, name)
        strict = self.get_option("strict")
        self._set_composite_vars(self.get_option("compose"), variables, name, strict=strict)
        self._add_host_to_composed_groups(self.get_option("groups"), variables, name, strict=strict)
        self._add_host_to_keyed_groups(self.get_option("keyed_groups"), variables, name, strict=strict)
