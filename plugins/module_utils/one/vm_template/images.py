# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The images behind the disks of a VM template: which they are, and what becomes of them with the template."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..api.connection import Connection
from ..core.objects import IMAGE, State
from ..core.pools import read_pool
from ..data.template import Template, Value, Vector
from ..errors import OneActionError
from ..image.image import is_busy, represent, users_of

# What oned takes out of a DISK whose image it has copied.
_REFERENCE = frozenset({"IMAGE", "IMAGE_UNAME", "IMAGE_UID", "OPENNEBULA_MANAGED", "IMAGE_ID"})


def disks_of(attributes: Mapping[str, Value]) -> list[Vector]:
    """Return the DISK vectors of a template, whether there are none, one or several."""
    found = attributes.get("DISK", [])
    return [disk for disk in (found if isinstance(found, list) else [found]) if isinstance(disk, dict)]


def copied_disks(attributes: Mapping[str, Value]) -> Template:
    """Return the attributes that a recursive clone will have; ids of images to come are described in words."""
    result = Template(attributes)
    disks: list[str | Vector] = []
    for disk in disks_of(attributes):
        image = disk.get("IMAGE_ID") or disk.get("IMAGE")
        kept = {key: value for key, value in disk.items() if key not in _REFERENCE}
        disks.append({**kept, "IMAGE_ID": f"copy of {image}"} if image else disk)
    if disks:
        result["DISK"] = disks if len(disks) > 1 else disks[0]
    return result


class TemplateImages:
    """Images that go with a VM template. oned reports none of its failures there, so this looks before and after."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._going: dict[int, str] = {}

    def to_delete(self, template: State) -> str:
        """Return the images of the disks in words; OneActionError where one is in use and could not be deleted."""
        images = self._read()
        for disk in disks_of(template["attributes"]):
            image = self._image_of(disk, images)
            if image is None:
                continue
            reason = _obstacle(image)
            if reason:
                raise OneActionError(
                    f"VM template {template['name']} cannot be deleted with its images: image {image['name']} "
                    f"(id {image['id']}) {reason}",
                    hint="wait or end that first, or leave out recursive",
                )
            self._going[image["id"]] = image["name"]
        return ", ".join(f"{name} (id {number})" for number, name in self._going.items())

    def check_deleted(self) -> None:
        """Raise OneActionError if an image that should go with its template has stayed."""
        if not self._going:
            return
        stayed = [image for image in self._read() if image["id"] in self._going and image["state"] != "DELETE"]
        if stayed:
            listed = ", ".join(f"{image['name']} (id {image['id']}, state {image['state']})" for image in stayed)
            raise OneActionError(f"the VM template is deleted, but not its images {listed}", hint="delete them by id")

    def _read(self) -> list[State]:
        return [represent(body) for body in read_pool(self._connection, IMAGE.pool, IMAGE.element)]

    def _image_of(self, disk: Mapping[str, Any], images: list[State]) -> State | None:
        """Find the image as oned would: by id, or by name among those of the given or the calling user."""
        if "IMAGE_ID" in disk:
            return next((image for image in images if str(image["id"]) == disk["IMAGE_ID"]), None)
        owner = disk.get("IMAGE_UID") or disk.get("IMAGE_UNAME") or self._connection.settings.username
        for image in images:
            if image["name"] == disk.get("IMAGE") and owner in (str(image["owner"]["id"]), image["owner"]["name"]):
                return image
        return None


def _obstacle(image: State) -> str:
    if image["running_vms"]:
        return f"is in use by {users_of(image)}"
    if is_busy(image):
        return f"is being written or copied (state {image['state']})"
    return f"is locked ({image['lock']})" if image["lock"] != "none" else ""
