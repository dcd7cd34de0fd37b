# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`flower-ops rotate`: replace certificates and keys on request, between runs.

Each kind changes files under the agent's lock in an order that may stop anywhere, then lets the agent bring services
and OneGate in line. So whatever is cut off is completed by the next run of either command.
"""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flower_ops import context as variables
from flower_ops.agent import agent, key_rotation
from flower_ops.flower_cli.flwr_cli import FlwrCli, FlwrCliError
from flower_ops.machine.errors import NodeError
from flower_ops.machine.files import Files
from flower_ops.machine.given import alone, recall
from flower_ops.machine.onegate import OneGate
from flower_ops.machine.paths import Paths
from flower_ops.machine.systemd import ServiceManager
from flower_ops.pki import authority, certificates, tls, trust

KINDS = ("idle", "server", "ca-begin", "ca-finish", "trust", "node-key")
_UNIT = "flower-superlink.service"


@dataclass
class Request:
    """What is to be rotated. `min_age` in seconds: what is younger stays, so that a repeated run completes only.

    `force`: also while a run is active, and without waiting for nodes. `timeout`: seconds to wait for services, and for
    nodes to confirm.
    """

    kind: str
    check: bool = False
    force: bool = False
    min_age: float = 0.0
    root: Path = Path("/")
    timeout: float = 120.0


@dataclass
class Work:
    """Tools and findings of one rotation. `runs` gives the ids of active runs; `replaced` are rows for people."""

    request: Request
    paths: Paths
    files: Files
    context: dict[str, str]
    gate: OneGate | None
    runs: Callable[[], list[str]]
    sleep: Callable[[float], None]
    clock: Callable[[], float]
    configure: Callable[[str], dict[str, Any]]
    warnings: list[str] = field(default_factory=list)
    replaced: list[dict[str, str]] = field(default_factory=list)

    def values(self, role: str) -> dict[str, str]:
        """Merged variables of this VM as its last configuration had them."""
        return variables.merge(role, self.context, recall(self.files).variables)

    def row(self, what: str, before: str, after: str, valid_until: str = "") -> None:
        """Note a replacement: fingerprints before and after, end of validity (empty: none)."""
        self.replaced.append({"what": what, "before": before, "after": after, "valid_until": valid_until})


def rotate(
    request: Request,
    systemd: ServiceManager | None = None,
    runs: Callable[[], list[str]] | None = None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[int, dict[str, Any]]:
    """Do it. Returns the exit code and {changed, diff, warnings, errors, message, replaced: [{what, before, …}]}."""
    paths = Paths(request.root)
    files = Files(paths, request.check)
    context = variables.parse_one_env((files.read(paths.one_env) or b"").decode(errors="replace"))
    answer: dict[str, Any] = {"changed": False, "diff": [], "warnings": [], "errors": [], "message": "", "replaced": []}

    def configure(role: str) -> dict[str, Any]:
        wanted = agent.Request(role, None, request.check, request.root, request.timeout)
        code, said = agent.configure(wanted, systemd, sleep, clock)
        answer["diff"] += said["diff"]
        answer["warnings"] += said["warnings"]
        answer["changed"] = answer["changed"] or said["changed"]
        if code:
            answer["errors"] = said["errors"]
            raise NodeError(said["message"])
        return dict(said["facts"])

    gate = OneGate.from_context(context, sleep=sleep)
    work = Work(
        request,
        paths,
        files,
        context,
        gate,
        runs or (lambda: active_runs(paths)),
        sleep,
        clock,
        configure,
        answer["warnings"],
        answer["replaced"],
    )
    code = 0
    try:
        _DO[request.kind](work)
    except (NodeError, tls.TlsError) as error:
        answer["message"], code = str(error), 1
    except OSError as error:
        answer["message"] = f"{error.filename or 'A file'} could not be handled: {error.strerror or error}."
        code = 1
    answer["diff"] = [change.as_dict() for change in files.changes] + answer["diff"]
    answer["changed"] = bool(files.changes) or answer["changed"]
    return code, answer


def active_runs(paths: Paths) -> list[str]:
    """Ids of runs that have not finished. None while the SuperLink cannot be asked: it is down or its TLS is broken."""
    cli = FlwrCli(paths.at(f"{paths.venv}/bin/flwr"), paths.at(paths.cli))
    try:
        found = cli.list_runs()
    except FlwrCliError as error:
        if error.unreachable:
            return []
        raise NodeError(str(error)) from error
    return [str(run.get("run-id")) for run in found if not str(run.get("status", "")).startswith("finished")]


def _idle(work: Work) -> None:
    """NodeError while somebody trains."""
    _superlink(work)
    if work.request.force:
        return
    active = work.runs()
    if active:
        raise NodeError(
            f"Run {' and '.join(active)} is active, and a rotation interrupts connections; wait for its end, stop it, "
            "or force the rotation (flower-ops rotate --force, rotate_force in the playbook)."
        )


def _superlink(work: Work) -> None:
    if work.files.read(work.paths.federation) is None:
        raise NodeError("This VM is not a configured SuperLink; run this on the SuperLink of the federation.")


def _lock(work: Work) -> Any:
    return nullcontext() if work.request.check else alone(work.paths)


def _young(work: Work, pem: bytes, what: str) -> bool:
    """Whether a certificate is younger than asked for; told, because somebody may expect another one."""
    cert = tls.load_cert(pem, what)
    age = tls.now() - tls.made_at(cert)
    if age >= datetime.timedelta(seconds=work.request.min_age):
        return False
    work.warnings.append(f"{what} was made {int(age.total_seconds() // 60)} minutes ago and stays")
    return True


def _own(work: Work) -> authority.Authority:
    if work.values("superlink")["ONEAPP_FL_TLS_ENABLED"] != "YES":
        raise NodeError("This federation has no TLS (ONEAPP_FL_TLS_ENABLED=NO), so there is no certificate to replace.")
    if work.values("superlink")["ONEAPP_FL_SSL_CA_CERTFILE"]:
        raise NodeError(
            "The certificates of this SuperLink are the operator's own; give new ones as ONEAPP_FL_SSL_CERTFILE, "
            "ONEAPP_FL_SSL_KEYFILE and ONEAPP_FL_SSL_CA_CERTFILE."
        )
    own = authority.load(work.files)
    if own is None:
        raise NodeError(
            f"The key or the certificate of the authority is lost ({work.paths.ca_key}, {authority.CA_FILE}); "
            "configure the SuperLink again for a new one, which its nodes will only take over from the operator."
        )
    return own


def _show(pem: bytes | None, what: str) -> tuple[str, str]:
    """Fingerprint and end of validity of a certificate; empty without one."""
    if pem is None:
        return "", ""
    cert = tls.load_cert(pem, what)
    return tls.fingerprint(cert), f"{cert.not_valid_after_utc:%Y-%m-%d}"


def _new_server(work: Work, own: authority.Authority, old: bytes) -> None:
    """A new key and certificate for the same names, signed by the authority that signs now."""
    names = certificates.names_in(old)
    key, cert = tls.new_server_cert(own.key, own.cert, names[-1].partition(":")[2], names)
    certificates.store_server(work.files, own, cert, key)
    if work.request.check:
        work.files.record(_UNIT, "running\n", "restarted with new settings\n")
    before, after = _show(old, "server.pem"), _show(cert, "server.pem")
    work.row("server certificate", before[0], after[0], after[1])


def _server(work: Work) -> None:
    _superlink(work)
    with _lock(work):
        own = _own(work)
        old = work.files.read(certificates.CERT_FILE)
        # One that cannot be read is replaced by the agent anyway.
        readable = certificates.days_left(work.files) is not None
        if old is not None and readable and not _young(work, old, "The server certificate"):
            _idle(work)
            _new_server(work, own, old)
    work.configure("superlink")


def _ca_begin(work: Work) -> None:
    _superlink(work)
    with _lock(work):
        own = _own(work)
        if own.successor is None and not _young(work, own.cert, "The certificate authority"):
            # Nodes take the successor over by themselves, and start anew with it.
            _idle(work)
            own = own.begin()
        authority.save(work.files, own)
    if own.successor is not None:
        before, after = _show(own.cert, ""), _show(own.successor.cert, "")
        work.row("certificate authority (overlap begun)", before[0], after[0], after[1])
        _tell_foreign(work, own)
    work.configure("superlink")


def _tell_foreign(work: Work, own: authority.Authority) -> None:
    members = json.loads(work.files.read(work.paths.members) or b"{}").get("members", [])
    names = [f"{member['site']}/{member['name']}" for member in members if not member.get("vm_id")]
    if names:
        work.warnings.append(
            f"{' and '.join(names)} get no certificates through OneGate; give them the contents of {authority.CA_FILE} "
            f"as ONEAPP_FL_SSL_CA_CERTFILE before the old authority ends on {_show(own.cert, '')[1]}"
        )


def _ca_finish(work: Work) -> None:
    _superlink(work)
    own = _own(work)
    if own.successor is not None:
        if not work.request.force and not work.request.check:
            _all_confirmed(work, own.successor.cert)
        _idle(work)
        with _lock(work):
            own = _own(work)
            authority.save(work.files, own)
            done = own.finish()
            authority.save(work.files, done)
            old = work.files.read(certificates.CERT_FILE)
            before, after = _show(own.cert, ""), _show(done.cert, "")
            work.row("certificate authority", before[0], after[0], after[1])
            if old is not None:
                _new_server(work, done, old)
    work.configure("superlink")


def _all_confirmed(work: Work, cert: bytes) -> None:
    """Wait until every node of the service says that it trusts the successor."""
    end = work.clock() + work.request.timeout
    while True:
        missing = trust.unconfirmed(work.gate, cert)
        if not missing:
            return
        if work.clock() >= end:
            raise NodeError(
                f"VM {' and '.join(missing)} did not say within {work.request.timeout:.0f} s that the new certificate "
                "authority is trusted there; repair them or take them out of the service, or force the rotation (they "
                "can catch up later)."
            )
        work.sleep(3.0)


def _trust(work: Work) -> None:
    if recall(work.files).role != "supernode":
        raise NodeError("This VM is not a configured SuperNode; configure it before its trust is renewed.")
    before = trust.read(work.files)
    work.configure("supernode")
    after = trust.read(work.files)
    if after is not None and before != after:
        ends = [
            _show(tls.cert_pem(cert), "")[1] for cert in tls.load_certs(after.certificates.encode(), trust.PIN_FILE)
        ]
        old = " ".join(before.fingerprints) if before else ""
        work.row("trusted authorities", old, " ".join(after.fingerprints), " ".join(ends))


def _node_key(work: Work) -> None:
    key_rotation.new_key(work)


_DO: dict[str, Callable[[Work], None]] = {
    "idle": _idle,
    "server": _server,
    "ca-begin": _ca_begin,
    "ca-finish": _ca_finish,
    "trust": _trust,
    "node-key": _node_key,
}
