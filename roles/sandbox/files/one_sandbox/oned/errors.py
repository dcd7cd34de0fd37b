# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Failures as oned reports them: error answers (OnedError) and XML-RPC faults (RpcFault)."""

from __future__ import annotations

AUTHENTICATION = 256
AUTHORIZATION = 512
NO_EXISTS = 1024
ACTION = 2048
XML_RPC_API = 4096
INTERNAL = 8192
ALLOCATE = 16384


class OnedError(Exception):
    """An answer `[false, message, code, object_id, -1]`.

    `Oned.call` prefixes the message with the method, "[one.vm.info] …", as the server does.
    """

    def __init__(self, code: int, message: str, object_id: int = -1) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.object_id = object_id


class RpcFault(Exception):
    """An XML-RPC fault: the call itself was wrong (-501 arguments, -506 method)."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
