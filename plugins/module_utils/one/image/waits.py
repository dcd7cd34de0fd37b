# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an image is waited for: to be usable, idle, ready to be copied or deleted, gone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..core.objects import State
from ..core.wait import wait_for
from ..data.states import IMAGE_USABLE
from ..errors import OneActionError
from .image import is_busy


class ImageWaits:
    """The waits of one task. read: returns an image by id, None when it is gone; params: the options of one_image."""

    def __init__(self, read: Callable[[int], State | None], params: Mapping[str, Any]) -> None:
        self._read = read
        self._params = params

    def usable(self, object_id: int, known: State | None) -> State:
        """Wait until VMs can use the image; known: as it was just read. The state ERROR ends it at once."""
        label = self._params["new_name"] or self._params["name"] or object_id
        what = f"image {label} becoming READY"
        return self._wait(object_id, what, lambda image: image["state"] in IMAGE_USABLE, known)

    def idle(self, object_id: int, known: State | None) -> None:
        """Wait until the image is neither written nor copied; the state ERROR ends it at once."""
        if known is None or is_busy(known):
            self._wait(object_id, f"end of the copy of image {object_id}", lambda image: not is_busy(image), known)

    def copied(self, known: State) -> None:
        """Wait until the image is neither written nor copied, whether that goes well or not."""
        if is_busy(known):
            what = f"end of the copy of image {known['name']}"
            self._wait(known["id"], what, lambda image: not is_busy(image), known, may_fail=True)

    def gone(self, object_id: int) -> None:
        """Wait until the image no longer exists; an image that the datastore driver could not remove is a failure."""
        wait_for(
            lambda: self._read(object_id),
            lambda image: image is None,
            lambda image: image["error"] or "ERROR" if image is not None and image["state"] == "ERROR" else None,
            what=f"deletion of image {object_id}",
            timeout=self._params["wait_timeout"],
            interval=self._params["wait_interval"],
            describe=lambda image: "" if image is None else f"state {image['state']}",
        )

    def _wait(
        self,
        object_id: int,
        what: str,
        done: Callable[[State], bool],
        known: State | None,
        may_fail: bool = False,
    ) -> State:
        return wait_for(
            lambda: self._must_read(object_id),
            done,
            lambda image: None if may_fail else _failure(image),
            what=what,
            timeout=self._params["wait_timeout"],
            interval=self._params["wait_interval"],
            describe=lambda image: f"state {image['state']}",
            known=known,
        )

    def _must_read(self, object_id: int) -> State:
        image = self._read(object_id)
        if image is None:
            raise OneActionError(f"image {object_id} was deleted by somebody else meanwhile")
        return image


def _failure(image: State) -> str | None:
    if image["state"] != "ERROR":
        return None
    reason = image["error"] or "no reason given by the datastore driver"
    return f"{reason}; delete it with state=absent, correct path or datastore, and create it again"
