# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions, rights, and calls that are wrong in form."""

from __future__ import annotations

import xmlrpc.client
from typing import Any

import pytest

from .conformance_client import Cloud


def test_version(cloud: Cloud) -> None:
    assert cloud.ok("one.system.version").startswith("7.")


@pytest.mark.parametrize("session", ["oneadmin:wrong-password", "nobody-at-all:x"])
def test_bad_credentials(cloud: Cloud, session: str) -> None:
    expected = (256, "User couldn't be authenticated, aborting call.")
    assert cloud.error("one.vm.info", 1, session=session) == expected


def test_user_name_taken(cloud: Cloud, stranger: str) -> None:
    name = stranger.partition(":")[0]
    code, text = cloud.error("one.user.allocate", name, "x", "core", [])
    assert code == 8192
    assert text.startswith("NAME is already taken by USER ")


def test_others_may_not(cloud: Cloud, stranger: str) -> None:
    template, image = cloud.template(), cloud.image()
    user = cloud.xml("one.user.info", -1, session=stranger).findtext("ID")
    denied = f"User [{user}] : Not authorized to perform"
    assert cloud.error("one.template.info", template, session=stranger) == (
        512, f"{denied} USE TEMPLATE [{template}].",
    )  # fmt: skip
    assert cloud.error("one.template.instantiate", template, "x", False, "", False, session=stranger) == (
        512, f"{denied} USE TEMPLATE [{template}].",
    )  # fmt: skip
    assert cloud.error("one.template.update", template, 'A="1"', 1, session=stranger) == (
        512, f"{denied} MANAGE TEMPLATE [{template}].",
    )  # fmt: skip
    assert cloud.error("one.image.delete", image, session=stranger) == (512, f"{denied} MANAGE IMAGE [{image}].")


def test_others_may_not_touch_vms(cloud: Cloud, ground: dict[str, Any], stranger: str) -> None:
    vm = cloud.instantiate(ground["template"], hold=True)
    user = cloud.xml("one.user.info", -1, session=stranger).findtext("ID")
    denied = f"User [{user}] : Not authorized to perform"
    assert cloud.error("one.vm.info", vm, session=stranger) == (512, f"{denied} USE VM [{vm}].")
    assert cloud.error("one.vm.action", "poweroff", vm, session=stranger) == (512, f"{denied} MANAGE VM [{vm}].")


def test_restricted_attribute(cloud: Cloud, stranger: str) -> None:
    text = f'NAME="{cloud.name()}"\nCPU=1\nMEMORY=64\nDISK=[IMAGE_ID="0",TOTAL_IOPS_SEC="7"]'
    code, message = cloud.error("one.template.allocate", text, session=stranger)
    assert code == 512
    assert message.endswith("VM Template includes a restricted attribute TOTAL_IOPS_SEC.")


def test_names_are_unique_per_owner(cloud: Cloud, stranger: str) -> None:
    text = f'NAME="{cloud.name()}"\nCPU="1"\nMEMORY="64"'
    mine = cloud.ok("one.template.allocate", text)
    cloud.undo(lambda: cloud.ok("one.template.delete", mine))
    other = cloud.ok("one.template.allocate", text, session=stranger)
    cloud.undo(lambda: cloud.ok("one.template.delete", other))
    assert other != mine
    listed = cloud.xml("one.templatepool.info", -2, -1, -1, session=stranger)
    ids = [int(item.text or -1) for item in listed.findall("VMTEMPLATE/ID")]
    assert other in ids
    assert mine not in ids


@pytest.mark.parametrize(
    ("method", "arguments", "code"),
    [
        ("one.vm.info", ("no number",), -501),
        ("one.vm.info", (), -501),
        ("one.vm.nosuch", (1,), -506),
    ],
)
def test_wrong_calls_are_faults(cloud: Cloud, method: str, arguments: tuple[Any, ...], code: int) -> None:
    with pytest.raises(xmlrpc.client.Fault) as caught:
        cloud.raw(method, *arguments)
    assert caught.value.faultCode == code


def test_extra_arguments_are_ignored(cloud: Cloud) -> None:
    template = cloud.template()
    assert cloud.xml("one.template.info", template, False, False, 1, "x").findtext("ID") == str(template)


# -- OneFlow ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("auth", [("oneadmin", "wrong-password"), ("nobody-at-all", "x")])
def test_bad_credentials_for_oneflow(cloud: Cloud, auth: tuple[str, str]) -> None:
    answer = cloud.flow("GET", "/service", auth=auth)
    assert answer.status == 401
    assert "Not authorized to perform" not in answer.text


def test_oneflow_without_credentials(cloud: Cloud) -> None:
    assert cloud.flow("GET", "/service", auth=None).status == 401


@pytest.mark.not_observed
def test_others_may_not_in_oneflow(cloud: Cloud, stranger: str) -> None:
    user = cloud.xml("one.user.info", -1, session=stranger).findtext("ID")
    name, _colon, password = stranger.partition(":")
    made = cloud.flow("POST", "/service_template", {"name": cloud.name(), "deployment": "straight", "roles": []})
    cloud.undo(lambda: cloud.flow("DELETE", f"/service_template/{made.id}"))
    answer = cloud.flow("GET", f"/service_template/{made.id}", auth=(name, password))
    assert answer.status == 401
    assert f"User [{user}] : Not authorized to perform USE DOCUMENT [{made.id}]." in answer.text


# -- passwords and tokens ---------------------------------------------------------------------------------------------


@pytest.mark.not_observed
def test_a_password_with_colons(cloud: Cloud) -> None:
    """Only the first colon separates user and password, for both protocols."""
    name, password = cloud.name(), "a:b:c"
    user = cloud.ok("one.user.allocate", name, password, "core", [])
    cloud.undo(lambda: cloud.ok("one.user.delete", user))
    assert cloud.xml("one.user.info", -1, session=f"{name}:{password}").findtext("ID") == str(user)
    assert cloud.error("one.user.info", -1, session=f"{name}:a")[0] == 256
    assert cloud.flow("GET", "/service", auth=(name, password)).status == 200
    assert cloud.flow("GET", "/service", auth=(name, "a")).status == 401
