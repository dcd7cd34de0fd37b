# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The request that makes a VM from a template: what is sent besides the template itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..api.connection import Connection
from ..core.objects import VM, VM_TEMPLATE
from ..core.pools import datastore_id, pick, read_one, read_pool, unknown_name
from ..data.marks import MARK_ATTRIBUTE
from ..data.template import Template, Vector, normalise
from ..data.xml import number, split_labels, template_of
from ..errors import OneUsageError
from .vm import CONFIGURATION, configuration_of

# Attributes of a VM that have an option of their own.
RESERVED = {
    "NAME": "name",
    "CONTEXT": "context",
    "NIC": "nics",
    "DISK": "disks",
    "CPU": "cpu",
    "VCPU": "vcpu",
    "MEMORY": "memory",
    "PCI": "pcis",
    **dict.fromkeys(CONFIGURATION, "updateconf"),
}
# What oned takes out of the attributes of a new VM for itself; it is never found among the user attributes again.
CREATION_ONLY = frozenset(
    "CPU_COST DISK_COST EMULATOR MEMORY_COST MEMORY_MAX MEMORY_RESIZE_MODE MEMORY_SLOTS NIC_ALIAS NIC_DEFAULT "
    "NUMA_NODE SCHED_ACTION SNAPSHOT SUBMIT_ON_HOLD TOPOLOGY TPM VCPU_MAX VMGROUP".split()
)


class Creation:
    """Everything for one.template.instantiate, worked out once for any number of VMs and only when one is missing."""

    def __init__(
        self,
        connection: Connection,
        params: Mapping[str, Any],
        attributes: Template,
        context: Mapping[str, str],
        configuration: Mapping[str, Vector],
        labels: list[str] | None,
        check_mode: bool = False,
    ) -> None:
        self.connection = connection
        self.params = params
        self.attributes = attributes
        self.context = context
        self.configuration = configuration
        self.labels = labels
        self.check_mode = check_mode
        self.warnings: list[str] = []
        self._prepared: tuple[int, Template, dict[str, str]] | None = None

    def prepare(self) -> tuple[int, Template, dict[str, str]]:
        """Return (template id, extra template, predicted CONTEXT).

        oned replaces the template's whole CONTEXT by one that is sent, so given variables are merged into the
        template's own here: TOKEN, NETWORK and START_SCRIPT stay. The same goes for OS and the like. Devices are sent
        only when given.
        """
        if self._prepared is None:
            self._prepared = self._prepare()
        return self._prepared

    def _prepare(self) -> tuple[int, Template, dict[str, str]]:
        params = self.params
        if not params["template"]:
            raise OneUsageError(
                unknown_name(VM.word, params["name"], params["owner"]), hint="to create it give template (name or id)"
            )
        body = self._template_body()
        template = template_of(body)
        stored = template.get("CONTEXT")
        base = stored if isinstance(stored, dict) else {}
        context = {**base, **self.context}
        extra = Template(self.attributes)
        extra.update(normalise({key: params[key] for key in ("cpu", "vcpu", "memory")}))
        if self.context:
            extra["CONTEXT"] = context
        known = configuration_of(template)
        for name, section in self.configuration.items():
            extra[name] = {**known.get(name, {}), **section}
        for option, name in (("nics", "NIC"), ("disks", "DISK"), ("pcis", "PCI")):
            if params[option] is not None:
                extra.update(normalise({name: params[option]}))
        if self.labels is not None:
            extra["LABELS"] = ",".join(split_labels(self.labels))
        if params["datastore"] is not None:
            extra["SCHED_DS_REQUIREMENTS"] = f'ID = "{datastore_id(self.connection, params["datastore"])}"'
        if params["mark"]:
            extra[MARK_ATTRIBUTE] = params["mark"]
        return number(body, "ID"), extra, context

    def _template_body(self) -> dict[str, Any]:
        reference = str(self.params["template"]).strip()
        if reference.isdigit():
            body = read_one(self.connection, "one.template.info", int(reference))
        else:
            pool = read_pool(self.connection, VM_TEMPLATE.pool, VM_TEMPLATE.element)
            body = pick(pool, VM_TEMPLATE.word, reference, self.params["template_owner"])
        if body is not None:
            return body
        sentence = unknown_name(VM_TEMPLATE.word, reference, self.params["template_owner"])
        if not self.check_mode:
            raise OneUsageError(sentence)
        # An earlier task of the same play may be about to make it, which check mode only promises.
        self.warnings.append(f"{sentence}; the real run fails unless an earlier task makes it")
        return {}
