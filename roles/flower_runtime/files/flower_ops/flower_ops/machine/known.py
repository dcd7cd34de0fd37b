# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a SuperNode was last configured with, as far as it came from others: by it the keeper sees what changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from flower_ops.machine.files import Files

#: Attributes cannot be emptied through OneGate; this stands for an empty one.
NONE = "NONE"


@dataclass(frozen=True)
class Known:
    """`superlink_vm` is empty where the address was given. `ca` is the SHA-256 of FL_CA_CERT as it was published."""

    endpoint: str = ""
    superlink_vm: str = ""
    ca: str = ""
    partition: str = ""
    public_key: str = ""


def digest(published: str) -> str:
    """Of FL_CA_CERT; empty for an empty one."""
    return hashlib.sha256(published.encode()).hexdigest() if published else ""


def partition(attributes: Mapping[str, str]) -> str:
    """Partition and number of partitions in the attributes of a VM, empty while they are not complete."""
    number, count = (attributes.get(name, "") for name in ("FL_PARTITION_ID", "FL_NUM_PARTITIONS"))
    return f"{number}/{count}" if number.isdecimal() and count.isdecimal() else ""


def load(files: Files) -> Known | None:
    """None before the first configuration, and where the record cannot be read."""
    try:
        return Known(**json.loads(files.read(files.paths.known) or b""))
    except (ValueError, TypeError):
        return None


def save(files: Files, known: Known) -> None:
    """Keep it."""
    if load(files) != known:
        files.store(files.paths.known, f"{json.dumps(asdict(known), indent=1)}\n".encode())
