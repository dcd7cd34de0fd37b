# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents, where OneFlow keeps its objects."""

from __future__ import annotations

import pytest

from .conformance_client import Cloud

TYPE = 101


@pytest.mark.not_observed
def test_documents(cloud: Cloud, stranger: str) -> None:
    name = cloud.name()
    document = cloud.ok("one.document.allocate", f'NAME="{name}"\nBODY="x"', TYPE)
    cloud.undo(lambda: cloud.ok("one.document.delete", document))
    info = cloud.xml("one.document.info", document)
    assert info.tag == "DOCUMENT"
    assert info.findtext("NAME") == name
    assert info.findtext("TYPE") == str(TYPE)
    assert info.findtext("TEMPLATE/BODY") == "x"
    twin = cloud.ok("one.document.allocate", f'NAME="{name}"', TYPE)
    cloud.ok("one.document.delete", twin)
    pool = cloud.xml("one.documentpool.info", -2, -1, -1, TYPE)
    assert str(document) in [item.text for item in pool.findall("DOCUMENT/ID")]
    assert cloud.ok("one.document.rename", document, f"{name}-b") == document
    cloud.ok("one.document.chmod", document, 1, 1, 0, 1, 0, 0, 0, 0, 0)
    cloud.ok("one.document.update", document, 'MORE="1"', 1)
    info = cloud.xml("one.document.info", document)
    assert info.findtext("TEMPLATE/MORE") == "1"
    assert info.findtext("PERMISSIONS/GROUP_U") == "1"
    user = cloud.xml("one.user.info", -1, session=stranger).findtext("ID")
    assert cloud.error("one.document.delete", document, session=stranger) == (
        512, f"User [{user}] : Not authorized to perform MANAGE DOCUMENT [{document}].",
    )  # fmt: skip


def test_unknown_document(cloud: Cloud) -> None:
    assert cloud.error("one.document.info", 99999) == (1024, "Error getting document [99999].")
