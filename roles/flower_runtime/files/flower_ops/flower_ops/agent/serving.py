# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a SuperLink serves: asked at its doors, with the authority that SuperNodes trust."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flower_ops import rules
from flower_ops.machine import health
from flower_ops.machine.paths import Paths
from flower_ops.pki.authority import CA_FILE
from flower_ops.profiles import Profile


def reachable(address: str, host: str) -> str:
    """An address to connect to: the given host where the service listens on all of them."""
    listen, port = rules.split_address(address)
    if listen in ("0.0.0.0", "::"):
        listen = host
    return f"[{listen}]:{port}" if ":" in listen else f"{listen}:{port}"


@dataclass(frozen=True)
class Shut:
    """A door that does not open: the API behind it, whether flower-gate holds it, and the reason."""

    api: str
    at_gate: bool
    reason: str

    def __str__(self) -> str:
        return f"the {'gate of the ' if self.at_gate else ''}{self.api} API does not answer: {self.reason}"


def shut(values: Mapping[str, str], profile: Profile, paths: Paths) -> Shut | None:
    """None when Fleet and Control API answer, else the door that does not; `values` are the variables of the VM.

    Where a gate holds the Fleet door, the SuperLink's own is tried first: without it the gate is of no use.
    """
    gated = profile.fleet_port_is_shared
    for api in ("Control", "Fleet") if gated else ("Fleet", "Control"):
        host, port = rules.split_address(reachable(values[f"ONEAPP_FL_{api.upper()}_API_ADDRESS"], "127.0.0.1"))
        if values["ONEAPP_FL_TLS_ENABLED"] == "YES":
            reason = health.serves_tls(host, port, host, paths.at(CA_FILE), http2=profile.serves_http2)
        else:
            reason = health.listens(host, port)
        if reason:
            return Shut(api, gated and api == "Fleet", reason)
    return None


def trouble(values: Mapping[str, str], profile: Profile, paths: Paths) -> str:
    """Empty when Fleet and Control API answer, else which does not and why."""
    return str(shut(values, profile, paths) or "")
