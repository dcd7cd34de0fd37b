# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Service templates: create, change, clone, delete."""

from __future__ import annotations

import time
from typing import Any

from ..oned.core import Oned
from ..oned.errors import OnedError
from ..oned.records import Session
from ..oned.template import xml_to_dict
from .documents import SERVICE_TEMPLATE, Document, Documents
from .errors import BAD_REQUEST, FlowError
from .ruby import JsonError, load_json, to_int
from .rules import validate
from .validator import ValidationError

_IMMUTABLE = "registration_time"
_NAME_LENGTH = 119


class Templates:
    """Operations on service templates with the rights of a session. They raise FlowError and OnedError."""

    def __init__(self, oned: Oned) -> None:
        self._oned = oned
        self._documents = Documents(oned)

    def read(self, session: Session, template_id: Any) -> Document:
        return self._documents.read(session, template_id, SERVICE_TEMPLATE)

    def create(self, session: Session, text: str) -> Document:
        """From the JSON text of a request."""
        body = validated(parse(text))
        body["registration_time"] = int(time.time())
        return self._documents.create(session, SERVICE_TEMPLATE, body)

    def update(self, session: Session, template_id: Any, text: str, append: bool = False) -> Document:
        """Replace (keeping registration_time) or merge the body. The document keeps its name."""
        document = self.read(session, template_id)
        body = parse(text)
        if append:
            if body.get(_IMMUTABLE) is not None:
                raise _immutable()
            body = {**document.body, **body}
        else:
            if body.get(_IMMUTABLE) is None:
                body[_IMMUTABLE] = document.body.get(_IMMUTABLE)
            if body[_IMMUTABLE] != document.body.get(_IMMUTABLE):
                raise _immutable()
        document.body = validated(body)
        self._documents.write(session, document)
        return self.read(session, template_id)

    def delete(self, session: Session, template_id: Any, delete_type: str) -> None:
        """delete_type: "none", "templates" (the roles' VM templates too), "all" (and their images)."""
        if delete_type != "none":
            document = self.read(session, template_id)
            for vm_template in dict.fromkeys(int(role["template_id"]) for role in document.body["roles"]):
                self._oned.call(session, "one.template.delete", vm_template, delete_type == "all")
        self._documents.delete(session, to_int(template_id))

    def clone(self, session: Session, template_id: Any, name: Any, recursive: Any) -> Document:
        """recursive: "none"; "all" clones VM templates and images, anything else VM templates. All failures are 500."""
        try:
            new_id = self._oned.call(session, "one.document.clone", to_int(template_id), str(name))
            document = self.read(session, new_id)
            document.body["registration_time"] = int(time.time())
            if recursive != "none":
                self._clone_vm_templates(session, document.body, str(name), recursive == "all")
            self._documents.write(session, document)
            return self.read(session, new_id)
        except OnedError as error:
            raise FlowError(error.message) from None

    def _clone_vm_templates(self, session: Session, body: dict[str, Any], name: str, recursive: bool) -> None:
        cloned: dict[int, int] = {}
        try:
            for role in body["roles"]:
                old = to_int(role["template_id"])
                if old not in cloned:
                    info = xml_to_dict(self._oned.call(session, "one.template.info", old))["VMTEMPLATE"]
                    new_name = f"{info['NAME']}-{name}"
                    if len(new_name) > _NAME_LENGTH:
                        new_name = f"{info['NAME'][: _NAME_LENGTH + 1 - len(name)]}-{name}"
                    cloned[old] = self._oned.call(session, "one.template.clone", old, new_name, recursive)
                role["template_id"] = cloned[old]
        except OnedError:
            for new in cloned.values():
                self._oned.call(session, "one.template.delete", new, recursive)
            raise

    def chown(self, session: Session, template_id: Any, uid: int, gid: int) -> None:
        self._oned.call(session, "one.document.chown", to_int(template_id), uid, gid)

    def chmod(self, session: Session, template_id: Any, octet: Any) -> None:
        self._documents.chmod(session, to_int(template_id), octet)

    def rename(self, session: Session, template_id: Any, name: Any) -> None:
        """The document's name only; the name in the body stays."""
        self._oned.call(session, "one.document.rename", to_int(template_id), str(name))


def parse(text: str) -> dict[str, Any]:
    """JSON object of a request. Raises FlowError 400."""
    try:
        body = load_json(text)
    except JsonError as error:
        raise FlowError(str(error), BAD_REQUEST) from None
    if not isinstance(body, dict):
        raise FlowError("KEY: '' must be an Object;", BAD_REQUEST)
    return body


def validated(body: dict[str, Any]) -> dict[str, Any]:
    """The body, checked and completed. Raises FlowError 400."""
    try:
        return validate(body)
    except ValidationError as error:
        raise FlowError(str(error), BAD_REQUEST) from None


def _immutable() -> FlowError:
    return FlowError(f"Immutable value: `service_template/{_IMMUTABLE}` can not be changed")
