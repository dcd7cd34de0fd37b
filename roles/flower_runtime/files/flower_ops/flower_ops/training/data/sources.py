# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of sources: the operator's own data, else the published data set, else one that is bundled."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from flower_ops.training.data.errors import DataError, UnavailableError
from flower_ops.training.data.partition import Indices
from flower_ops.training.data.samples import Dataset, Found, Labels
from flower_ops.training.data.share import Share, check_split, held_back

# Below Flower's own logger, so that its lines reach `flwr log`.
LOG = logging.getLogger("flwr.training.data")

#: Where to take data from: `auto` is the first of the others that has any.
SOURCES = ("auto", "own", "hub", "bundled")
S = TypeVar("S")


def own_data(find: Callable[[Path], Found[S] | None], what: str, folder: Path, shared: bool) -> Found[S]:
    """What is in the folder. Raises UnavailableError when that is nothing of the kind, DataError when it is no use."""
    try:
        # Path.glob takes a folder that cannot be read for an empty one.
        os.listdir(folder)
        found = find(folder)
    except (FileNotFoundError, NotADirectoryError):
        raise UnavailableError(f"there is no folder {folder}") from None
    except OSError as error:
        # There is data, and other data instead of it would be worse than none.
        raise DataError(f"{error.filename or folder} cannot be read: {error.strerror}; make it readable.") from error
    if found is None:
        raise UnavailableError(f"{folder} has no {what}")
    return replace(found, private=not shared)


def first(
    own: Callable[[], Found[S]],
    hub: Callable[[], Found[S]],
    bundled: Callable[[], Found[S]],
    source: str,
    split: str,
    share: Share,
) -> Dataset[S]:
    """From the first source that has data; says in one line which that is and why."""
    if source not in SOURCES:
        raise DataError(f"{source!r} is no source of data; choose {', '.join(SOURCES)}.")
    check_split(split)
    reasons = []
    for name, find in (("own", own), ("hub", hub), ("bundled", bundled)):
        if source not in ("auto", name):
            continue
        try:
            found = find()
            break
        except UnavailableError as error:
            reasons.append(str(error))
    else:
        raise DataError(f"There is no data: {' and '.join(reasons)}; provide it or choose another source.")
    kept = held_back(found.total, "all" if found.split else split)
    if not found.private:
        files = tuple(found.files[at] for at in kept) if found.files else ()
        kept = kept[share.of(len(kept), _of(found.labels, kept), files)]
    dataset = Dataset(found.read(kept), _of(found.labels, kept), found.classes, name, found.origin, found.private)
    part = "" if found.private or share.parts == 1 else f", partition {share.number} of {share.parts} ({share.scheme})"
    classes = f" in {len(found.classes)} classes" if found.classes else ""
    why = " and ".join(reasons) or ("own data comes first" if source == "auto" else f"the source is set to {source}")
    LOG.info("Data (%s): %d samples%s from %s%s, because %s.", split, len(kept), classes, found.origin, part, why)
    return dataset


def _of(labels: Labels, kept: Indices) -> Labels:
    """Labels of some of the samples, where they have any."""
    return labels[kept] if len(labels) else labels
