# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attributes that a server shows encrypted: CONTEXT/PASSWORD of VM templates, unless an administrator asks for it.

Here they are stored as they are and only leave as opaque text; text that comes back is recognised, as by the server.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TYPE_CHECKING

from . import template as tpl

if TYPE_CHECKING:
    from .core import Oned

_NAME = "PASSWORD"
# How openssl begins what it has encrypted, and how that begins in base64.
_MAGIC = b"Salted__"


def hidden(oned: Oned, template: tpl.Template) -> tpl.Template:
    """The template as clients see it."""
    context = template.get("CONTEXT")
    if not isinstance(context, dict) or not context.get(_NAME):
        return template
    plain = context[_NAME].encode()
    salt = hashlib.sha256(oned.meta["secret"].encode() + plain).digest()[:8]
    text = base64.b64encode(_MAGIC + salt + _mixed(oned, salt, plain)).decode()
    return {**template, "CONTEXT": {**context, _NAME: text}}


def plain(oned: Oned, template: tpl.Template) -> tpl.Template:
    """A client's template with what it had read encrypted as it was."""
    context = template.get("CONTEXT")
    if not isinstance(context, dict) or not context.get(_NAME):
        return template
    try:
        data = base64.b64decode(context[_NAME], validate=True)
    except (binascii.Error, ValueError):
        return template
    if not data.startswith(_MAGIC):
        return template
    salt = data[8:16]
    text = _mixed(oned, salt, data[16:]).decode("utf-8", "replace")
    return {**template, "CONTEXT": {**context, _NAME: text}}


def _mixed(oned: Oned, salt: bytes, data: bytes) -> bytes:
    key = b"".join(
        hashlib.sha256(oned.meta["secret"].encode() + salt + str(block).encode()).digest()
        for block in range(len(data) // 32 + 1)
    )
    return bytes(left ^ right for left, right in zip(data, key, strict=False))
