# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which VMs a task means: by id, ids, name, numbered names, or by what they are labelled and described with."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from ..api.connection import Connection
from ..core.filters import has_label, is_named, is_owned
from ..core.objects import VM
from ..core.pools import ALL_VISIBLE, checked_name, read_one, read_pool
from ..data.marks import mark_of
from ..data.states import VM_LEAVING
from ..data.template import Template, normalise
from ..data.xml import labels_of, number, split_labels, template_of, text
from ..errors import OneUsageError
from .vm import NOT_DONE, list_vms, read_bodies, state_of

#: Seconds after which to look again at a name that means several young VMs: runs at the same time make several of them,
#: and all but one are about to take their own back.
PATIENCE = (0.3, 0.7, 1.5)
#: Seconds; of VMs older than this no run is left that would take one back.
_YOUNG = 60


class Selection:
    """The VMs named by the options id, ids, name, count and match_*, without those that are DONE."""

    def __init__(self, connection: Connection, params: Mapping[str, Any]) -> None:
        self.connection = connection
        self.params = params
        self.labels = split_labels(params["match_labels"] or [])
        given: Mapping[str, Any] = params["match_attributes"] or {}
        # A value to compare with, or None where any value will do.
        self.attributes: dict[str, Any] = {name.upper(): None for name, value in given.items() if value is None}
        self.attributes.update(normalise(given))
        # Every VM that was seen while looking for a name: what appears afterwards was made at the same time.
        self.seen: set[int] = set()
        # The names of those that were looked at for their description, whether they fit it or not.
        self.names: set[str] = set()
        self._check()

    @property
    def matching(self) -> bool:
        """Whether VMs are chosen by what they are like."""
        return bool(self.labels or self.attributes or self.params["match_name"])

    @property
    def single(self) -> bool:
        """Whether exactly one VM is meant."""
        return self.params["id"] is not None or (self.params["name"] is not None and self.params["count"] is None)

    def _check(self) -> None:
        params = self.params
        if (params["count"] or 0) < 0:
            raise OneUsageError("count must not be negative")
        for option in ("name", "new_name"):
            checked_name(params[option], option)
        if self.matching and params["name"] is not None and params["count"] is None:
            raise OneUsageError("name together with match_labels, match_attributes or match_name needs count")
        if not self.matching and params["id"] is None and params["ids"] is None and params["name"] is None:
            raise OneUsageError("match_labels, match_attributes and match_name must not all be empty")

    def bodies(self) -> list[dict[str, Any]]:
        """Read the VMs, full bodies, lowest id first. Raises OneUsageError where an id does not exist,
        and OneAuthorizationError where it may not be used."""
        params = self.params
        numbers = params["ids"] if params["id"] is None else [params["id"]]
        if numbers is not None:
            answer = read_bodies(self.connection, numbers)
            found = [body for body in answer if state_of(body) != "DONE"]
            missing = sorted(set(numbers) - {number(body, "ID") for body in found})
            self._check_rights(set(missing) - {number(body, "ID") for body in answer})
            if missing and params["state"] != "absent":
                what = f"VM {missing[0]} does" if len(missing) == 1 else f"VMs {', '.join(map(str, missing))} do"
                raise OneUsageError(
                    f"{what} not exist or {'is' if len(missing) == 1 else 'are'} DONE",
                    hint="create one by giving name and template",
                )
            return found
        for delay in PATIENCE:
            found = self._look()
            if not self.single or not _may_pass(found):
                return found
            time.sleep(delay)
        return self._look()

    def _check_rights(self, unseen: set[int]) -> None:
        """Raise OneAuthorizationError for a VM that exists and that this user may not use.

        one.vmpool.infoset leaves such VMs out as it does those that do not exist; one.vm.info tells the two apart.
        """
        for vm_id in sorted(unseen):
            read_one(self.connection, "one.vm.info", vm_id)

    def _look(self) -> list[dict[str, Any]]:
        found = self._by_description() if self.matching else self._by_name()
        return found if self.params["state"] == "absent" else _staying(found)

    def _by_name(self) -> list[dict[str, Any]]:
        names = {self.params["name"], self.params["new_name"]} - {None}
        pattern = re.compile(re.escape(self.params["name"]) + r"-\d+\Z")
        found = []
        for body in list_vms(self.connection):
            self.seen.add(number(body, "ID"))
            name = text(body, "NAME")
            matches = name in names if self.params["count"] is None else bool(pattern.match(name))
            if matches and is_owned(body, self.params["owner"]):
                found.append(number(body, "ID"))
        return read_bodies(self.connection, found)

    def _by_description(self) -> list[dict[str, Any]]:
        if self.attributes:
            # Short bodies have no attributes: one call reads everything, instead of a list first and details then.
            pool = read_pool(self.connection, "one.vmpool.infoextended", VM.element, NOT_DONE, who=ALL_VISIBLE)
            full = True
        else:
            pool, full = list_vms(self.connection), False
        self.seen.update(number(body, "ID") for body in pool)
        self.names = {text(body, "NAME") for body in pool if is_owned(body, self.params["owner"])}
        found = [body for body in pool if self._fits(body)]
        mark = self.params["mark"]
        if not full:
            found = read_bodies(self.connection, [number(body, "ID") for body in found])
        # A description never means somebody else's VM; only a name that is taken is worth a refusal.
        return [body for body in found if mark is None or mark_of(template_of(body, VM.template)) == mark]

    def _fits(self, body: Mapping[str, Any]) -> bool:
        params = self.params
        attributes = template_of(dict(body), VM.template)
        if not is_owned(body, params["owner"]):
            return False
        if not is_named(text(body, "NAME"), params["match_name"]):
            return False
        if not all(has_label(labels_of(attributes), label) for label in self.labels):
            return False
        return all(
            name in attributes and wanted in (None, attributes[name]) for name, wanted in self.attributes.items()
        )

    def order(self, name: str, vm_id: int) -> tuple[int, int]:
        """Return the sort key of a VM: numbered names by their number, others behind them by their id."""
        if self.params["count"] is None:
            return (0, vm_id)
        stem, _dash, tail = name.rpartition("-")
        if stem == self.params["name"] and tail.isdigit():
            return (int(tail), vm_id)
        # Of VMs that were only found by their description the newest go first.
        return (1 << 62, vm_id)

    def described(self, attributes: Template, labels: list[str] | None) -> tuple[Template, list[str] | None]:
        """Return attributes and labels of a new VM, made such that the selection finds it again."""
        result = Template(attributes)
        for name, value in self.attributes.items():
            if value is not None:
                result.setdefault(name, value)
            if name not in result or value not in (None, result[name]):
                raise OneUsageError(f"new VMs would not be found by match_attributes: {name} is not among attributes")
        if self.params["match_name"] is not None and self.params["count"]:
            example = f"{self.params['name']}-0"
            if not is_named(example, self.params["match_name"]):
                raise OneUsageError(f"new VMs would not be found by match_name: their names are like {example}")
        if labels is not None and not set(self.labels) <= set(split_labels(labels)):
            raise OneUsageError("new VMs would not be found by match_labels: labels must contain them")
        return result, labels if labels is not None or not self.labels else self.labels


def _may_pass(bodies: list[dict[str, Any]]) -> bool:
    """Whether several VMs of one name and owner may have been made at the same time just now."""
    owners = {text(body, "UNAME") for body in bodies}
    return len(owners) < len(bodies) and any(abs(time.time() - number(body, "STIME")) < _YOUNG for body in bodies)


def _staying(bodies: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out VMs that are past saving, and those that shut down for good where another of the name stays."""
    staying = [body for body in bodies if state_of(body) not in VM_LEAVING]
    names = {text(body, "NAME") for body in staying if state_of(body) != "SHUTDOWN"}
    return [body for body in staying if state_of(body) != "SHUTDOWN" or text(body, "NAME") not in names]
