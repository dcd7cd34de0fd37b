# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images: what the image module asks for."""

from __future__ import annotations

from typing import Any

import pytest

from .conformance_client import Cloud


def test_allocate_and_read(cloud: Cloud) -> None:
    image = cloud.image('PERSISTENT="NO"\nDESCRIPTION="hello"')
    info = cloud.xml("one.image.info", image, False)
    assert info.tag == "IMAGE"
    assert info.findtext("STATE") == "1"
    assert info.findtext("TYPE") == "2"
    assert info.findtext("PERSISTENT") == "0"
    assert info.findtext("SIZE") == "8"
    assert info.findtext("TEMPLATE/DESCRIPTION") == "hello"
    assert info.findtext("DATASTORE_ID") == "1"
    assert info.findtext("PERMISSIONS/OWNER_M") == "1"
    assert info.findtext("PERMISSIONS/GROUP_U") == "0"
    pool = cloud.xml("one.imagepool.info", -2, -1, -1)
    assert str(image) in [item.text for item in pool.findall("IMAGE/ID")]


def test_name_taken(cloud: Cloud) -> None:
    image = cloud.image()
    name = cloud.xml("one.image.info", image).findtext("NAME")
    expected = (16384, f"Error allocating a new image. NAME is already taken by IMAGE {image}.")
    assert cloud.error("one.image.allocate", f'NAME="{name}"\nTYPE="DATABLOCK"\nSIZE="8"', 1) == expected
    assert cloud.error("one.image.clone", image, name, -1) == expected


def test_bad_requests(cloud: Cloud) -> None:
    assert cloud.error("one.image.allocate", 'TYPE="DATABLOCK"\nSIZE="8"', 1) == (
        16384, "Error allocating a new image. Invalid NAME, it cannot be empty",
    )  # fmt: skip
    text = f'NAME="{cloud.name()}"\nTYPE="DATABLOCK"\nSIZE="8"'
    assert cloud.error("one.image.allocate", text, 9977) == (1024, "Error getting datastore [9977].")
    code, message = cloud.error("one.image.allocate", 'NAME="imgx" TYPE=[[', 1)
    assert code == 8192
    assert message.startswith("Parse error: syntax error, unexpected $end, expecting CBRACKET or VARIABLE at line")
    assert cloud.error("one.image.info", 99999) == (1024, "Error getting image [99999].")


def test_no_space(cloud: Cloud) -> None:
    text = f'NAME="{cloud.name()}"\nTYPE="DATABLOCK"\nSIZE="999999999"'
    code, message = cloud.error("one.image.allocate", text, 1)
    assert (code, message) == (2048, "Not enough space in datastore")


def test_update_merges_or_replaces(cloud: Cloud) -> None:
    image = cloud.image('DESCRIPTION="old"')
    cloud.ok("one.image.update", image, 'FOO="bar"', 1)
    assert cloud.xml("one.image.info", image).findtext("TEMPLATE/DESCRIPTION") == "old"
    cloud.ok("one.image.update", image, 'FOO="bar"\nLABELS="x"', 0)
    info = cloud.xml("one.image.info", image)
    assert info.find("TEMPLATE/DESCRIPTION") is None
    assert info.findtext("TEMPLATE/FOO") == "bar"


def test_rename(cloud: Cloud) -> None:
    first, second = cloud.image(), cloud.image()
    name = cloud.xml("one.image.info", first).findtext("NAME")
    assert cloud.error("one.image.rename", second, name) == (
        2048, f"image cannot be renamed to {name} because it collides with image {first}",
    )  # fmt: skip
    assert cloud.ok("one.image.rename", first, name) == first
    fresh = cloud.name()
    assert cloud.ok("one.image.rename", first, fresh) == first
    assert cloud.xml("one.image.info", first).findtext("NAME") == fresh


def test_switches(cloud: Cloud) -> None:
    image = cloud.image()
    assert cloud.ok("one.image.persistent", image, True) == image
    assert cloud.xml("one.image.info", image).findtext("PERSISTENT") == "1"
    cloud.ok("one.image.persistent", image, False)
    for wanted, state in ((False, "3"), (False, "3"), (True, "1")):
        assert cloud.ok("one.image.enable", image, wanted) == image
        assert cloud.xml("one.image.info", image).findtext("STATE") == state
    cloud.ok("one.image.chtype", image, "OS")
    assert cloud.xml("one.image.info", image).findtext("TYPE") == "0"
    cloud.ok("one.image.chmod", image, -1, -1, -1, 1, -1, -1, -1, -1, -1)
    assert cloud.xml("one.image.info", image).findtext("PERMISSIONS/GROUP_U") == "1"


def test_lock(cloud: Cloud) -> None:
    image = cloud.image()
    cloud.ok("one.image.lock", image, 4, False)
    code, message = cloud.error("one.image.delete", image, False)
    cloud.ok("one.image.unlock", image)
    assert code == 512
    assert message.endswith(f"IMAGE is locked. [{image}].")


def test_clone_and_delete(cloud: Cloud) -> None:
    image = cloud.image()
    copy = cloud.ok("one.image.clone", image, cloud.name(), -1)
    cloud.undo(lambda: cloud.ok("one.image.delete", copy))
    cloud.wait_image(copy, "1")
    assert cloud.ok("one.image.delete", copy, False) == copy
    cloud.until(lambda: cloud.raw("one.image.info", copy)[0] is False, "image gone")


@pytest.mark.not_observed
def test_chown(cloud: Cloud, stranger: str) -> None:
    image = cloud.image()
    user = int(cloud.xml("one.user.info", -1, session=stranger).findtext("ID") or -1)
    cloud.ok("one.image.chown", image, user, -1)
    assert cloud.xml("one.image.info", image, session=stranger).findtext("UID") == str(user)


@pytest.mark.not_observed
@pytest.mark.parametrize(("level", "kept"), [(1, "1"), (2, "2"), (3, "3"), (4, "1")])
def test_lock_levels(cloud: Cloud, level: int, kept: str) -> None:
    image = cloud.image()
    cloud.undo(lambda: cloud.ok("one.image.unlock", image))
    assert cloud.ok("one.image.lock", image, level, False) == image
    info = cloud.xml("one.image.info", image)
    assert info.findtext("LOCK/LOCKED") == kept and info.findtext("LOCK/OWNER") == "0"
    assert int(info.findtext("LOCK/TIME") or 0) > 0 and info.find("LOCK/REQ_ID") is not None
    refused = (512, f"User [0] : IMAGE is locked. [{image}].")
    if kept in "12":
        assert cloud.error("one.image.rename", image, cloud.name()) == refused
    else:
        assert cloud.ok("one.image.rename", image, cloud.name()) == image
    copied = cloud.raw("one.image.clone", image, cloud.name(), -1)
    if copied[0]:
        cloud.undo(lambda: cloud.ok("one.image.delete", copied[1]))
        cloud.wait_image(copied[1], "1")
    assert (copied[0] is False) == (kept == "1")


@pytest.mark.not_observed
def test_a_lock_belongs_to_a_user(cloud: Cloud, stranger: str) -> None:
    image = cloud.image(session=stranger)
    cloud.undo(lambda: cloud.ok("one.image.unlock", image))
    assert cloud.error("one.image.lock", image, 5, False) == (2048, "Wrong lock level specified")
    assert cloud.error("one.image.unlock", image, session=stranger)[0] == 2048
    cloud.ok("one.image.lock", image, 2, False)
    code, time = cloud.error("one.image.lock", image, 2, True, session=stranger)
    assert code == 2048 and time == cloud.xml("one.image.info", image).findtext("LOCK/TIME")
    busy = (2048, "Error trying to lock the resource.")
    assert cloud.error("one.image.lock", image, 1, False, session=stranger) == busy
    foreign = (2048, "Cannot unlock: Lock is owned by another user")
    assert cloud.error("one.image.unlock", image, session=stranger) == foreign
    user = cloud.xml("one.user.info", -1, session=stranger).findtext("ID")
    denied = (512, f"User [{user}] : Not authorized to perform MANAGE IMAGE [{image}].")
    assert cloud.error("one.image.update", image, "A=1", 1, session=stranger) == denied


@pytest.mark.not_observed
def test_a_change_of_state_takes_the_lock_away(cloud: Cloud) -> None:
    image = cloud.image()
    cloud.ok("one.image.lock", image, 2, False)
    copy = cloud.ok("one.image.clone", image, cloud.name(), -1)
    cloud.undo(lambda: cloud.ok("one.image.delete", copy))
    cloud.wait_image(copy, "1")
    cloud.wait_image(image, "1")
    assert cloud.xml("one.image.info", image).find("LOCK") is None


@pytest.mark.not_observed
def test_a_copy_is_as_persistent_as_its_source(cloud: Cloud) -> None:
    image = cloud.image('PERSISTENT="YES"')
    copy = cloud.ok("one.image.clone", image, cloud.name(), -1)
    cloud.undo(lambda: cloud.ok("one.image.delete", copy))
    cloud.wait_image(copy, "1")
    assert cloud.xml("one.image.info", copy).findtext("PERSISTENT") == "1"
    cloud.wait_image(image, "1")
    cloud.ok("one.image.enable", image, False)
    assert cloud.error("one.image.clone", image, cloud.name(), -1)[1].endswith("Cannot clone image in state: DISABLED")


@pytest.mark.not_observed
def test_format_file_system_and_source(cloud: Cloud) -> None:
    image = cloud.image('FORMAT="qcow2"\nFS="ext4"')
    info = cloud.xml("one.image.info", image)
    assert (info.findtext("FORMAT"), info.findtext("FS")) == ("qcow2", "ext4")
    assert info.find("TEMPLATE/FORMAT") is None and info.find("TEMPLATE/FS") is None
    held = cloud.image('SOURCE="/volumes/1"\nFORMAT="raw"')
    assert cloud.xml("one.image.info", held).findtext("SOURCE") == "/volumes/1"
    text = f'NAME="{cloud.name()}"\nTYPE="DATABLOCK"\nSIZE="8"\nSOURCE="/volumes/2"'
    assert cloud.error("one.image.allocate", text, 1) == (
        16384, "Error allocating a new image. SOURCE needs FORMAT to be set.",
    )  # fmt: skip


@pytest.mark.not_observed
@pytest.mark.parametrize(
    ("text", "store", "code", "message"),
    [
        ('TYPE="OS"', 1, 8192, "Cannot parse image SIZE: Wrong number or missing SIZE attribute."),
        ('TYPE="KERNEL"', 2, 8192, "Cannot parse image SIZE: Either PATH or SOURCE are required for KERNEL"),
        ('TYPE="DATABLOCK"\nSIZE="8"', 0, 16384, "New images can only be allocated in a files or image datastore."),
        (
            'TYPE="DATABLOCK"\nSIZE="8"',
            2,
            16384,
            "Error allocating a new image. Only IMAGES of type KERNEL, RAMDISK and CONTEXT can be registered in a "
            "FILE_DS datastore",
        ),
    ],
)
def test_new_images_that_cannot_be(cloud: Cloud, text: str, store: int, code: int, message: str) -> None:
    assert cloud.error("one.image.allocate", f'NAME="{cloud.name()}"\n{text}', store) == (code, message)


@pytest.mark.not_observed
def test_types_that_do_not_fit(cloud: Cloud) -> None:
    image = cloud.image()
    text = "Cannot change image type to an incompatible type for the current datastore."
    assert cloud.error("one.image.chtype", image, "KERNEL") == (2048, text)


@pytest.mark.not_observed
def test_an_image_in_use(cloud: Cloud, ground: dict[str, Any]) -> None:
    image = cloud.image()
    vm = cloud.instantiate(ground["template"], f'DISK=[IMAGE_ID="{image}"]', hold=True)
    cloud.wait_image(image, "2")
    assert cloud.error("one.image.delete", image) == (2048, "Cannot delete image. There are 1 VMs using it.")
    switched = cloud.error("one.image.persistent", image, True)
    assert switched == (8192, "Could not make image persistent: Image cannot be in state USED.")
    disabled = cloud.error("one.image.enable", image, False)
    assert disabled == (8192, "Could not disable image: Image cannot be in state USED.")
    cloud.end(vm)
    cloud.wait_image(image, "1")
