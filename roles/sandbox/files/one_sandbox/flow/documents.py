# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OneFlow keeps everything in documents of oned: type 100 services, 101 service templates, a JSON text in BODY."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ..oned.core import Oned
from ..oned.records import Session
from ..oned.template import to_xml, xml_to_dict
from .errors import GENERAL, FlowError
from .ruby import compact, to_int

SERVICE, SERVICE_TEMPLATE = 100, 101
_ALL = -2


@dataclass
class Document:
    """A document as read. header: the DOCUMENT of REST answers without its body; body: what BODY holds."""

    header: dict[str, Any]
    body: dict[str, Any]

    @property
    def id(self) -> int:
        return int(self.header["ID"])

    @property
    def uid(self) -> int:
        return int(self.header["UID"])

    @property
    def gid(self) -> int:
        return int(self.header["GID"])

    def as_json(self) -> dict[str, Any]:
        """The object REST answers with."""
        return {"DOCUMENT": {**self.header, "TEMPLATE": {**self.header["TEMPLATE"], "BODY": self.body}}}


class Documents:
    """Reads and writes documents on behalf of a session. Every method raises OnedError, `read` FlowError too."""

    def __init__(self, oned: Oned) -> None:
        self._oned = oned

    def read(self, session: Session, document_id: Any, kind: int) -> Document:
        """One document of that type; an id that is no number means 0, as on the server."""
        number = to_int(document_id)
        document = _document(xml_to_dict(self._oned.call(session, "one.document.info", number))["DOCUMENT"])
        if document.header["TYPE"] != str(kind):
            raise FlowError(f"[DocumentInfo] Error getting document [{number}].", GENERAL)
        return document

    def pool(self, session: Session, kind: int) -> list[Document]:
        """All documents of that type the session may use, in the server's order."""
        answer = xml_to_dict(self._oned.call(session, "one.documentpool.info", _ALL, -1, -1, kind))["DOCUMENT_POOL"]
        items = answer.get("DOCUMENT", []) if isinstance(answer, dict) else []
        return [_document(item) for item in (items if isinstance(items, list) else [items])]

    def create(self, session: Session, kind: int, body: dict[str, Any]) -> Document:
        """A new document named after the body."""
        text = to_xml({"NAME": body["name"], "BODY": compact(body)})
        return self.read(session, self._oned.call(session, "one.document.allocate", text, kind), kind)

    def write(self, session: Session, document: Document) -> None:
        """Save the body."""
        text = to_xml({"BODY": compact(document.body)})
        self._oned.call(session, "one.document.update", document.id, text, 0)

    def delete(self, session: Session, document_id: int) -> None:
        self._oned.call(session, "one.document.delete", document_id)

    def chmod(self, session: Session, document_id: int, octet: Any) -> None:
        """octet: "640"; each digit sets USE, MANAGE and ADMIN of owner, group, others."""
        digits = [to_int(digit) for digit in str(octet)[:3].ljust(3, "0")]
        bits = [1 if digit & mask else 0 for digit in digits for mask in (4, 2, 1)]
        self._oned.call(session, "one.document.chmod", document_id, *bits)


def _document(item: dict[str, Any]) -> Document:
    template = item.get("TEMPLATE")
    rest = {key: value for key, value in template.items() if key != "BODY"} if isinstance(template, dict) else {}
    text = template.get("BODY", "{}") if isinstance(template, dict) else "{}"
    header = {key: _empty(value) for key, value in item.items() if key != "TEMPLATE"}
    return Document({**header, "TEMPLATE": rest}, json.loads(text))


def _empty(value: Any) -> Any:
    return {} if value == "" else value
