# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replacing the key pair of a SuperNode: its partition stays, and no other node is disturbed.

A note of the old key and node id is kept until the new pair works. With it a run that was cut off knows what is done:
the pair is replaced when it is not the noted one any more, and admitted when the registrar gives another node id.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING

from flower_ops.node import keys
from flower_ops.node.errors import NodeError, OneGateError
from flower_ops.node.given import alone
from flower_ops.node.onegate import OneGate
from flower_ops.node.paths import Paths

if TYPE_CHECKING:
    from flower_ops.node.rotation import Work

NOTE = f"{Paths.private}/node-key.json"
ADMISSION_LIMIT = 300.0


def replace(work: Work) -> None:
    """A new key pair, admitted by the registrar and in use; NodeError when one of that does not come about."""
    gate = _gate(work)
    with nullcontext() if work.request.check else alone(work.paths):
        note = _note(work, gate)
        if note is not None:
            _new_pair(work, note["public"])
    if note is not None and not work.request.check:
        _admitted(work, gate, note["node_id"])
    work.configure("supernode")
    if note is not None:
        public = (work.files.read(work.paths.node_pub) or b"").decode().strip()
        work.row("node key", fingerprint(note["public"]), "" if work.request.check else fingerprint(public))
        if not work.request.check:
            work.files.paths.at(NOTE).unlink(missing_ok=True)


def fingerprint(public: str) -> str:
    """SHA-256 of a public key in OpenSSH form, 64 hexadecimal digits."""
    parts = public.split()
    return hashlib.sha256(base64.b64decode(parts[1])).hexdigest() if len(parts) > 1 else ""


def _gate(work: Work) -> OneGate:
    values = work.values("supernode")
    if work.files.read(work.paths.node_pub) is None:
        raise NodeError(
            "This VM has no key pair of a SuperNode; configure it as one first, with ONEAPP_FL_SUPERNODE_AUTH=YES."
        )
    if work.gate is None or values["ONEAPP_FL_SUPERLINK_ADDRESS"]:
        raise NodeError(
            "This node was admitted by hand, and so is its next key: delete "
            f"{work.paths.node_key} and {work.paths.node_pub}, run flower-ops configure --identity-only, admit the new "
            "key on the SuperLink with flower-ops member add (module flower_supernode), and configure the node again."
        )
    return work.gate


def _note(work: Work, gate: OneGate) -> dict[str, str] | None:
    """The note of a rotation that is under way, or of the one that begins now; None when the pair is young enough."""
    text = work.files.read(NOTE)
    if text is not None:
        try:
            found = json.loads(text)
            return {"public": str(found["public"]), "node_id": str(found["node_id"])}
        except (ValueError, KeyError, TypeError) as error:
            raise NodeError(f"{NOTE} is damaged; delete it and rotate again.") from error
    age = time.time() - work.files.paths.at(work.paths.node_key).stat().st_mtime
    if age < work.request.min_age:
        work.warnings.append(f"The node key was made {int(age // 60)} minutes ago and stays")
        return None
    public = (work.files.read(work.paths.node_pub) or b"").decode().strip()
    note = {"public": public, "node_id": _own(gate).get("FL_NODE_ID", "")}
    work.files.store(NOTE, f"{json.dumps(note)}\n".encode())
    return note


def _new_pair(work: Work, old_public: str) -> None:
    files = work.files
    present = (files.read(work.paths.node_pub) or b"").decode().strip()
    if present != old_public:
        return
    private, public = keys.new_key_pair()
    if not work.request.check:
        # Without its public half, which can be derived, a pair is never taken for one when half of it is new.
        files.paths.at(work.paths.node_pub).unlink()
    files.write(work.paths.node_key, private, 0o600, "flower:flower", secret=True)
    files.write(work.paths.node_pub, public, 0o644, "flower:flower")


def _admitted(work: Work, gate: OneGate, old_id: str) -> None:
    """Publish the public half and wait until the registrar has registered it in place of the old one."""
    public = (work.files.read(work.paths.node_pub) or b"").decode().strip()
    end, reason = work.clock() + ADMISSION_LIMIT, ""
    while True:
        own = _own(gate)
        if own.get("FL_NODE_PUBKEY") != public:
            try:
                gate.put({"FL_NODE_PUBKEY": public})
            except OneGateError as error:
                raise NodeError(f"{error}.", "onegate_failed") from error
        elif own.get("FL_NODE_ID", "") not in ("", old_id):
            return
        reason = own.get("FL_ADMISSION_ERROR", "NONE")
        if work.clock() >= end:
            raise NodeError(
                f"The registrar on the SuperLink did not admit the new key within {ADMISSION_LIMIT:.0f} s"
                + (f": {reason}" if reason != "NONE" else "; look at flower-registrar.service there."),
                "not_admitted",
            )
        work.sleep(1.0)


def _own(gate: OneGate) -> dict[str, str]:
    try:
        return gate.own()
    except OneGateError as error:
        raise NodeError(f"{error}.", "onegate_failed") from error
