# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The addresses of this VM."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping

_ADDRESS = re.compile(r"ETH[0-9]+_IP6?")


def own(context: Mapping[str, str]) -> list[str]:
    """Addresses of this VM, the one others reach it by first: from CONTEXT, else that of the default route."""
    found = [value for key, value in sorted(context.items()) if _ADDRESS.fullmatch(key) and value]
    found.sort(key=lambda address: ":" in address)
    return found or _of_default_route()


def _of_default_route() -> list[str]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Connecting a datagram socket sends nothing; it only makes the kernel choose a source address.
            probe.connect(("192.0.2.1", 9))
            return [probe.getsockname()[0]]
        except OSError:
            return []
