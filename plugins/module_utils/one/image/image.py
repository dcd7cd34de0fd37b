# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images: the options of one_image, and how an image is shown to a play."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..api.settings import api_argument_spec
from ..core.objects import IMAGE, State, base_state, object_argument_spec
from ..core.wait import wait_argument_spec
from ..data.states import IMAGE_BUSY, IMAGE_STATES, IMAGE_TYPES, state_name
from ..data.xml import ids, labels_of, number, text

# What oned takes out of the template of a new image for itself; it is never found among the attributes again.
CREATION_ONLY = frozenset({"DRIVER", "TM_MAD"})
RESERVED = {
    "NAME": "name",
    "PATH": "path",
    "SOURCE": "source",
    "SIZE": "size",
    "FORMAT": "format",
    "FS": "fs",
    "TYPE": "type",
    "PERSISTENT": "persistent",
    "LABELS": "labels",
}
# Types that VMs use as files, not as disks; they live in datastores of their own.
FILE_TYPES = frozenset({"KERNEL", "RAMDISK", "CONTEXT"})
# Every OpenNebula begins with the datastores 0 (system), 1 (default) and 2 (files).
DEFAULT_DATASTORE, FILES_DATASTORE = 1, 2


def argument_spec() -> dict[str, dict[str, Any]]:
    """Return the complete argument spec of one_image."""
    return {
        **api_argument_spec(),
        **object_argument_spec(),
        **wait_argument_spec(timeout=600),
        "path": {"type": "str"},
        "source": {"type": "str"},
        "size": {"type": "int"},
        "format": {"type": "str"},
        "fs": {"type": "str"},
        "type": {"type": "str", "choices": [name for name in IMAGE_TYPES if name != "BACKUP"]},
        "datastore": {"type": "str"},
        "persistent": {"type": "bool"},
        "enabled": {"type": "bool"},
        "force": {"type": "bool", "default": False},
        "attributes": {"type": "raw"},
    }


def represent(body: Mapping[str, Any]) -> State:
    """Return an image as modules hand it to a play."""
    state = base_state(body, IMAGE)
    name = state_name(IMAGE_STATES, text(body, "STATE"))
    state.update(
        {
            "state": name,
            "state_id": number(body, "STATE"),
            "type": state_name(IMAGE_TYPES, text(body, "TYPE")),
            "persistent": text(body, "PERSISTENT") == "1",
            "enabled": name != "DISABLED",
            "size": number(body, "SIZE"),
            "path": text(body, "PATH"),
            "source": text(body, "SOURCE"),
            "format": text(body, "FORMAT"),
            "fs": text(body, "FS"),
            "datastore": {"id": number(body, "DATASTORE_ID"), "name": text(body, "DATASTORE")},
            "running_vms": number(body, "RUNNING_VMS", default=0),
            "vms": ids(body.get("VMS")),
            "labels": labels_of(state["attributes"]),
            "error": text(body, "TEMPLATE", "ERROR"),
        }
    )
    return state


def is_busy(image: State) -> bool:
    """Tell whether the image is being written or copied; USED without a VM is a copy of it being made."""
    return image["state"] in IMAGE_BUSY or (image["state"] in ("USED", "USED_PERS") and not image["running_vms"])


def users_of(image: State) -> str:
    """Return who uses an image, in words: "2 VM(s): 4, 7"."""
    return f"{image['running_vms']} VM(s): {', '.join(map(str, image['vms'])) or 'ids unknown'}"
