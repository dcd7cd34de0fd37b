# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong with an audit."""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib

#: What the standard library raises for bytes that only look packed, or like an array or a text. RuntimeError:
#: encrypted, an unknown method, or too deep; MemoryError: a size that only the bytes claim.
DAMAGED = (
    OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, struct.error, ValueError, ArithmeticError,
    RuntimeError, MemoryError,
)  # fmt: skip


class AuditError(Exception):
    """A step of the audit cannot be done. The text is one sentence: what, where, what to do."""
