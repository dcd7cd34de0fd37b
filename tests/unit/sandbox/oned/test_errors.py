# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Error answers: texts, codes and object ids as a real 7.4 server gives them."""

from __future__ import annotations

import xmlrpc.client
from typing import Any

import pytest

from .conftest import Client

AUTH = "User couldn't be authenticated, aborting call."


@pytest.fixture(scope="module", autouse=True)
def _objects(one: Client, alice: Client) -> None:
    assert one("image.allocate", 'NAME="img0"\nTYPE="DATABLOCK"\nSIZE="10"', 1) == 0
    assert one("image.allocate", 'NAME="img1"\nTYPE="OS"\nPATH="/var/tmp/small.img"', 1, False) == 1
    one.wait("image.info", 0, STATE="1")
    one.wait("image.info", 1, STATE="1")
    assert one("template.allocate", 'NAME="tmpl0"\nCPU="0.1"\nMEMORY="64"\nDISK=[IMAGE_ID="1"]') == 0
    assert one("template.allocate", 'NAME="tmpl1"\nCPU="0.1"\nMEMORY="64"') == 1
    assert one("template.instantiate", 0, "vm0") == 0
    one.running(0)


ALLOCATE_IMAGE = "Error allocating a new image. "
ALLOCATE_VM = "Error allocating a new virtual machine template. "
ERRORS: list[tuple[str, tuple[Any, ...], str, int, int]] = [
    ("user.allocate", ("alice", "x", "core", []), "NAME is already taken by USER 2.", 8192, -1),
    (
        "image.allocate",
        ('NAME="img0"\nTYPE="DATABLOCK"\nSIZE="10"', 1),
        ALLOCATE_IMAGE + "NAME is already taken by IMAGE 0.",
        16384,
        -1,
    ),
    (
        "image.allocate",
        ('TYPE="OS"\nPATH="/x"', 1, False),
        ALLOCATE_IMAGE + "Invalid NAME, it cannot be empty",
        16384,
        -1,
    ),
    ("image.allocate", ('NAME="x"\nTYPE="OS"\nPATH="/x"', 77), "Error getting datastore [77].", 1024, 77),
    ("image.allocate", ('NAME="x"\nTYPE="DATABLOCK"\nSIZE="999999"', 1), "Not enough space in datastore", 2048, -1),
    ("image.info", (999,), "Error getting image [999].", 1024, 999),
    ("image.rename", (0, "img1"), "image cannot be renamed to img1 because it collides with image 1", 2048, -1),
    ("image.rename", (0, ""), "Invalid NAME, it cannot be empty", 2048, -1),
    ("image.clone", (0, "img1"), ALLOCATE_IMAGE + "NAME is already taken by IMAGE 1.", 16384, -1),
    ("image.delete", (1,), "Cannot delete image. There are 1 VMs using it.", 2048, -1),
    ("image.delete", (1, True), "Cannot delete image. There are 1 VMs using it.", 2048, -1),
    ("template.allocate", ('NAME="tmpl0"',), "NAME is already taken by TEMPLATE 0.", 8192, -1),
    ("template.allocate", ("CPU=1",), "Invalid NAME, it cannot be empty", 8192, -1),
    ("template.clone", (1, "tmpl0"), "NAME is already taken by TEMPLATE 0.", 8192, -1),
    ("template.info", (99,), "Error getting virtual machine template [99].", 1024, 99),
    ("template.update", (99, "A=1", 1), "Error getting virtual machine template [99].", 1024, 99),
    (
        "template.update",
        (0, "MEMORY=", 1),
        "Cannot update template. Parse error: syntax error, unexpected $end, "
        "expecting OBRACKET or CCDATA or STRING at line 0, columns 7:8",
        8192,
        -1,
    ),
    (
        "template.rename",
        (1, "tmpl0"),
        "virtual machine template cannot be renamed to tmpl0 because it collides with virtual machine template 0",
        2048,
        -1,
    ),
    ("template.chown", (0, 999, -1), "Error getting user [999].", 1024, 999),
    ("template.instantiate", (99, "x"), "Error getting virtual machine template [99].", 1024, 99),
    (
        "template.instantiate",
        (1, "x", False, 'DISK=[IMAGE_ID="77"]'),
        ALLOCATE_VM + "DISK 0: Image with ID: 77 does not exist",
        16384,
        -1,
    ),
    (
        "template.instantiate",
        (1, "x", False, 'NIC=[NETWORK="nonet"]'),
        ALLOCATE_VM + "User 0 does not own a network with "
        "name: nonet . Set NETWORK_UNAME or NETWORK_UID of owner in NIC.",
        16384,
        -1,
    ),
    ("vm.info", (999,), "Error getting virtual machine [999].", 1024, 999),
    (
        "vm.action",
        ("resume", 0),
        'Error performing action "resume": This action is not available for state RUNNING',
        2048,
        -1,
    ),
    ("vm.action", ("foo", 0), 'Action "foo" is not supported', 2048, -1),
    ("vm.deploy", (0, 0, False, 0, ""), "Deploy action is not available for state RUNNING", 2048, -1),
    ("vm.detach", (0, 7), "VM disk does not exist", 2048, -1),
    ("vmpool.info", (-2, -1, -1, -1, "A=B"), "JSON query search is not supported by the SQL backend", 8192, -1),
    ("vn.allocate", ('NAME="private"\nVN_MAD="dummy"', -1), "NAME is already taken by NET 0.", 8192, -1),
    ("vn.allocate", ('NAME="n"', -1), "No VN_MAD in template for Virtual Network.", 8192, -1),
    ("host.info", (99,), "Error getting host [99].", 1024, 99),
    ("document.info", (9999,), "Error getting document [9999].", 1024, 9999),
]


@pytest.mark.parametrize(("method", "args", "text", "code", "oid"), ERRORS)
def test_errors(one: Client, method: str, args: tuple[Any, ...], text: str, code: int, oid: int) -> None:
    assert one.fails(method, *args).answer == [False, f"[one.{method}] {text}", code, oid, -1]


DENIED: list[tuple[str, tuple[Any, ...], str]] = [
    ("vm.info", (0,), "Not authorized to perform USE VM [0]."),
    ("template.info", (0,), "Not authorized to perform USE TEMPLATE [0]."),
    ("template.instantiate", (0, "x", False, "", False), "Not authorized to perform USE TEMPLATE [0]."),
    ("image.delete", (0,), "Not authorized to perform MANAGE IMAGE [0]."),
    ("template.update", (0, "A=1", 1), "Not authorized to perform MANAGE TEMPLATE [0]."),
    ("vm.action", ("poweroff", 0), "Not authorized to perform MANAGE VM [0]."),
    ("template.allocate", ('NAME="a"\nCPU=1\nMEMORY=64\nDISK=[IMAGE_ID="0",TOTAL_IOPS_SEC="7"]',),
     "VM Template includes a restricted attribute TOTAL_IOPS_SEC."),
]  # fmt: skip


@pytest.mark.parametrize(("method", "args", "text"), DENIED)
def test_denied_to_others(alice: Client, method: str, args: tuple[Any, ...], text: str) -> None:
    assert alice.fails(method, *args).answer == [False, f"[one.{method}] User [2] : {text}", 512, -1, -1]


@pytest.mark.parametrize("session", ["oneadmin:wrong", "nobody:x", "", "alice:pw"])
def test_bad_credentials(one: Client, session: str) -> None:
    failure = Client(one.url, session).fails("vm.info", 1)
    assert failure.answer == [False, f"[one.vm.info] {AUTH}", 256, -1, -1]


def test_names_are_unique_per_owner(one: Client, alice: Client) -> None:
    oid = alice("template.allocate", 'NAME="tmpl0"\nCPU=1\nMEMORY=64')
    assert alice.read("templatepool.info", -2, -1, -1)["VMTEMPLATE"]["ID"] == str(oid)
    alice("template.delete", oid)


@pytest.mark.parametrize(
    ("method", "args", "code", "text"),
    [
        ("vm.info", ("x",), -501, "Parameter that is supposed to be integer is not"),
        ("vm.info", (True,), -501, "Parameter that is supposed to be integer is not"),
        ("vm.info", (), -501, "Not enough parameters"),
        ("vm.nonsense", (1,), -506, "Method 'one.vm.nonsense' not defined"),
        ("vm.migrate", (0, 0, True, True, 0), -506, "Method 'one.vm.migrate' not defined"),
    ],
)
def test_faults(one: Client, method: str, args: tuple[Any, ...], code: int, text: str) -> None:
    with pytest.raises(xmlrpc.client.Fault) as caught:
        one(method, *args)
    assert (caught.value.faultCode, caught.value.faultString) == (code, text)


def test_superfluous_arguments_are_ignored(one: Client) -> None:
    assert one("system.version", 1, "x") == "7.4.0"


def test_locks(one: Client) -> None:
    oid = one("template.allocate", 'NAME="locked"')
    assert one("template.lock", oid, 4, False) == oid
    assert one.fails("template.update", oid, "A=1", 1).answer == [
        False, f"[one.template.update] User [0] : TEMPLATE is locked. [{oid}].", 512, -1, -1,
    ]  # fmt: skip
    assert one.read("template.info", oid)["LOCK"]["LOCKED"] == "1"
    assert one("template.unlock", oid) == oid
    assert one("template.update", oid, "A=1", 1) == oid
    assert one("template.delete", oid) == oid
