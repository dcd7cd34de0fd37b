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
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from flower_ops.machine import known
from flower_ops.machine.errors import NodeError, OneGateError
from flower_ops.machine.files import Files
from flower_ops.machine.given import alone
from flower_ops.machine.onegate import OneGate
from flower_ops.machine.paths import Paths
from flower_ops.pki import keys

if TYPE_CHECKING:
    from flower_ops.agent.rotation import Work

NOTE = f"{Paths.private}/node-key.json"
ADMISSION_LIMIT = 300.0
#: Attribute by which the registrar sees that the holder of the registered key wants another one.
PROOF = "FL_NODE_KEY_PROOF"


@dataclass(frozen=True)
class Note:
    """The public key and node id that are being replaced, and the signature by that key over the next one."""

    public: str
    node_id: str
    proof: str


def new_key(work: Work) -> None:
    """A new key pair, admitted by the registrar and in use; NodeError when one of that does not come about."""
    gate = _gate(work)
    with nullcontext() if work.request.check else alone(work.paths):
        note = _begun(work, gate)
    if note is not None and not work.request.check:
        _admitted(work, gate, note)
    work.configure("supernode")
    if note is not None:
        public = (work.files.read(work.paths.node_pub) or b"").decode().strip()
        work.row("node key", fingerprint(note.public), "" if work.request.check else fingerprint(public))
        if not work.request.check:
            work.files.paths.at(NOTE).unlink(missing_ok=True)


def proof(files: Files) -> str:
    """Signature by the former key over the one that is being introduced; empty when none is being replaced."""
    try:
        return str(json.loads(files.read(NOTE) or b"{}").get("proof", ""))
    except (ValueError, AttributeError):
        return ""


def settle(files: Files, public: str) -> None:
    """Drop the note once `public`, the key of a node that was admitted and works, is another than the noted one.

    It may have been replaced for another reason meanwhile; the next rotation would take that for its own work.
    """
    try:
        noted = str(json.loads(files.read(NOTE) or b"{}").get("public", ""))
    except (ValueError, AttributeError):
        return
    if noted and noted != public and not files.check:
        files.paths.at(NOTE).unlink()


def fingerprint(public: str) -> str:
    """SHA-256 of a public key in OpenSSH form, 64 hexadecimal digits."""
    parts = public.split()
    return hashlib.sha256(base64.b64decode(parts[1])).hexdigest() if len(parts) > 1 else ""


def _gate(work: Work) -> OneGate:
    values = work.values("supernode")
    if work.files.read(work.paths.node_key) is None:
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


def _begun(work: Work, gate: OneGate) -> Note | None:
    """Have a new pair in place, and the note of the old one; None when the old one is young enough to stay."""
    public = _public(work)
    note = _read(work)
    if note is None:
        age = time.time() - work.files.paths.at(work.paths.node_key).stat().st_mtime
        if age < work.request.min_age:
            work.warnings.append(f"The node key was made {int(age // 60)} minutes ago and stays")
            return None
        note = Note(public, _own(gate).get("FL_NODE_ID", ""), "")
    if public == note.public:
        note = _new_pair(work, note)
    return note


def _public(work: Work) -> str:
    """Public half of the pair; made again from the private one when a run was cut off between the two."""
    public = work.files.read(work.paths.node_pub)
    if public is None:
        try:
            public = keys.public_of(work.files.read(work.paths.node_key) or b"")
        except ValueError as error:
            raise _unusable(work, error) from error
        work.files.write(work.paths.node_pub, public, 0o644, "flower:flower")
    return public.decode().strip()


def _unusable(work: Work, error: ValueError) -> NodeError:
    return NodeError(f"{work.paths.node_key} cannot be used ({error}); delete it and configure this node again.")


def _read(work: Work) -> Note | None:
    text = work.files.read(NOTE)
    if text is None:
        return None
    try:
        return Note(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise NodeError(f"{NOTE} is damaged; delete it and rotate again.") from error


def _new_pair(work: Work, note: Note) -> Note:
    files = work.files
    private, public = keys.new_key_pair()
    try:
        # Only the old key can say that the next one is wanted by who holds it.
        proof = keys.prove(files.read(work.paths.node_key) or b"", public.decode())
    except ValueError as error:
        raise _unusable(work, error) from error
    note = replace(note, proof=proof)
    files.store(NOTE, f"{json.dumps(asdict(note), indent=1)}\n".encode())
    if not work.request.check:
        # Without its public half, which can be derived, a pair is never taken for one when half of it is new.
        files.paths.at(work.paths.node_pub).unlink()
    files.write(work.paths.node_key, private, 0o600, "flower:flower", secret=True)
    files.write(work.paths.node_pub, public, 0o644, "flower:flower")
    return note


def _admitted(work: Work, gate: OneGate, note: Note) -> None:
    """Publish the public half and wait until the registrar has registered it in place of the old one."""
    public = (work.files.read(work.paths.node_pub) or b"").decode().strip()
    end, pause = work.clock() + ADMISSION_LIMIT, 0.5
    while True:
        own = _own(gate)
        if (own.get("FL_NODE_PUBKEY"), own.get(PROOF)) != (public, note.proof):
            try:
                gate.put({PROOF: note.proof, "FL_NODE_PUBKEY": public, "FL_NODE_ID": known.NONE})
            except OneGateError as error:
                raise NodeError(f"{error}.", "onegate_failed") from error
        elif own.get("FL_NODE_ID", "") not in ("", known.NONE, note.node_id):
            return
        reason = own.get("FL_ADMISSION_ERROR", known.NONE)
        if work.clock() >= end:
            raise NodeError(
                f"The registrar on the SuperLink did not admit the new key within {ADMISSION_LIMIT:.0f} s"
                + (f": {reason}" if reason != known.NONE else "; look at flower-registrar.service there."),
                "not_admitted",
            )
        work.sleep(pause)
        pause = min(pause * 1.5, 4.0)


def _own(gate: OneGate) -> dict[str, str]:
    try:
        return gate.own()
    except OneGateError as error:
        raise NodeError(f"{error}.", "onegate_failed") from error
