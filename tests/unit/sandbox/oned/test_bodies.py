# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bodies of answers: which elements, in which order, as a real 7.4 server gives them."""

from __future__ import annotations

import re

import pytest

from .conftest import Client


def outline(xml: str) -> list[str]:
    """Element names in order of appearance, leaves of TEMPLATE-like sections included."""
    return re.findall(r"<([A-Z][A-Z0-9_]*)/?>", xml)


@pytest.fixture(scope="module", autouse=True)
def _objects(one: Client) -> None:
    one("image.allocate", 'NAME="img0"\nTYPE="DATABLOCK"\nSIZE="10"\nPERSISTENT="NO"\nDESCRIPTION="hello"', 1)
    one.wait("image.info", 0, STATE="1")
    one("template.allocate", 'NAME="t"\nCPU="0.1"\nVCPU="1"\nMEMORY="64"\nLABELS="a"\nX="y"\nDISK=[IMAGE_ID="0"]\n'
        'NIC=[NETWORK="private"]\nCONTEXT=[NETWORK="YES"]')  # fmt: skip
    for name in ("one", "two", "three"):
        one.running(one("template.instantiate", 0, name))


PERMISSIONS = "PERMISSIONS OWNER_U OWNER_M OWNER_A GROUP_U GROUP_M GROUP_A OTHER_U OTHER_M OTHER_A "


def test_image(one: Client) -> None:
    assert (
        outline(one("image.info", 0))
        == (
            "IMAGE ID UID GID UNAME GNAME NAME "
            + PERMISSIONS
            + "TYPE DISK_TYPE PERSISTENT REGTIME MODTIME SOURCE PATH "
            "FORMAT FS SIZE STATE PREV_STATE RUNNING_VMS CLONING_OPS CLONING_ID TARGET_SNAPSHOT DATASTORE_ID "
            "DATASTORE VMS "
            "ID ID ID CLONES APP_CLONES TEMPLATE DESCRIPTION DEV_PREFIX SNAPSHOTS ALLOW_ORPHANS CURRENT_BASE "
            "NEXT_SNAPSHOT "
            "BACKUP_INCREMENTS BACKUP_DISK_IDS"
        ).split()
    )


def test_vm(one: Client) -> None:
    names = outline(one("vm.info", 0))
    head = "VM ID UID GID UNAME GNAME NAME " + PERMISSIONS + (
        "LAST_POLL STATE LCM_STATE PREV_STATE PREV_LCM_STATE RESCHED STIME ETIME DEPLOY_ID MONITORING SCHED_ACTIONS "
        "TEMPLATE AUTOMATIC_DS_REQUIREMENTS AUTOMATIC_NIC_REQUIREMENTS AUTOMATIC_REQUIREMENTS CONTEXT DISK_ID ETH0_DNS"
    )  # fmt: skip
    assert names[: len(head.split())] == head.split()
    tail = (
        "USER_TEMPLATE LABELS X HISTORY_RECORDS HISTORY OID SEQ HOSTNAME HID CID STIME ETIME VM_MAD TM_MAD "
        "DS_ID PLAN_ID "
        "ACTION_ID PSTIME PETIME RSTIME RETIME ESTIME EETIME ACTION UID GID REQUEST_ID BACKUPS BACKUP_CONFIG BACKUP_IDS"
    ).split()
    assert names[-len(tail) :] == tail


def test_reduced_vm(one: Client) -> None:
    names = outline(one("vmpool.info", -2, 0, 0, -1))
    assert (
        names
        == (
            "VM_POOL VM ID UID GID UNAME GNAME NAME LAST_POLL STATE LCM_STATE RESCHED STIME ETIME DEPLOY_ID "
            "TEMPLATE CPU "
            "MEMORY VCPU DISK DISK_ID DATASTORE DATASTORE_ID IMAGE IMAGE_ID SIZE TYPE CLONE CLONE_TARGET LN_TARGET "
            "DISK_SNAPSHOT_TOTAL_SIZE NIC IP MAC NETWORK NETWORK_ID NIC_ID SECURITY_GROUPS MONITORING "
            "USER_TEMPLATE LABELS "
            "HISTORY_RECORDS HISTORY OID SEQ HOSTNAME HID CID DS_ID VM_MAD TM_MAD ACTION"
        ).split()
    )


def test_network(one: Client) -> None:
    oid = one(
        "vn.allocate",
        'NAME="recnet"\nVN_MAD="dummy"\nBRIDGE="br0"\nAR=[TYPE="IP4",IP="10.9.0.10",SIZE="20"]\n'
        'NETWORK_ADDRESS="10.9.0.0"\nNETWORK_MASK="255.255.255.0"\nGATEWAY="10.9.0.1"\nDNS="10.9.0.1"',
        -1,
    )
    one.wait("vn.info", oid, STATE="1")
    assert (
        outline(one("vn.info", oid))
        == (
            "VNET ID UID GID UNAME GNAME NAME " + PERMISSIONS + "CLUSTERS ID BRIDGE BRIDGE_TYPE STATE PREV_STATE "
            "PARENT_NETWORK_ID TEMPLATE_ID VN_MAD PHYDEV VLAN_ID OUTER_VLAN_ID VLAN_ID_AUTOMATIC "
            "OUTER_VLAN_ID_AUTOMATIC "
            "USED_LEASES VROUTERS UPDATED_VMS OUTDATED_VMS UPDATING_VMS ERROR_VMS TEMPLATE BRIDGE BRIDGE_TYPE "
            "DNS GATEWAY "
            "NETWORK_ADDRESS NETWORK_MASK OUTER_VLAN_ID PHYDEV SECURITY_GROUPS VLAN_ID VN_MAD AR_POOL AR AR_ID "
            "IP MAC NEXT_INDEX "
            "SHARED SIZE TYPE "
            "MAC_END IP_END USED_LEASES LEASES"
        ).split()
    )
    ar = one.read("vn.info", oid)["AR_POOL"]["AR"]
    assert (ar["MAC"], ar["MAC_END"], ar["IP_END"]) == ("02:00:0a:09:00:0a", "02:00:0a:09:00:1d", "10.9.0.29")


def names(one: Client, *args: int) -> list[str]:
    """Names in a page of the VM pool."""
    return re.findall(r"<NAME>(\w+)</NAME>", one("vmpool.info", *args))


def test_pages_and_filters(one: Client, alice: Client) -> None:
    assert names(one, -2, -1, -1, -1) == ["three", "two", "one"]
    assert names(one, -2, -1, -2, -1) == ["three", "two"]
    assert names(one, -2, 2, -2, -1) == ["one"]
    assert names(one, -2, -10, -2, -1) == ["three", "two"] and names(one, -2, 4, -2, -1) == []
    assert names(one, -2, 1, 2, -1) == ["three", "two"]
    assert names(one, -2, 1, -1, -1) == ["three", "two"]
    assert names(one, 2, -1, -1, -1) == []
    assert names(one, -2, -1, -1, 3) == ["three", "two", "one"] and names(one, -2, -1, -1, 6) == []
    assert names(alice, -2, -1, -1, -1) == []
    one("vm.chmod", 1, -1, -1, -1, -1, -1, -1, 1, -1, -1)
    assert names(alice, -2, -1, -1, -1) == ["two"] and names(alice, -3, -1, -1, -1) == []
    assert re.findall(r"<ID>(\d+)</ID><UID>", one("vmpool.infoset", "0,99,2", False)) == ["2", "0"]
    assert "<PERMISSIONS>" in one("vmpool.infoset", "0", True)
    assert one("vmpool.infoset", "", False) == "<VM_POOL></VM_POOL>"


def test_extended_template(one: Client) -> None:
    disk = one.read("template.info", 0, True)["TEMPLATE"]["DISK"]
    assert (
        list(disk)
        == (
            "ALLOW_ORPHANS CLONE CLONE_TARGET CLUSTER_ID DATASTORE DATASTORE_ID DEV_PREFIX DISK_ID "
            "DISK_SNAPSHOT_TOTAL_SIZE "
            "DISK_TYPE DRIVER FORMAT IMAGE IMAGE_ID IMAGE_STATE LN_TARGET ORIGINAL_SIZE PERSISTENT_SNAPSHOTS "
            "READONLY SAVE "
            "SIZE SOURCE TM_MAD TYPE"
        ).split()
    )
    assert one.read("template.info", 0)["TEMPLATE"]["DISK"] == {"IMAGE_ID": "0"}


def test_fixed_answers(one: Client) -> None:
    assert one("system.version") == "7.4.0"
    assert one.read("clusterpool.info")["CLUSTER"]["HOSTS"] == {"ID": "0"}
    assert one.read("zonepool.info")["ZONE"]["TEMPLATE"]["ENDPOINT"] == one.url
    assert [user["NAME"] for user in one.read("userpool.info")["USER"]] == ["oneadmin", "serveradmin", "alice"]
