# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services and service templates by name, which OneFlow lets repeat."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ..data.marks import require_mark
from ..data.states import service_state
from ..errors import OneUsageError
from .document import GOING_STATES, Document, body_of, mark_of

#: Seconds after which to look again at a name that means several young documents: two runs at once make two of them,
#: and the later run is about to take its own back.
PATIENCE = (0.3, 0.7, 1.5, 3.0)
#: Seconds; of documents older than this no run is left that would take one back.
_YOUNG = 60


class AmbiguousNameError(OneUsageError):
    """A name means several documents."""

    def __init__(self, kind: str, name: str, documents: Sequence[Document]) -> None:
        listed = ", ".join(f"id {document.get('ID')} of {document.get('UNAME')}" for document in documents)
        super().__init__(
            f"{kind} name {name} is not unique: {listed}", hint="give the id, or the owner where the owners differ"
        )
        self.documents = documents

    @property
    def may_pass(self) -> bool:
        """Whether the documents may have been made at the same time just now."""
        owners = {document.get("UNAME") for document in self.documents}
        return len(owners) < len(self.documents) and any(map(_is_young, self.documents))


def _is_young(document: Document) -> bool:
    body = body_of(document)
    made = body.get("start_time") or body.get("registration_time") or 0
    return abs(time.time() - float(made)) < _YOUNG


def pick_document(
    kind: str,
    documents: Sequence[Document],
    name: str,
    mark: str | None,
    owner: str | None = None,
    me: str | None = None,
) -> Document | None:
    """The only document of that name (and mark, and owner), None where there is none.

    Several are an error that lists them: guessing would change a stranger's service. owner: name or id. me: the user
    whose document counts too where the owner has none, because it is to be given to that owner.
    Raises AmbiguousNameError, or OneMarkError where all documents of that name belong to somebody else.
    """
    named = [document for document in documents if str(document.get("NAME")) == name]
    if owner is not None:
        theirs = [document for document in named if owner in (document.get("UNAME"), str(document.get("UID")))]
        named = theirs or [document for document in named if me is not None and str(document.get("UNAME")) == me]
    ours = [document for document in named if mark is None or mark_of(document) == mark]
    if not ours and named:
        require_mark(kind, name, named[0].get("ID"), mark_of(named[0]), mark)
    if len(ours) > 1:
        raise AmbiguousNameError(kind, name, ours)
    return ours[0] if ours else None


def look_patiently(
    read_pool: Callable[[], Sequence[Document]], choose: Callable[[Sequence[Document]], Document | None]
) -> tuple[Document | None, Sequence[Document]]:
    """What `choose` finds in the pool, and the pool; a name that means several young documents is looked at again."""
    for delay in PATIENCE:
        documents = read_pool()
        try:
            return choose(documents), documents
        except AmbiguousNameError as error:
            if not error.may_pass:
                raise
        time.sleep(delay)
    documents = read_pool()
    return choose(documents), documents


def live_documents(documents: Sequence[Document], name: str) -> list[Document]:
    """The services of that name that live: a DONE one is only a record, and one that goes counts if it is alone."""
    named = [document for document in documents if str(document.get("NAME")) == name]
    live = [document for document in named if _state(document) != "DONE"]
    return [document for document in live if _state(document) not in GOING_STATES] or live


def _state(document: Document) -> str:
    return service_state(body_of(document).get("state", 0))
