# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of an audit on one VM, each one call: what is asked for and what is answered is plain data."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flower_ops.audit import canary as canaries
from flower_ops.audit import disks, peers, prints, search, watch, wire
from flower_ops.audit import place as places
from flower_ops.audit.errors import AuditError
from flower_ops.audit.place import Place
from flower_ops.flower_cli.flwr_cli import FlwrCliError
from flower_ops.runs.record import Places

#: Fingerprints of a node at most, and bytes of a capture that are kept.
MOST_PRINTS, MOST_CAPTURED = 500_000, 256 << 20
SALT_BYTES = 16
DATA = "/opt/flower/data"
Request = Mapping[str, Any]


def canary(place: Place, request: Request, binary: str) -> dict[str, Any]:
    """Make samples for a node that has none."""
    place.make()
    folder = place.root / str((request.get("data") or [DATA])[0]).lstrip("/")
    return {"files": len(canaries.plant(folder, str(request.get("form")), place.canary)), "changed": True}


def fingerprint(place: Place, request: Request, binary: str) -> dict[str, Any]:
    """Make the fingerprints of this node's samples; only figures are answered, the file is fetched by whoever asks."""
    salt = _salt(request)
    folders = [place.root / str(one).lstrip("/") for one in request.get("data") or [DATA]]
    begun = time.monotonic()
    made = prints.make(_node(request), folders, salt, int(request.get("limit") or MOST_PRINTS))
    place.make()
    place.prints.touch(mode=0o600)
    with place.prints.open("wb") as stream:
        prints.save(made, stream)
    facts = {name: value for name, value in made.facts.items() if name != "salt"}
    return {**facts, "seconds": round(time.monotonic() - begun, 1), "path": str(place.prints)}


def start(place: Place, request: Request, binary: str) -> dict[str, Any]:
    """Begin to watch: packets on a SuperNode, the databases' logs on the SuperLink; never while a run is active."""
    role = str(request.get("role"))
    if role not in ("superlink", "supernode"):
        raise AuditError(f"{role!r} is no role; it is superlink or supernode.")
    if role == "superlink":
        _idle(place)
    try:
        return _started(place, request, binary, role)
    except BaseException as error:
        # Nothing is captured and no database held for an audit that has not begun.
        try:
            watch.stop()
        except AuditError as other:
            raise AuditError(f"{error} {other}") from error
        raise


def _started(place: Place, request: Request, binary: str, role: str) -> dict[str, Any]:
    since = time.time()
    data = [str(one) for one in request.get("data") or [DATA]] if role == "supernode" else []
    held = watch.start(place, binary, role, int(request.get("capture_bytes") or MOST_CAPTURED), data)
    if role == "superlink" and not held["held"]:
        why = "; ".join(f"{path}: {reason}" for path, reason in held["failed"].items()) or "there is none"
        raise AuditError(f"No database of Flower in {place.state} can be kept from forgetting messages ({why}).")
    control = str(request.get("control") or peers.control_machine())
    places.save(place.begun, {"since": since, "control": control})
    return {"since": since, "control": control, "prints": str(place.others), **held}


def stop(place: Place, request: Request, binary: str) -> dict[str, Any]:
    """End the capture of a SuperNode; answers peers and bytes, and the node's samples that left it in plain."""
    watch.stop()
    begun, figures = places.load(place.begun), places.load(place.figures)
    salt = _salt(request)
    known = peers.rules_for(place.fleet(), place.gate(), begun["control"], request.get("allowed") or [])
    table = peers.name(figures.pop("table"), known)
    with place.prints.open("rb") as stream:
        own = prints.load(stream, salt, str(place.prints))
    return {
        **figures,
        "since": begun["since"],
        "fleet": place.fleet(),
        "kept_bytes": watch.kept(place.folder),
        "bytes_out": sum(row["bytes_out"] for row in table),
        "bytes_in": sum(row["bytes_in"] for row in table),
        "peers": table,
        "plain": wire.search(place.folder, own, salt),
    }


def look(place: Place, request: Request, binary: str) -> dict[str, Any]:
    """Search this VM's disks for samples of other nodes, whose fingerprints lie in place.others."""
    salt = _salt(request)
    loaded = []
    for path in sorted(place.others.glob("*.prints")):
        with path.open("rb") as stream:
            loaded.append(prints.load(stream, salt, path.name))
    if not loaded:
        raise AuditError(f"There are no fingerprints in {place.others}; take the step fingerprint on every node first.")
    folders = [*disks.FOLDERS, *(str(one) for one in request.get("folders") or [])]
    since = float(places.load(place.begun)["since"])
    data = [str(one) for one in request.get("data") or [DATA]]
    wanted = search.Wanted(place.root, folders, (place.folder,), since, place.root == Path("/"), data)
    return search.search(loaded, str(request.get("node") or ""), salt, wanted)


def clean(place: Place, request: Request, binary: str) -> dict[str, Any]:
    """Remove all that an audit has made here, also one that was cut off."""
    there = place.folder.exists()
    try:
        watch.stop()
    finally:
        try:
            canaries.remove(place.canary)
        finally:
            shutil.rmtree(place.folder, ignore_errors=True)
    return {"changed": there}


def _salt(request: Request) -> bytes:
    try:
        salt = bytes.fromhex(str(request.get("salt") or ""))
    except ValueError:
        salt = b""
    if len(salt) < SALT_BYTES:
        raise AuditError(f"The audit needs a salt of at least {SALT_BYTES} bytes, in hexadecimal.")
    return salt[:64]


def _node(request: Request) -> str:
    name = str(request.get("node") or "")
    if not name:
        raise AuditError("The audit needs the name of the node whose samples these are.")
    return name


def _idle(place: Place) -> None:
    """AuditError while somebody trains: the bytes of two runs cannot be told apart."""
    try:
        rows = Places(place.root).cli().list_runs()
    except FlwrCliError as error:
        raise AuditError(f"The SuperLink cannot be asked for its runs ({error}); mend it first.") from error
    active = [str(row.get("run-id", "?")) for row in rows if not str(row.get("status", "")).startswith("finished")]
    if active:
        raise AuditError(f"Run {' and '.join(active)} is active; wait for its end or stop it, then audit.")


STEPS: dict[str, Callable[[Place, Request, str], dict[str, Any]]] = {
    "canary": canary,
    "fingerprint": fingerprint,
    "start": start,
    "stop": stop,
    "search": look,
    "clean": clean,
}
