# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading for the info modules of OneFlow: one request for one document or for all, filters that both kinds share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from ..api.settings import api_argument_spec
from ..core.flow_session import FlowSession
from ..document.document import Document, mark_of, template_view
from ..errors import OneNotFoundError
from .facts import ServiceState, service_facts
from .service import service_view, vm_ids
from .vms import read_vms

View = dict[str, Any]


def flow_info_argument_spec() -> dict[str, dict[str, Any]]:
    """Return the options that both info modules have."""
    return {
        **api_argument_spec(),
        "ids": {"type": "list", "elements": "int", "aliases": ["id"]},
        "name": {"type": "str"},
        "owner": {"type": "str"},
        "group": {"type": "str"},
        "mark": {"type": "str"},
    }


def select_documents(
    read_pool: Callable[[], Sequence[Document]],
    read_one: Callable[[int], Document],
    params: Mapping[str, Any],
) -> list[Document]:
    """The documents that pass the filters ids, name (shell wildcards), owner, group and mark, lowest id first.

    One id is read alone, several ids take one look at the pool. What does not exist is left out.
    """
    ids = params.get("ids")
    documents: Sequence[Document]
    if ids is not None and len(ids) == 1:
        try:
            documents = [read_one(int(ids[0]))]
        except OneNotFoundError:
            documents = []
    else:
        documents = [] if ids == [] else read_pool()
    return sorted(
        (document for document in documents if _passes(document, params)), key=lambda document: int(document["ID"])
    )


def _passes(document: Document, params: Mapping[str, Any]) -> bool:
    ids, name = params.get("ids"), params.get("name")
    called = str(document.get("NAME"))
    return (
        (ids is None or int(document["ID"]) in ids)
        # A name may have the signs of a pattern in it and mean itself.
        and (name is None or name == called or fnmatchcase(called, name))
        and params.get("owner") in (None, document.get("UNAME"))
        and params.get("group") in (None, document.get("GNAME"))
        and params.get("mark") in (None, mark_of(document))
    )


def read_services(session: FlowSession, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return {"services": [...]} for one_service_info: the VMs of all services in one call."""
    states = {str(state).upper() for state in params.get("states") or []}
    documents = select_documents(session.flow.services, session.flow.service, params)
    services = [service for service in map(service_view, documents) if _asked_for(service, states, params)]
    ids = sorted(number for service in services for number in vm_ids(service))
    by_id = {vm["id"]: vm for vm in (read_vms(session.connect(), ids) if ids else [])}
    found = []
    for service in services:
        vms = [by_id[number] for number in vm_ids(service) if number in by_id]
        facts = service_facts(ServiceState(service, vms), params.get("network"))
        found.append({**facts["service"], "hosts": facts["hosts"]})
    return {"services": found}


def _asked_for(service: View, states: set[str], params: Mapping[str, Any]) -> bool:
    """A DONE service is only a record of one: who wants it says so by its id or its state."""
    if states:
        return service["state"] in states
    return service["state"] != "DONE" or params.get("ids") is not None


def read_service_templates(session: FlowSession, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return {"service_templates": [...]} for one_service_template_info."""
    documents = select_documents(session.flow.templates, session.flow.template, params)
    return {"service_templates": [template_view(document) for document in documents]}
