# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images and templates in the sandbox: copies, locks, forced deletions, what a new image may be."""

from __future__ import annotations

import pytest
from one_sandbox import Sandbox

from .conftest import Client, dummy_of

BLOCK = 'TYPE="DATABLOCK"\nSIZE="8"'


def block(one: Client, name: str, text: str = "") -> int:
    """A data block that is READY."""
    oid: int = one("image.allocate", f'NAME="{name}"\n{BLOCK}\n{text}', 1)
    one.wait("image.info", oid, STATE="1")
    return oid


@pytest.mark.parametrize(("persistent", "meanwhile"), [("NO", "2"), ("YES", "6")])
def test_the_source_of_a_copy_is_in_use_until_the_copy_is_made(
    cloud: Sandbox, one: Client, persistent: str, meanwhile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    oid = block(one, f"source-{persistent}", f'PERSISTENT="{persistent}"')
    # Long enough to look at it while it is being made.
    monkeypatch.setattr(cloud.oned.options, "image_delay", 2.0)
    copy = one("image.clone", oid, f"copy-{persistent}", -1)
    source = one.read("image.info", oid)
    assert (source["STATE"], source["CLONING_OPS"], source["CLONES"]) == (meanwhile, "1", {"ID": str(copy)})
    words = "There are 1 active clone operations." if persistent == "YES" else "There are 0 VMs using it."
    assert one.fails("image.delete", oid).text.endswith(f"Cannot delete image. {words}")
    one.wait("image.info", copy, STATE="1", CLONING_ID="-1")
    assert one.wait("image.info", oid, STATE="1", CLONING_OPS="0")["PERSISTENT"] == str(int(persistent == "YES"))


def test_a_lock_is_gone_after_a_change_of_state(one: Client) -> None:
    oid = block(one, "locked")
    one("image.lock", oid, 3)
    one("image.enable", oid, True)
    assert one.read("image.info", oid)["LOCK"]["LOCKED"] == "3"
    one("image.enable", oid, False)
    assert "LOCK" not in one.read("image.info", oid)


def test_a_lock_of_level_use_keeps_vms_off(one: Client) -> None:
    oid = block(one, "kept")
    one("image.lock", oid, 1)
    template = one("template.allocate", f'NAME="uses"\nCPU="0.1"\nMEMORY="64"\nDISK=[IMAGE_ID="{oid}"]')
    assert f"IMAGE is locked. [{oid}]." in one.fails("template.instantiate", template, "vm").text
    one("image.unlock", oid)
    one("template.lock", template, 1)
    assert one.fails("template.instantiate", template, "vm").text.endswith(f"TEMPLATE is locked. [{template}].")
    assert one.read("template.info", template)["NAME"] == "uses"


def test_only_admin_rights_delete_an_image_that_is_being_copied(cloud: Sandbox, one: Client, alice: Client) -> None:
    gate = dummy_of(cloud).imports_go
    gate.clear()
    try:
        oid = alice("image.allocate", 'NAME="slow"\nTYPE="OS"\nPATH="/slow.img"', 1)
        first = alice.fails("image.delete", oid)
        assert (first.code, first.oid) == (8192, oid) and "Image locked" in first.text
        assert "Not authorized to perform ADMIN IMAGE" in alice.fails("image.delete", oid, True).text
        assert one("image.delete", oid, True) == oid
    finally:
        gate.set()


def test_admin_bits_take_admin_rights(one: Client, alice: Client) -> None:
    oid = alice("template.allocate", 'NAME="mine"')
    assert alice("template.chmod", oid, -1, -1, -1, 1, 1, -1, 1, 1, -1) == oid
    denied = f"Not authorized to perform ADMIN TEMPLATE [{oid}]."
    assert alice.fails("template.chmod", oid, -1, -1, 1, -1, -1, -1, -1, -1, -1).text.endswith(denied)
    assert one("template.chmod", oid, -1, -1, 1, -1, -1, -1, -1, -1, -1) == oid


def test_images_that_the_datastore_holds_are_ready_at_once(one: Client) -> None:
    oid = one("image.allocate", f'NAME="held"\n{BLOCK}\nSOURCE="/v"\nFORMAT="raw"', 1)
    assert one.read("image.info", oid)["STATE"] == "1"
    both = one.fails("image.allocate", f'NAME="both"\n{BLOCK}\nSOURCE="/v"\nFORMAT="raw"\nPATH="/p"', 1)
    assert both.text.endswith("PATH and SOURCE cannot be both set.")
    unknown = one.fails("image.allocate", 'NAME="odd"\nTYPE="TAPE"\nPATH="/p"', 1)
    assert unknown.text.endswith("Unknown type TAPE")


def test_files_are_no_disks(one: Client) -> None:
    oid = one("image.allocate", 'NAME="kernel"\nTYPE="KERNEL"\nPATH="/k"\nPERSISTENT="YES"', 2)
    body = one.wait("image.info", oid, STATE="1")
    assert body["PERSISTENT"] == "0" and "DEV_PREFIX" not in body["TEMPLATE"]
    assert one.fails("image.clone", oid, "kernel-2").text.endswith("KERNEL images cannot be cloned.")
    assert one.fails("image.persistent", oid, True).code == 2048


def test_a_failed_recursive_clone_leaves_what_is_still_being_copied(one: Client) -> None:
    good, bad = block(one, "good"), block(one, "bad")
    one("image.enable", bad, False)
    template = one("template.allocate", f'NAME="two"\nDISK=[IMAGE_ID="{good}"]\nDISK=[IMAGE_ID="{bad}"]')
    failed = one.fails("template.clone", template, "three", True)
    assert failed.code == 2048 and "Failed to clone images: " in failed.text
    one.wait("image.info", good, STATE="1")
    assert "three-disk-0" in one("imagepool.info", -2, -1, -1)
    assert "three" not in one("templatepool.info", -2, -1, -1)
