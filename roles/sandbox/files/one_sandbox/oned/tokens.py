# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OneGate tokens: what a VM proves its identity with."""

from __future__ import annotations

import hashlib
import hmac


class Tokens:
    """Tokens derived from one secret of the home, so that they survive a restart without being stored."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    def issue(self, vm_id: int) -> str:
        """The token of a VM; the same one every time."""
        return hmac.new(self._secret, f"vm:{vm_id}".encode(), hashlib.sha256).hexdigest()

    def check(self, vm_id: int, token: str) -> bool:
        """Whether `token` belongs to that VM."""
        return hmac.compare_digest(self.issue(vm_id).encode(), token.encode())
