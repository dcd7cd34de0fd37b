# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Client of OneGate, the service through which a VM reads and writes what OpenNebula knows about it."""

from __future__ import annotations

import http.client
import ipaddress
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flower_ops.machine.errors import OneGateError

_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
# Attributes of a network card; the last one is what the world sees of a card behind NAT.
_ADDRESSES = ("IP", "IP6", "IP6_GLOBAL", "IP6_ULA", "IP6_SITE", "EXTERNAL_IP")
_UNSAFE = ',[]"\\'


@dataclass(frozen=True)
class Peer:
    """Another VM of the own service as OneGate shows it; `attributes` is its user template.

    `addresses` are those that OpenNebula gave to its network cards, not what the VM says of itself.
    """

    vm_id: str
    role: str
    attributes: dict[str, str]
    addresses: tuple[str, ...] = ()


def _attributes(vm: Mapping[str, Any]) -> dict[str, str]:
    template = vm.get("USER_TEMPLATE")
    return (
        {key: value for key, value in template.items() if isinstance(value, str)} if isinstance(template, dict) else {}
    )


def _addresses(vm: Mapping[str, Any]) -> tuple[str, ...]:
    template = vm.get("TEMPLATE")
    cards: list[Any] = []
    for name in ("NIC", "NIC_ALIAS"):
        found = template.get(name) if isinstance(template, dict) else None
        cards += found if isinstance(found, list) else [found]
    values = {str(card.get(name) or "") for card in cards if isinstance(card, dict) for name in _ADDRESSES}
    return tuple(sorted(filter(_is_address, values)))


def _is_address(text: str) -> bool:
    try:
        return not ipaddress.ip_address(text).is_link_local
    except ValueError:
        return False


def plain(text: str) -> str:
    """A sentence without the characters that OneGate would break it at."""
    softer = str.maketrans({",": ";", "[": "(", "]": ")", '"': "'", "\\": "/"})
    printable = "".join(char if ord(char) >= 32 else " " for char in text.translate(softer))
    return " ".join(printable.split()) or "unknown"


def template_text(values: Mapping[str, str]) -> str:
    """Attributes as lines `K=V`, the form that OneGate quotes itself; ValueError for names or values that do not fit.

    The server adds quotes character by character: a value that is quoted already breaks at the next `=` in it, such as
    the padding of a certificate in base64, and no value survives a comma, a bracket, a quote or a backslash. An empty
    value on the last line is left without its closing quote.
    """
    lines = []
    for key, value in values.items():
        if not _NAME.fullmatch(key) or not value or any(ord(char) < 32 or char in _UNSAFE for char in value):
            raise ValueError(f"{key} cannot be written as an attribute")
        lines.append(f"{key}={value}")
    return "\n".join(lines)


class OneGate:
    """Speaks for one VM. Reads and writes are tried again while the server is unreachable or answers 5xx."""

    def __init__(
        self,
        endpoint: str,
        vm_id: str,
        token: str,
        timeout: float = 10.0,
        tries: int = 3,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.endpoint = endpoint.rstrip("/")
        self.vm_id = vm_id
        self._token = token
        self._timeout = timeout
        self._tries = tries
        self._sleep = sleep

    @classmethod
    def from_context(cls, context: Mapping[str, str], **options: Any) -> OneGate | None:
        """The client for this VM, None when it has no token (a VM without OneGate)."""
        endpoint, vm_id, token = (context.get(name, "") for name in ("ONEGATE_ENDPOINT", "VMID", "TOKENTXT"))
        return cls(endpoint, vm_id, token, **options) if endpoint and vm_id and token else None

    def own(self) -> dict[str, str]:
        """User template of this VM."""
        return _attributes(self._json("/vm").get("VM", {}))

    def peers(self) -> list[Peer]:
        """All VMs of the own service with their user templates, this one included."""
        service = self._json("/service?extended=true").get("SERVICE", {})
        found = []
        for role in service.get("roles") or []:
            for node in role.get("nodes") or []:
                vm = (node.get("vm_info") or {}).get("VM") or {}
                vm_id = str(vm.get("ID") or node.get("deploy_id") or "")
                if vm_id:
                    found.append(Peer(vm_id, str(role.get("name", "")), _attributes(vm), _addresses(vm)))
        return found

    def planned_nodes(self) -> int:
        """Sum of the cardinalities of all roles of the own service but the SuperLink's."""
        service = self._json("/service").get("SERVICE", {})
        roles = [role for role in service.get("roles") or [] if role.get("name") != "superlink"]
        return sum(int(role.get("cardinality") or 0) for role in roles)

    def put(self, values: Mapping[str, str], vm_id: str | None = None) -> None:
        """Set attributes of this VM, or of another VM of the own service."""
        self._request("PUT", "/vm" if vm_id in (None, self.vm_id) else f"/vms/{vm_id}", template_text(values))

    def delete(self, name: str) -> None:
        """Remove an attribute of this VM; it has to exist."""
        self._request("PUT", "/vm?type=2", name)

    def _json(self, path: str) -> dict[str, Any]:
        body = self._request("GET", path)
        try:
            answer = json.loads(body)
        except ValueError as error:
            raise OneGateError(
                f"OneGate at {self.endpoint} answered {path} with something that is not JSON."
            ) from error
        return answer if isinstance(answer, dict) else {}

    def _request(self, method: str, path: str, body: str | None = None) -> str:
        failure = OneGateError("")
        for attempt in range(self._tries):
            if attempt:
                self._sleep(float(attempt))
            try:
                return self._once(method, path, body)
            except OneGateError as error:
                failure = error
                if 0 < error.status < 500:
                    break
        raise failure

    def _once(self, method: str, path: str, body: str | None) -> str:
        request = urllib.request.Request(
            self.endpoint + path,
            data=None if body is None else body.encode(),
            method=method,
            headers={"X-ONEGATE-TOKEN": self._token, "X-ONEGATE-VMID": self.vm_id, "Content-Type": "text/plain"},
        )
        # OneGate is always next door: a proxy from the environment would only be in the way.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=self._timeout) as answer:
                text: str = answer.read().decode(errors="replace")
                return text
        except urllib.error.HTTPError as error:
            detail = error.read().decode(errors="replace").strip()[:200] or error.reason
            what = f"OneGate at {self.endpoint} refused {method} {path.split('?')[0]} with {error.code}: {detail}"
            raise OneGateError(what, error.code) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise OneGateError(f"OneGate at {self.endpoint} cannot be reached: {reason}") from error
