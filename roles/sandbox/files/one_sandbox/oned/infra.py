# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts, clusters, datastores, zones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import capacity, common, errors, numa, pci, scheduler, xml
from . import template as tpl
from .errors import OnedError
from .methods import BOOL, INT, STR, method, opt
from .records import MANAGE, USE, Record, User

if TYPE_CHECKING:
    from .core import Oned

HOST_INIT, HOST_MONITORED, HOST_ERROR, HOST_DISABLED, HOST_OFFLINE = 0, 2, 3, 4, 8
# What a host of the dummy driver claims to have, unless it is said otherwise: 8 cores, 16 GiB.
DUMMY_CPU, DUMMY_MEMORY = 800, 16777216
_DATASTORE_TYPES = {"IMAGE_DS": 0, "SYSTEM_DS": 1, "FILE_DS": 2}


def add_host(oned: Oned, user: User, name: str, driver: str, cpu: int, memory: int) -> Record:
    """cpu in hundredths of a core, memory in KB: what the scheduler may give away."""
    return oned.create(
        "host", user, name, {}, state=HOST_MONITORED, im_mad=driver, vm_mad=driver, cluster=0, cpu=cpu, memory=memory,
        total_cpu=cpu, total_memory=memory, pci=pci.of_driver(driver),
    )  # fmt: skip


def render_host(oned: Oned, record: Record, monitoring: bool = False) -> str:
    """HOST; what the monitoring measured only in `info`, as on a real server."""
    data = record.data
    cpu, memory = oned.usage.used(record.oid)
    return (
        f"<HOST><ID>{record.oid}</ID>{xml.leaf('NAME', record.name)}<STATE>{data['state']}</STATE>"
        f"<PREV_STATE>{data['state']}</PREV_STATE>{xml.raw('IM_MAD', data['im_mad'])}"
        f"{xml.raw('VM_MAD', data['vm_mad'])}"
        f"<CLUSTER_ID>{data['cluster']}</CLUSTER_ID>{xml.leaf('CLUSTER', _cluster_name(oned, data['cluster']))}"
        f"<HOST_SHARE><MEM_USAGE>{memory}</MEM_USAGE><CPU_USAGE>{cpu}</CPU_USAGE>"
        f"<TOTAL_MEM>{numa.total_memory(record)}</TOTAL_MEM><TOTAL_CPU>{_total_cpu(record)}</TOTAL_CPU>"
        f"<MAX_MEM>{data['memory']}</MAX_MEM><MAX_CPU>{data['cpu']}</MAX_CPU>"
        f"<RUNNING_VMS>{oned.usage.count(record.oid)}</RUNNING_VMS><VMS_THREAD>1</VMS_THREAD>"
        f"<DATASTORES>{xml.raw('DISK_USAGE', 0)}{xml.raw('FREE_DISK', 20480)}{xml.raw('MAX_DISK', 20480)}"
        f"{xml.raw('USED_DISK', 0)}</DATASTORES>{pci.render(record)}{numa.render(record)}</HOST_SHARE>"
        f"{xml.ids('VMS', oned.usage.vms(record.oid))}{tpl.to_xml(record.template)}"
        + (_monitoring(oned, record) if monitoring else "<MONITORING/>")
        + "</HOST>"
    )


def _total_cpu(record: Record) -> int:
    return int(record.data.get("total_cpu", record.data["cpu"]))


def _monitoring(oned: Oned, record: Record) -> str:
    # Nothing is measured here: VMs are taken to use what they were given.
    cpu, memory = oned.usage.used(record.oid)
    return (
        f"<MONITORING><TIMESTAMP>{oned.now()}</TIMESTAMP><ID>{record.oid}</ID>"
        f"<CAPACITY>{xml.raw('FREE_CPU', max(0, _total_cpu(record) - cpu))}"
        f"{xml.raw('FREE_MEMORY', max(0, numa.total_memory(record) - memory))}{xml.raw('USED_CPU', cpu)}"
        f"{xml.raw('USED_MEMORY', memory)}</CAPACITY><SYSTEM>{xml.raw('NETRX', 0)}{xml.raw('NETTX', 0)}</SYSTEM>"
        f"{numa.render_monitoring(record)}</MONITORING>"
    )


def _cluster_name(oned: Oned, oid: int) -> str:
    cluster = oned.find("cluster", oid)
    return cluster.name if cluster else ""


@method("host.allocate", STR, STR, STR, opt(INT, 0))
def host_allocate(oned: Oned, user: User, name: str, im_mad: str, vm_mad: str, cluster: int) -> int:
    """A host of a driver of this cloud, with 8 cores and 16 GiB."""
    if not user.is_admin:
        raise oned.denied(user, "CREATE", "HOST")
    cluster = max(cluster, 0)
    oned.get("cluster", cluster)
    common.check_name(name, errors.INTERNAL)
    common.check_free(oned, "host", name, None, errors.INTERNAL)
    if vm_mad not in oned.drivers:
        known = ", ".join(sorted(oned.drivers))
        raise OnedError(errors.INTERNAL, f"Unknown VM driver {vm_mad}; this sandbox has {known}.")
    record = add_host(oned, user, name, vm_mad, DUMMY_CPU, DUMMY_MEMORY)
    record.data["cluster"] = cluster
    scheduler.poke(oned)
    return record.oid


@method("host.info", INT, opt(BOOL, False))
def host_info(oned: Oned, user: User, oid: int, decrypt: bool) -> str:
    """HOST."""
    return render_host(oned, oned.access(user, "host", oid, USE), monitoring=True)


@method("host.update", INT, STR, opt(INT, 0))
def host_update(oned: Oned, user: User, oid: int, text: str, how: int) -> int:
    """Change the host's template: RESERVED_CPU and RESERVED_MEM keep room back, PCI_FILTER hides devices."""
    record = _admin_host(oned, user, oid)
    common.change_template(oned, record, text, how, user)
    record.data["cpu"] = _unreserved(_total_cpu(record), tpl.scalar(record.template, "RESERVED_CPU"))
    record.data["memory"] = _unreserved(numa.total_memory(record), tpl.scalar(record.template, "RESERVED_MEM"))
    scheduler.poke(oned)
    return oid


def _unreserved(total: int, reserved: str) -> int:
    """What is left of `total` when so much ("200", "10%"; a negative one gives away more) is reserved."""
    text = reserved.strip()
    share = text.endswith("%")
    try:
        value = float(text.rstrip("%").strip()) if share else int(text)
    except ValueError:
        return total
    return int(total * (1 - value / 100)) if share else int(total - value)


@method("host.status", INT, INT)
def host_status(oned: Oned, user: User, oid: int, status: int) -> int:
    """0 enable, 1 disable, 2 offline."""
    record = _admin_host(oned, user, oid)
    states = {0: HOST_MONITORED, 1: HOST_DISABLED, 2: HOST_OFFLINE}
    if status not in states:
        raise OnedError(errors.INTERNAL, "Wrong status code")
    record.data["state"] = states[status]
    oned.touch(record)
    scheduler.poke(oned)
    return oid


@method("host.enable", INT, BOOL)
def host_enable(oned: Oned, user: User, oid: int, enable: bool) -> int:
    """The older form of host.status."""
    return int(host_status(oned, user, oid, 0 if enable else 1))


@method("host.delete", INT)
def host_delete(oned: Oned, user: User, oid: int) -> int:
    """Remove a host without VMs."""
    record = _admin_host(oned, user, oid)
    if oned.usage.count(oid):
        raise OnedError(errors.ACTION, "Can not remove a host with running VMs")
    oned.remove(record)
    return oid


def _admin_host(oned: Oned, user: User, oid: int) -> Record:
    record = oned.get("host", oid)
    if not user.is_admin:
        raise oned.denied(user, "ADMIN", "HOST", oid)
    return record


@method("hostpool.info")
def host_pool(oned: Oned, user: User) -> str:
    """HOST_POOL, newest first."""
    return common.pool_xml(oned, "HOST_POOL", common.visible(oned, user, "host", -2, -1, -1), render_host)


def render_cluster(oned: Oned, record: Record) -> str:
    """CLUSTER with its members (datastores and networks are all in cluster 0)."""
    hosts = [host.oid for host in oned.pools["host"].values() if host.data["cluster"] == record.oid]
    datastores = sorted(oned.pools["datastore"]) if record.oid == 0 else []
    networks = sorted(oned.pools["vn"]) if record.oid == 0 else []
    return (
        f"<CLUSTER><ID>{record.oid}</ID>{xml.leaf('NAME', record.name)}{xml.ids('HOSTS', hosts)}"
        f"{xml.ids('DATASTORES', datastores)}{xml.ids('VNETS', networks)}{tpl.to_xml(record.template)}</CLUSTER>"
    )


@method("cluster.allocate", STR)
def cluster_allocate(oned: Oned, user: User, name: str) -> int:
    """A new, empty cluster."""
    if not user.is_admin:
        raise oned.denied(user, "CREATE", "CLUSTER")
    common.check_name(name, errors.INTERNAL)
    common.check_free(oned, "cluster", name, None, errors.INTERNAL)
    return oned.create("cluster", user, name, {"RESERVED_CPU": "", "RESERVED_MEM": ""}).oid


@method("cluster.addhost", INT, INT)
def cluster_addhost(oned: Oned, user: User, oid: int, hid: int) -> int:
    """Move a host into a cluster."""
    oned.get("cluster", oid)
    host = _admin_host(oned, user, hid)
    host.data["cluster"] = oid
    oned.touch(host)
    return oid


@method("cluster.info", INT, opt(BOOL, False))
def cluster_info(oned: Oned, user: User, oid: int, decrypt: bool) -> str:
    """CLUSTER."""
    return render_cluster(oned, oned.access(user, "cluster", oid, USE))


@method("clusterpool.info")
def cluster_pool(oned: Oned, user: User) -> str:
    """CLUSTER_POOL, newest first."""
    return common.pool_xml(oned, "CLUSTER_POOL", common.visible(oned, user, "cluster", -2, -1, -1), render_cluster)


def add_datastore(oned: Oned, user: User, name: str, template: tpl.Template, total: int) -> Record:
    """total in MB."""
    kind = _DATASTORE_TYPES[tpl.scalar(template, "TYPE", "IMAGE_DS")]
    record = oned.create("datastore", user, name, template, type=kind, total=total)
    record.perms = [1, 1, 0, 1, 0, 0, 0, 0, 0]
    return record


def render_datastore(oned: Oned, record: Record) -> str:
    """DATASTORE."""
    used = capacity.datastore_used(oned, record.oid)
    images = [image.oid for image in capacity.datastore_images(oned, record.oid)]
    return (
        f"<DATASTORE>{xml.owner(oned, record)}{xml.permissions(record)}"
        f"{xml.raw('DS_MAD', tpl.scalar(record.template, 'DS_MAD', '-'))}"
        f"{xml.raw('TM_MAD', tpl.scalar(record.template, 'TM_MAD', 'dummy'))}"
        f"{xml.raw('BASE_PATH', f'/var/lib/one/datastores/{record.oid}')}<TYPE>{record.data['type']}</TYPE>"
        f"<DISK_TYPE>0</DISK_TYPE><STATE>0</STATE><CLUSTERS><ID>0</ID></CLUSTERS>"
        f"<TOTAL_MB>{record.data['total']}</TOTAL_MB><FREE_MB>{record.data['total'] - used}</FREE_MB>"
        f"<USED_MB>{used}</USED_MB>{xml.ids('IMAGES', images)}{tpl.to_xml(record.template)}</DATASTORE>"
    )


@method("datastore.allocate", STR, opt(INT, 0))
def datastore_allocate(oned: Oned, user: User, text: str, cluster: int) -> int:
    """A datastore of 20480 MB, or of TOTAL_MB."""
    if not user.is_admin:
        raise oned.denied(user, "CREATE", "DATASTORE")
    template = common.parse(text)
    name = tpl.scalar(template, "NAME")
    template.pop("NAME", None)
    common.check_name(name, errors.INTERNAL)
    common.check_free(oned, "datastore", name, None, errors.INTERNAL)
    if tpl.scalar(template, "TYPE", "IMAGE_DS") not in _DATASTORE_TYPES:
        raise OnedError(errors.INTERNAL, "Wrong datastore type.")
    return add_datastore(oned, user, name, template, int(tpl.scalar(template, "TOTAL_MB", "20480"))).oid


@method("datastore.info", INT, opt(BOOL, False))
def datastore_info(oned: Oned, user: User, oid: int, decrypt: bool) -> str:
    """DATASTORE."""
    return render_datastore(oned, oned.access(user, "datastore", oid, USE))


@method("datastore.delete", INT)
def datastore_delete(oned: Oned, user: User, oid: int) -> int:
    """Remove an empty datastore."""
    record = oned.access(user, "datastore", oid, MANAGE)
    if any(capacity.datastore_images(oned, oid)):
        raise OnedError(errors.ACTION, f"Cannot delete datastore. Datastore {oid} is not empty.")
    oned.remove(record)
    return oid


@method("datastorepool.info")
def datastore_pool(oned: Oned, user: User) -> str:
    """DATASTORE_POOL, newest first."""
    records = common.visible(oned, user, "datastore", -2, -1, -1)
    return common.pool_xml(oned, "DATASTORE_POOL", records, render_datastore)


@method("zonepool.info")
def zone_pool(oned: Oned, user: User) -> str:
    """The one zone."""
    return (
        "<ZONE_POOL><ZONE><ID>0</ID><NAME>OpenNebula</NAME><STATE>0</STATE>"
        f"<TEMPLATE>{xml.raw('ENDPOINT', oned.options.zone_endpoint)}</TEMPLATE><SERVER_POOL></SERVER_POOL>"
        "</ZONE></ZONE_POOL>"
    )


@method("system.version")
def version(oned: Oned, user: User) -> str:
    """The version whose behaviour is emulated."""
    return "7.4.0"
