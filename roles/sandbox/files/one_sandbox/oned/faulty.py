# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""XML-RPC answers with a fault in them, see one_sandbox/faults.py."""

from __future__ import annotations

import xmlrpc.client
from collections.abc import Callable
from typing import Any

from ..faults import Rule
from .calls import is_write
from .core import Oned

_CREATING = ("allocate", "instantiate", "clone")
_NO_SUCH_ID = 999_999
_PAGE = b"<!DOCTYPE html><html><body><h1>It works!</h1></body></html>"


def answered(oned: Oned, rule: Rule, body: bytes, answer: Callable[[Oned, bytes], bytes]) -> bytes:
    """The answer to the request `body` under the rule. answer: does what is asked, and answers truly."""
    if rule.do in ("slow", "drop_after") or (rule.do == "garble" and rule.how in ("cut", "xml")):
        content = answer(oned, body)
        return _broken_object(content) if rule.how == "xml" else content
    params, name = xmlrpc.client.loads(body, use_builtin_types=True)
    method = str(name)
    if rule.do == "error":
        if rule.code < 0:
            fault = xmlrpc.client.Fault(rule.code, rule.text)
            return xmlrpc.client.dumps(fault, methodresponse=True).encode()
        return _dumped(False, f"[{method}] {rule.text}", rule.code, -1, -1)
    if rule.do == "lie":
        return _dumped(True, _success(method, params) if rule.value is None else rule.value, 0)
    return _dumped(True, "nonsense" if is_write(method) else 7, 0) if rule.how == "type" else _PAGE


def _success(method: str, params: tuple[Any, ...]) -> Any:
    """What a success of that call looks like: the id of the object, mostly."""
    if method.rpartition(".")[2] in _CREATING:
        return _NO_SUCH_ID
    return next((item for item in params[1:] if isinstance(item, int) and not isinstance(item, bool)), 0)


def _broken_object(content: bytes) -> bytes:
    """Half of the XML inside well-formed XML-RPC."""
    params: tuple[Any, ...] = xmlrpc.client.loads(content)[0]
    items = params[0]
    value = items[1]
    return _dumped(items[0], value[: len(value) // 2] if isinstance(value, str) else value, *items[2:])


def _dumped(*items: Any) -> bytes:
    return xmlrpc.client.dumps((list(items),), methodresponse=True).encode()
