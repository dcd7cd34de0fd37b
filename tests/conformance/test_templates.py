# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VM templates: what the template module asks for."""

from __future__ import annotations

from typing import Any

import pytest

from .conformance_client import Cloud


def test_allocate_and_read(cloud: Cloud) -> None:
    nics = 'NIC=[NETWORK="x"]\nNIC=[NETWORK="y"]'
    template = cloud.template(f'CONTEXT=[NETWORK="YES",START_SCRIPT="echo \\"hi\\""]\nLABELS="a,b"\n{nics}')
    info = cloud.xml("one.template.info", template)
    assert info.tag == "VMTEMPLATE"
    assert info.findtext("TEMPLATE/CONTEXT/START_SCRIPT") == 'echo "hi"'
    assert [item.text for item in info.findall("TEMPLATE/NIC/NETWORK")] == ["x", "y"]
    pool = cloud.xml("one.templatepool.info", -2, -1, -1)
    bodies = {item.findtext("ID"): item for item in pool.findall("VMTEMPLATE")}
    assert bodies[str(template)].findtext("TEMPLATE/CONTEXT/NETWORK") == "YES"


def test_name_taken(cloud: Cloud) -> None:
    template = cloud.template()
    name = cloud.xml("one.template.info", template).findtext("NAME")
    expected = (8192, f"NAME is already taken by TEMPLATE {template}.")
    assert cloud.error("one.template.allocate", f'NAME="{name}"\nCPU="1"\nMEMORY="64"') == expected
    assert cloud.error("one.template.clone", template, name, False) == expected


def test_bad_requests(cloud: Cloud) -> None:
    template = cloud.template()
    assert cloud.error("one.template.allocate", "CPU=1") == (8192, "Invalid NAME, it cannot be empty")
    assert cloud.error("one.template.allocate", "NAME=bad\nCPU=[") == (
        8192,
        "Parse error: syntax error, unexpected $end, expecting CBRACKET or VARIABLE at line 1, columns 14:15",
    )
    assert cloud.error("one.template.update", template, "MEMORY=", 1) == (
        8192,
        "Cannot update template. Parse error: syntax error, unexpected $end, expecting OBRACKET or CCDATA or STRING "
        "at line 0, columns 7:8",
    )
    for method, rest in (("info", ()), ("update", ('A="1"', 1)), ("instantiate", ("x", False, "", False))):
        assert cloud.error(f"one.template.{method}", 99999, *rest) == (
            1024, "Error getting virtual machine template [99999].",
        )  # fmt: skip


def test_update_merges_or_replaces(cloud: Cloud) -> None:
    template = cloud.template('FOO="1"')
    cloud.ok("one.template.update", template, 'LABELS="c"\nNIC=[NETWORK="x"]', 1)
    info = cloud.xml("one.template.info", template)
    assert info.findtext("TEMPLATE/FOO") == "1"
    cloud.ok("one.template.update", template, f'CPU="2"\nMEMORY="64"\nNAME="{cloud.name()}"', 0)
    replaced = cloud.xml("one.template.info", template)
    assert replaced.find("TEMPLATE/FOO") is None
    assert replaced.findtext("NAME") == info.findtext("NAME")


def test_rename_clone_delete(cloud: Cloud) -> None:
    template = cloud.template()
    copy_name = cloud.name()
    copy = cloud.ok("one.template.clone", template, copy_name, False)
    cloud.undo(lambda: cloud.ok("one.template.delete", copy))
    assert cloud.error("one.template.rename", template, copy_name) == (
        2048,
        f"virtual machine template cannot be renamed to {copy_name} because it collides with virtual machine template "
        f"{copy}",
    )
    assert cloud.ok("one.template.delete", copy, False) == copy
    gone = (1024, f"Error getting virtual machine template [{copy}].")
    assert cloud.error("one.template.delete", copy, False) == gone
    assert cloud.ok("one.template.rename", template, copy_name) == template


def test_rights_and_lock(cloud: Cloud) -> None:
    template = cloud.template()
    cloud.ok("one.template.chmod", template, 1, 1, 0, 1, 0, 0, 0, 0, 0)
    assert cloud.xml("one.template.info", template).findtext("PERMISSIONS/GROUP_U") == "1"
    assert cloud.ok("one.template.chown", template, -1, -1) == template
    assert cloud.error("one.template.chown", template, 99999, -1) == (1024, "Error getting user [99999].")
    cloud.ok("one.template.lock", template, 4, False)
    code, message = cloud.error("one.template.update", template, 'X="1"', 1)
    cloud.ok("one.template.unlock", template)
    assert code == 512
    assert message.endswith(f"TEMPLATE is locked. [{template}].")


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ('DISK=[IMAGE_ID="99977"]', "DISK 0: Image with ID: 99977 does not exist"),
        (
            'NIC=[NETWORK="nonet"]',
            "User 0 does not own a network with name: nonet . Set NETWORK_UNAME or NETWORK_UID of owner in NIC.",
        ),
    ],
)
def test_instantiate_with_wrong_references(cloud: Cloud, ground: dict[str, Any], extra: str, reason: str) -> None:
    failed = cloud.error("one.template.instantiate", ground["template"], cloud.name(), False, extra, False)
    assert failed == (16384, f"Error allocating a new virtual machine template. {reason}")


@pytest.mark.not_observed
@pytest.mark.parametrize(("level", "kept"), [(1, "1"), (2, "2"), (3, "3"), (4, "1")])
def test_lock_levels(cloud: Cloud, level: int, kept: str) -> None:
    template = cloud.template()
    cloud.undo(lambda: cloud.ok("one.template.unlock", template))
    assert cloud.ok("one.template.lock", template, level, False) == template
    assert cloud.xml("one.template.info", template).findtext("LOCK/LOCKED") == kept
    refused = (512, f"User [0] : TEMPLATE is locked. [{template}].")
    calls: list[tuple[str, tuple[Any, ...], str]] = [
        ("clone", (cloud.name(), False), "1"),
        ("instantiate", (cloud.name(), True, "", False), "1"),
        ("update", ('A="1"', 1), "12"),
        ("chmod", (-1, -1, -1, 1, -1, -1, -1, -1, -1), "12"),
        ("chmod", (-1, -1, 1, -1, -1, -1, -1, -1, -1), "123"),
        ("delete", (False,), "12"),
    ]
    for method, rest, levels in calls:
        if kept in levels:
            assert cloud.error(f"one.template.{method}", template, *rest) == refused, method


@pytest.mark.not_observed
def test_administrators_may_change_any_lock(cloud: Cloud, stranger: str) -> None:
    template = cloud.template(session=stranger)
    cloud.ok("one.template.lock", template, 2, False, session=stranger)
    cloud.ok("one.template.lock", template, 1, False)
    assert cloud.xml("one.template.info", template).findtext("LOCK/OWNER") == "0"
    assert cloud.ok("one.template.unlock", template) == template
    assert cloud.ok("one.template.unlock", template) == template


@pytest.mark.not_observed
def test_recursive_clone_and_delete(cloud: Cloud) -> None:
    image = cloud.image()
    name = cloud.xml("one.image.info", image).findtext("NAME")
    template = cloud.template(f'DISK=[IMAGE="{name}",IMAGE_UNAME="oneadmin"]\nDISK=[TYPE="fs",SIZE="8"]')
    copy_name = cloud.name()
    copy = cloud.ok("one.template.clone", template, copy_name, True)
    cloud.undo(lambda: cloud.ok("one.template.delete", copy, True))
    disks = cloud.xml("one.template.info", copy).findall("TEMPLATE/DISK")
    copied = int(disks[0].findtext("IMAGE_ID") or -1)
    assert disks[0].find("IMAGE") is None and disks[0].find("IMAGE_UNAME") is None
    assert disks[1].findtext("TYPE") == "fs"
    assert cloud.xml("one.image.info", copied).findtext("NAME") == f"{copy_name}-disk-0"
    cloud.wait_image(copied, "1")
    assert cloud.ok("one.template.delete", copy, True) == copy
    cloud.until(lambda: cloud.raw("one.image.info", copied)[0] is False, "image gone")


@pytest.mark.not_observed
def test_a_recursive_deletion_says_nothing_of_images_that_stay(cloud: Cloud) -> None:
    image = cloud.image()
    cloud.ok("one.image.lock", image, 2, False)
    cloud.undo(lambda: cloud.ok("one.image.unlock", image))
    template = cloud.template(f'DISK=[IMAGE_ID="{image}"]')
    assert cloud.ok("one.template.delete", template, True) == template
    assert cloud.xml("one.image.info", image).findtext("STATE") == "1"


@pytest.mark.not_observed
def test_a_recursive_clone_that_fails_leaves_nothing(cloud: Cloud) -> None:
    image = cloud.image()
    cloud.ok("one.image.enable", image, False)
    template = cloud.template(f'DISK=[IMAGE_ID="{image}"]')
    name = cloud.name()
    code, text = cloud.error("one.template.clone", template, name, True)
    assert code == 2048 and text.startswith("Failed to clone images: ")
    pool = cloud.xml("one.templatepool.info", -2, -1, -1)
    assert name not in [item.text for item in pool.findall("VMTEMPLATE/NAME")]
