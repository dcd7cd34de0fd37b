# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images: what the image module asks for."""

from __future__ import annotations

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
