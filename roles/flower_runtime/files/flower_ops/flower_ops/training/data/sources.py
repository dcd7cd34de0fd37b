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

import numpy as np
from flower_ops.training.data.errors import DataError, OwnDataError, UnavailableError
from flower_ops.training.data.lying import lying
from flower_ops.training.data.partition import Indices
from flower_ops.training.data.samples import Dataset, Found, Labels
from flower_ops.training.data.share import Share, check_split, held_back

# Below Flower's own logger, so that its lines reach `flwr log`.
LOG = logging.getLogger("flwr.training.data")

#: Where to take data from: `auto` is the first of the others that has any.
AUTO = "auto"
SOURCES = (AUTO, "own", "hub", "bundled")
S = TypeVar("S")


def own_data(find: Callable[[Path], Found[S] | None], what: str, form: str, folder: Path, shared: bool) -> Found[S]:
    """What is in the folder. Raises UnavailableError when that is nothing, OwnDataError when it is no use.

    what: the kind of data. form: how it must lie there, for somebody who has put other files into the folder.
    """
    try:
        # Path.glob takes a folder that cannot be read for an empty one.
        os.listdir(folder)
        found = find(folder)
        other = lying(folder) if found is None else ""
    except DataError as error:
        raise OwnDataError(str(error)) from error
    except (FileNotFoundError, NotADirectoryError):
        if folder.is_symlink():
            # A disk that is not mounted, maybe.
            raise OwnDataError(f"{folder} is a link that leads to no folder; mount or put the data there.") from None
        raise UnavailableError(f"there is no folder {folder}") from None
    except OSError as error:
        # There is data, and other data instead of it would be worse than none.
        raise OwnDataError(f"{error.filename or folder} cannot be read: {error.strerror}; make it readable.") from error
    if other:
        # Whoever put files there wants them to be trained on: other data in their place would be worse than none.
        raise OwnDataError(
            f"{folder} has files ({other}), but no {what}: {form}; put the data there so, or set data-source to"
            ' "bundled" or "hub" to train on other data on purpose.'
        )
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
    few: bool = False,
) -> Dataset[S]:
    """From the first source that has data; says in one line which that is and why.

    few: only the first sample of each class is read, and whether the samples for testing could be cut as well is
    checked: enough to tell what is there, at once.
    """
    if source not in SOURCES:
        raise DataError(f"{source!r} is no source of data; choose {', '.join(SOURCES)}.")
    check_split(split)
    reasons = []
    for name, find in (("own", own), ("hub", hub), ("bundled", bundled)):
        if source not in (AUTO, name):
            continue
        try:
            found = find()
            break
        except UnavailableError as error:
            reasons.append(str(error))
    else:
        raise DataError(f"There is no data: {' and '.join(reasons)}; provide it or choose another source.")
    try:
        kept, read, samples = _read(found, split, share, few)
    except DataError as error:
        raise (OwnDataError(str(error)) if name == "own" else error) from error
    dataset = Dataset(
        samples=samples,
        labels=_of(found.labels, read),
        classes=found.classes,
        source=name,
        origin=found.origin,
        private=found.private,
        total=len(kept),
        columns=found.columns,
    )
    part = "" if found.private or share.parts == 1 else f", partition {share.number} of {share.parts} ({share.scheme})"
    classes = f" in {len(found.classes)} classes" if found.classes else ""
    why = " and ".join(reasons) or ("own data comes first" if source == AUTO else f"the source is set to {source}")
    # Nobody has asked for the bundled data: it is what is left.
    level = logging.WARNING if source == AUTO and name == "bundled" else logging.INFO
    told = (split, len(kept), classes, found.origin, part, why)
    LOG.log(level, "Data (%s): %d samples%s from %s%s, because %s.", *told)
    return dataset


def _read(found: Found[S], split: str, share: Share, few: bool) -> tuple[Indices, Indices, S]:
    """Positions of this node's samples, of those that are read, and these; `few`: see first()."""
    kept = _kept(found, split, share)
    if not few:
        return kept, kept, found.read(kept)
    if not found.split:
        _kept(found, "test", share)
    some = kept[np.sort(np.unique(found.labels[kept], return_index=True)[1])] if len(found.labels) else kept[:1]
    return kept, some, found.read(some)


def _kept(found: Found[S], split: str, share: Share) -> Indices:
    """Positions of this node's samples of a split."""
    kept = held_back(found.total, "all" if found.split else split)
    if found.private:
        return kept
    files = tuple(found.files[at] for at in kept) if found.files else ()
    return kept[share.of(len(kept), _of(found.labels, kept), files)]


def _of(labels: Labels, kept: Indices) -> Labels:
    """Labels of some of the samples, where they have any."""
    return labels[kept] if len(labels) else labels
