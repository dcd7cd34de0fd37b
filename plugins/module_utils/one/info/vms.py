# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading for one_vm_info: as few calls as the filters allow, details only of the VMs that may fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..api.connection import Connection
from ..core.filters import checked_states, has_label, has_state, is_named, is_same
from ..core.objects import VM, State
from ..core.pools import ALL_VISIBLE, read_pool, resolve
from ..data.states import LCM_STATES, VM_STATES
from ..data.template import normalise
from ..data.xml import labels_of, number, pool_to_dicts, template_of, text, vectors
from ..vm.vm import NOT_DONE, list_vms, read_vms, represent, state_of
from .objects import info_argument_spec, matches, states_argument_spec

# Details of a VM are some 10 kB, so that this many make an answer of about 5 MB.
VM_PAGE = 500
ANY_STATE = -2
_DONE = 6
# Filters that the short bodies answer, which makes it worth while to read those first.
_NARROW = ("name", "owner", "group", "labels", "states", "host", "cluster")


def vm_info_argument_spec() -> dict[str, dict[str, Any]]:
    """Return the complete argument spec of one_vm_info."""
    return {
        **info_argument_spec(),
        **states_argument_spec(),
        "attributes": {"type": "dict"},
        "host": {"type": "str"},
        "cluster": {"type": "str"},
    }


def read_vm_info(connection: Connection, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return {"vms": [...]}: with ids one call for every 500, otherwise the short list and the details of what fits."""
    params = {**params, "states": _states(params.get("states"))}
    wanted = params.get("ids")
    cluster = None if params.get("cluster") is None else _cluster_id(connection, params["cluster"])
    given: Mapping[str, Any] = params.get("attributes") or {}
    # None fits any value.
    attributes: dict[str, Any] = {name.upper(): None for name, value in given.items() if value is None}
    attributes.update(normalise(given))
    if wanted is None and not any(params.get(name) for name in _NARROW):
        pool = read_pool(connection, "one.vmpool.infoextended", VM.element, NOT_DONE, who=ALL_VISIBLE)
        found = [represent(body) for body in pool]
    else:
        if wanted is None:
            short = list_vms(connection, _pool_state(params["states"]))
            wanted = [number(body, "ID") for body in short if _may_match(body, params, cluster)]
        found = _details(connection, wanted)
    return {"vms": [vm for vm in found if _fits(vm, params, cluster, attributes)]}


def _details(connection: Connection, ids: list[int]) -> list[State]:
    found: list[State] = []
    ordered = sorted(set(ids))
    for start in range(0, len(ordered), VM_PAGE):
        found.extend(read_vms(connection, ordered[start : start + VM_PAGE]))
    return found


def _states(names: list[str] | None) -> list[str]:
    """Return states as results name them; ACTIVE, which they never say, is every LCM state."""
    found = checked_states(names, {*VM_STATES, *LCM_STATES}, "VMs")
    return [*found, *LCM_STATES] if "ACTIVE" in found else found


def _pool_state(states: list[str]) -> int:
    wanted = set(states)
    if wanted == {"DONE"}:
        return _DONE
    return ANY_STATE if "DONE" in wanted else NOT_DONE


def _cluster_id(connection: Connection, reference: str) -> int:
    return resolve(reference, "cluster", lambda: pool_to_dicts(connection.call("one.clusterpool.info"), "CLUSTER"))


def _may_match(body: Mapping[str, Any], params: Mapping[str, Any], cluster: int | None) -> bool:
    """Judge a VM by its short body, so that the details of others are never asked for."""
    owner = {"id": number(body, "UID"), "name": text(body, "UNAME")}
    group = {"id": number(body, "GID"), "name": text(body, "GNAME")}
    history = vectors(body.get("HISTORY_RECORDS"), "HISTORY")
    last = history[-1] if history else {}
    labels = labels_of(template_of(dict(body), VM.template))
    return (
        is_named(text(body, "NAME"), params.get("name"))
        and is_same(owner, params.get("owner"))
        and is_same(group, params.get("group"))
        and has_state(state_of(body), params.get("states"))
        and all(has_label(labels, label) for label in params.get("labels") or [])
        and is_same({"id": number(last, "HID"), "name": text(last, "HOSTNAME")}, params.get("host"))
        and cluster in (None, number(last, "CID"))
    )


def _fits(vm: State, params: Mapping[str, Any], cluster: int | None, attributes: Mapping[str, Any]) -> bool:
    own = vm["attributes"]
    return (
        matches(vm, params)
        and has_state(vm["state"], params.get("states"))
        and is_same(vm["host"], params.get("host"))
        and cluster in (None, vm["host"]["cluster_id"])
        and all(name in own and value in (None, own[name]) for name, value in attributes.items())
    )
