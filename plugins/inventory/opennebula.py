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
  - Makes hosts of VMs. Those of services get the names, groups and variables that M(opennebula.flower.one_service)
    returns for the same VMs.
  - Takes one request to OneFlow, and one to OpenNebula for every 500 VMs.
  - The variables of a host are C(ansible_host), C(one_vm_id), C(one_vm_name), C(one_attributes) (what OpenNebula calls
    the user template, with secrets hidden), and for VMs that have them C(one_role), C(one_service_id) and
    C(one_service_name); and those of O(variables).
  - Every host belongs to the group C(opennebula), and to those of O(group_by).
  - A VM becomes a host if it satisfies every filter that is given (O(services), O(federations), O(roles), O(states),
    O(names), O(labels), O(owners), O(user_groups), O(on_hosts), O(clusters), O(attributes)). A filter is satisfied
    by any one of its values. Values are compared as OpenNebula has them, case and all.
  - The file must be named C(*opennebula.yml), C(*opennebula.yaml), C(*.one.yml) or C(*.one.yaml). A key in it that is
    no option is an error. A value of O(services), O(federations), O(roles), O(on_hosts), O(clusters) or O(network) that
    matches nothing of what was read is a warning.
notes:
  - The attributes of a VM are written by its owner, and by the VM itself through OneGate. Ansible never takes them for
    templates. On a cloud of several users, say with O(owners) whose VMs you mean before you run anything on them.
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
    description: File or folder with the certificates of the authorities to trust instead of the default ones.
    type: path
  client_cert:
    description: File with a certificate that tells the cloud who asks, and its key if it is not in O(client_key).
    type: path
  client_key:
    description: File with the key of O(client_cert), without a passphrase.
    type: path
  oneflow_url:
    description: Endpoint of OneFlow; the host of O(api_url) on port 2474, if not given.
    type: str
    env:
      - name: ONEFLOW_URL
  use_oneflow:
    description:
      - Whether OneFlow is asked which services there are. Set it to V(false) on a cloud without OneFlow.
      - Without it the attributes C(SERVICE_ID) and C(ROLE_NAME) of a VM tell its service and role, so that nobody knows
        the names of services. They are called C(service-) and their id then, and their VMs have the ownership mark
        that is in their own attributes.
    type: bool
    default: true
  include_standalone:
    description:
      - Whether VMs that belong to no service become hosts too. Their attribute C(FLOWER_ROLE) tells their role, their
        ownership mark their federation.
      - With V(false), or with O(services), only the VMs of services are read, which takes fewer requests.
    type: bool
    default: true
  services:
    description: Only VMs of these services. Each is a name or an id.
    type: list
    elements: str
    default: []
  federations:
    description: Only services, and VMs without a service, that are marked as belonging to these federations.
    type: list
    elements: str
    default: []
  roles:
    description: Only VMs with these roles.
    type: list
    elements: str
    default: []
  states:
    description:
      - Only VMs in these states. V(all) stands for every state.
      - A VM that keeps running meanwhile, as in a backup, a live migration or a hot plug, is V(running). A VM on its
        way from one state to another, as in a boot, is in none.
    type: list
    elements: str
    choices: [running, poweroff, suspended, stopped, undeployed, unknown, pending, hold, all]
    default: [running]
  names:
    description: Only VMs whose names match one of these shell patterns, for example V(web-*).
    type: list
    elements: str
    default: []
  labels:
    description:
      - Only VMs with one of these labels, or with a label below one of them. V(web) finds C(web/front) too.
    type: list
    elements: str
    default: []
  match_labels:
    description: Whether V(any) or V(all) of O(labels) are needed.
    type: str
    choices: [any, all]
    default: any
  owners:
    description: Only VMs of these users. Each is a name or an id.
    type: list
    elements: str
    default: []
  user_groups:
    description: Only VMs of these groups of users. Each is a name or an id.
    type: list
    elements: str
    default: []
  on_hosts:
    description: Only VMs on these hosts of OpenNebula, by name. A VM that is off counts for the host it was on.
    type: list
    elements: str
    default: []
  clusters:
    description: Only VMs on hosts of these clusters. Each is a name or an id. Names take one request more.
    type: list
    elements: str
    default: []
  attributes:
    description:
      - Only VMs with these attributes. A value may be a list, of which one is enough; V(null) asks for any value.
      - Secrets are hidden before they are compared.
    type: dict
    default: {}
  network:
    description: Name or id of the network whose address is C(ansible_host). Without it, that of the first NIC.
    type: str
  nic:
    description: Id or name of the NIC or alias whose address is C(ansible_host), for example V(1) or V(NIC0_ALIAS1).
    type: str
  ip_version:
    description: Which address of the NIC is C(ansible_host). With V(ipv4) and V(ipv6) the other one will not do.
    type: str
    choices: [prefer_ipv4, prefer_ipv6, ipv4, ipv6]
    default: prefer_ipv4
  prefer_external:
    description:
      - Whether the address of an external alias is C(ansible_host) where a VM has one. That is an alias with the
        attribute C(EXTERNAL), an address outside that is translated to the VM.
    type: bool
    default: false
  require_address:
    description:
      - Whether VMs without an address are left out, which C(-v) tells. With V(false) they become hosts without
        C(ansible_host).
    type: bool
    default: true
  hostname:
    description:
      - What a host is named after. V(role) joins the service, the role and the id of the VM, and is the name of the VM
        if that has no service; V(vm) is the name of the VM; V(address) is its address, or its name if it has none;
        V(id) is C(one-) and its id.
      - If several VMs of all that are read would have one name, the id of the VM is appended for each of them. So a
        name does not depend on filters and states. So it is for a VM that is called as a group or C(localhost).
        Names with V(id), and with V(role) those of the VMs of services,
        never change.
      - Only V(role) gives the same names as M(opennebula.flower.one_service).
    type: str
    choices: [role, vm, address, id]
    default: role
  group_by:
    description:
      - Which groups there are. V(role) is named after the role. All others have their kind and an underscore in front,
        for example C(federation_mnist), C(label_web) or C(owner_oneadmin).
      - The federation of a service without an ownership mark is its name.
      - V(owner) and V(group) are the user and the group of users that own the VM, V(host) and V(cluster) where it is.
        A VM with the label C(web/front) is in C(label_web) and C(label_web_front).
      - V(cluster) takes one request more.
    type: list
    elements: str
    choices: [role, federation, service, label, owner, group, host, cluster, state, network]
    default: [role, federation]
  variables:
    description:
      - More variables of every host. Each is named C(one_) and the name given here.
      - V(state) is the state of the VM, in a word. V(labels) are its labels. V(owner) and V(group) are the user and the
        group of users that own it. V(host) and V(cluster) are where it is, or null. V(nics) are its NICs and aliases,
        with C(id), C(name), C(network), C(network_id), C(ip), C(ip6), C(mac), C(external), and C(parent), which is the
        NIC of an alias.
      - Expressions in O(compose), O(groups) and O(keyed_groups) may use all of them, whether they are given here or
        not. Every variable takes time where there are thousands of VMs.
      - Names of clusters take one request more, and are ids without O(group_by) or O(variables) asking for clusters.
    type: list
    elements: str
    choices: [state, labels, owner, group, host, cluster, nics]
    default: []
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
include_standalone: false

# everything that runs, with groups of our own, read anew after ten minutes
---
plugin: opennebula.flower.opennebula
group_by: [role, federation, service, label, owner, host]
cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: /tmp/opennebula
cache_timeout: 600
compose:
  ansible_user: "'root'"
  ansible_port: one_attributes.SSH_PORT | int
keyed_groups:
  - prefix: site
    key: one_attributes.SITE | default('none')
groups:
  big_disks: "'storage' in one_labels"

# a cloud without OneFlow: web servers of one user, reached over IPv6 on their second NIC, those that are off as well
---
plugin: opennebula.flower.opennebula
use_oneflow: false
owners: [oneadmin]
labels: [web]
states: [running, poweroff]
attributes:
  STAGE: [test, production]
nic: 1
ip_version: ipv6
hostname: vm
group_by: [label, state]

# the password from a secret store, and floating addresses
---
plugin: opennebula.flower.opennebula
api_url: "{{ lookup('ansible.builtin.env', 'ONE_URL') }}"
api_username: oneadmin
api_password: "{{ lookup('ansible.builtin.env', 'ONE_PASSWORD') }}"
network: private
prefer_external: true
require_address: false
"""

import gc
from typing import Any

from ansible.constants import LOCALHOST
from ansible.errors import AnsibleError, AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible.utils.unsafe_proxy import wrap_var
from ansible_collections.opennebula.flower.plugins.module_utils.one.api.settings import Settings
from ansible_collections.opennebula.flower.plugins.module_utils.one.errors import OneError
from ansible_collections.opennebula.flower.plugins.module_utils.one.inventory.build import (
    InventoryHost,
    Wishes,
    build,
    query_options,
)
from ansible_collections.opennebula.flower.plugins.module_utils.one.inventory.keys import check_keys
from ansible_collections.opennebula.flower.plugins.module_utils.one.inventory.read import Cloud, query_of, read_cloud

_SUFFIXES = ("opennebula.yml", "opennebula.yaml", ".one.yml", ".one.yaml")
_API_OPTIONS = ("api_url", "api_username", "api_password", "api_timeout", "validate_certs", "ca_path", "oneflow_url",
                "client_cert", "client_key")  # fmt: skip
_EXPRESSIONS = ("compose", "groups", "keyed_groups")
# A VM writes its own attributes: before ansible-core 2.19 they would count as templates on the control machine, unless
# marked. Since then nothing does that is not marked, and marking takes the mark off.
_UNMARKED_IS_SAFE = wrap_var("").__class__ is str


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    """Inventory of the VMs of a cloud; see DOCUMENTATION."""

    NAME = "opennebula.flower.opennebula"

    def verify_file(self, path: str) -> bool:
        return bool(super().verify_file(path)) and path.endswith(_SUFFIXES)

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        super().parse(inventory, loader, path, cache)
        # With thousands of VMs the collector would look at every object again and again, and none of them is garbage.
        collecting = gc.isenabled()
        gc.disable()
        try:
            self._read_config_data(path)
            self._add_hosts(self._cloud(self.get_cache_key(path), cache))
        except OneError as error:
            # The sentence says it all, and Ansible would append that of every cause.
            raise AnsibleParserError(str(error)) from None
        finally:
            if collecting:
                gc.enable()

    def set_options(self, task_keys: Any = None, var_options: Any = None, direct: Any = None) -> None:
        # Ansible takes what it knows from the file and ignores the rest. What the file says is checked here, where it
        # comes by before its values are.
        check_keys(direct or {}, self.option_definitions)
        super().set_options(task_keys=task_keys, var_options=var_options, direct=direct)

    def _cloud(self, key: str, cache: bool) -> Cloud:
        """Services and VMs, from the cache where the user wants that and the same was asked."""
        # As templates, so that a password can come from a lookup and need not stand in the file.
        settings = Settings.from_params({name: self.templar.template(self.get_option(name)) for name in _API_OPTIONS})
        query = query_of(**query_options(self.get_options(), settings))
        use_cache = bool(self.get_option("cache"))
        if use_cache and cache:
            try:
                known = self._cache[key]
            except (AnsibleError, KeyError, TypeError, ValueError):
                # Nothing there, or nothing that its plugin can read.
                known = None
            if isinstance(known, dict) and known.get("query") == query:
                return known
        found = read_cloud(settings, query)
        if use_cache:
            self._cache[key] = found
        return found

    def _add_hosts(self, cloud: Cloud) -> None:
        # A VM that is called localhost would be this machine for every play.
        reserved = {"all", "ungrouped", *LOCALHOST, *self.inventory.groups, *self.get_option("groups")}
        expressions = any(self.get_option(option) for option in _EXPRESSIONS)
        built = build(cloud, Wishes.from_options(self.get_options()), reserved, expressions=expressions)
        for option, value in built.unmatched:
            self.display.warning(f"opennebula: {option} {value} matches nothing of what was read; check its spelling")
        for host in built.hosts:
            self._add(host)
            if expressions:
                self._evaluate(host)
        if built.without_address:
            vms = [member.vm for member in built.without_address]
            listed = ", ".join(f"{vm['name']} (id {vm['id']})" for vm in vms)
            self.display.v(f"opennebula: left out {len(vms)} VMs without a suitable address: {listed}")

    def _add(self, host: InventoryHost) -> None:
        self.inventory.add_host(host.name)
        # Not by set_variable, which copies every value once more: half of the time that thousands of hosts take.
        variables = host.variables if _UNMARKED_IS_SAFE else wrap_var(host.variables)
        self.inventory.get_host(host.name).vars.update(variables)
        for group in host.groups:
            self.inventory.add_group(group)
            self.inventory.add_host(host.name, group)

    def _evaluate(self, host: InventoryHost) -> None:
        """Expressions of the user: compose, groups and keyed_groups."""
        if host.name in self.inventory.groups:
            # One of keyed_groups: what is said of the host would be said of all hosts of the group.
            self.display.warning(f"opennebula: host {host.name} has the name of a group; expressions leave it out")
            return
        known = {**host.more, **host.variables}
        if not _UNMARKED_IS_SAFE:
            known = wrap_var(known)
        strict = self.get_option("strict")
        compose, groups, keyed_groups = (self.get_option(option) for option in _EXPRESSIONS)
        self._set_composite_vars(compose, known, host.name, strict=strict)
        self._add_host_to_composed_groups(groups, known, host.name, strict=strict)
        self._add_host_to_keyed_groups(keyed_groups, known, host.name, strict=strict)
