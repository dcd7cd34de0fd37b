# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a SuperLink serves: asked at its door, with the authority that SuperNodes trust."""

from __future__ import annotations

from collections.abc import Mapping

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


def trouble(values: Mapping[str, str], profile: Profile, paths: Paths) -> str:
    """Empty when Fleet and Control API answer, else the reason why not; `values` are the variables of the VM."""
    for name in ("ONEAPP_FL_FLEET_API_ADDRESS", "ONEAPP_FL_CONTROL_API_ADDRESS"):
        host, port = rules.split_address(reachable(values[name], "127.0.0.1"))
        if values["ONEAPP_FL_TLS_ENABLED"] == "YES":
            reason = health.serves_tls(host, port, host, paths.at(CA_FILE), http2=profile.serves_http2)
        else:
            reason = health.listens(host, port)
        if reason:
            return reason
    return ""
