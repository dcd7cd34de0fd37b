# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The SuperLink's own certificate authority and its successor during an overlap.

Files, and the order in which they change, so that a run that is cut off anywhere leaves a state that the next one
understands:

* `successor.json` (root only): key, certificate and cross certificate of the next authority; there during an overlap.
* `ca.key` (root only): the key that signs. Replacing it by the successor's is the moment in which an overlap ends.
* `cross.pem`: cross certificates of former successors; nodes that slept through a rotation need them to believe it.
* `ca.crt`: the certificates that are trusted now.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from flower_ops.machine.files import Files
from flower_ops.machine.paths import Paths
from flower_ops.pki import tls

if TYPE_CHECKING:
    from cryptography import x509

CA_FILE = f"{Paths.certs}/ca.crt"
SUCCESSOR_FILE = f"{Paths.private}/successor.json"
CROSS_FILE = f"{Paths.private}/cross.pem"
#: Days before its end in which an authority is replaced by itself.
OVERLAP_DAYS = 90
#: How many rotations a node may sleep through and still come back by itself.
GENERATIONS = 5


@dataclass(frozen=True)
class Successor:
    """The next authority, all PEM. `by_itself` tells that nobody asked for it: the present one ends soon."""

    key: bytes
    cert: bytes
    cross: bytes
    by_itself: bool = False


@dataclass(frozen=True)
class Authority:
    """Key and certificate that sign now; `crosses` are cross certificates of former overlaps, newest first. All PEM."""

    key: bytes
    cert: bytes
    crosses: tuple[bytes, ...] = ()
    successor: Successor | None = None

    @property
    def roots(self) -> list[bytes]:
        """Certificates to trust, the one that signs now first."""
        return [self.cert, *([self.successor.cert] if self.successor else [])]

    @property
    def evidence(self) -> list[bytes]:
        """Cross certificates to publish: by them a node that trusts an older authority believes a newer one."""
        return [*([self.successor.cross] if self.successor else []), *self.crosses]

    @property
    def days_left(self) -> float:
        """Days until the certificate that signs now ends."""
        return tls.days_left(tls.load_cert(self.cert, CA_FILE))

    def begin(self, by_itself: bool = False) -> Authority:
        """The same authority with a successor; unchanged when it has one."""
        if self.successor is not None:
            return self
        key, cert = tls.new_ca()
        return replace(self, successor=Successor(key, cert, self.cross_for(cert), by_itself))

    def finish(self) -> Authority:
        """The successor as the authority; unchanged when there is none."""
        if self.successor is None:
            return self
        return Authority(self.successor.key, self.successor.cert, tuple(self.evidence[:GENERATIONS]))

    def cross_for(self, cert: bytes) -> bytes:
        """A cross certificate for another authority's certificate."""
        return tls.new_cross_certificate(self.key, self.cert, cert)


def new() -> Authority:
    """An authority that nobody knows yet."""
    return Authority(*tls.new_ca())


def load(files: Files) -> Authority | None:
    """The authority of this VM as its files tell; None when there is none, or its key or certificate is lost."""
    key = files.read(Paths.ca_key)
    if key is None:
        return None
    crosses = tuple(map(tls.cert_pem, _usable(files.read(CROSS_FILE))))
    successor = _successor(files)
    try:
        private = tls.load_key(key, Paths.ca_key)
    except tls.TlsError:
        return None
    if successor is not None and tls.same_key(tls.load_cert(successor.cert, SUCCESSOR_FILE), private):
        # The overlap ended, but the run that ended it was cut off before it could tidy up.
        rest = tuple(cross for cross in crosses if cross != successor.cross)
        return Authority(key, successor.cert, (successor.cross, *rest))
    for cert in _certs(files.read(CA_FILE)):
        if tls.same_key(cert, private) and tls.is_authority(cert) and tls.days_left(cert) > 0:
            if successor is not None and not tls.signed_by(tls.load_cert(successor.cross, SUCCESSOR_FILE), cert):
                successor = None
            return Authority(key, tls.cert_pem(cert), crosses, successor)
    return None


def save(files: Files, authority: Authority) -> None:
    """Write what differs, in an order that may stop anywhere (see above)."""
    if authority.successor is not None:
        text = {
            "key": authority.successor.key.decode(),
            "cert": authority.successor.cert.decode(),
            "cross": authority.successor.cross.decode(),
            "by_itself": authority.successor.by_itself,
        }
        files.write(SUCCESSOR_FILE, f"{json.dumps(text, indent=1)}\n".encode(), 0o600, "root:root", secret=True)
        # The successor is trusted before it signs.
        files.write(CA_FILE, b"".join(authority.roots), 0o644, "flower:flower")
    files.write(Paths.ca_key, authority.key, 0o600, "root:root", secret=True)
    save_crosses(files, authority.crosses)
    if authority.successor is None:
        files.write(CA_FILE, authority.cert, 0o644, "flower:flower")
        remove(files, SUCCESSOR_FILE)


def save_crosses(files: Files, crosses: tuple[bytes, ...]) -> None:
    """Keep cross certificates for publication."""
    if crosses:
        files.write(CROSS_FILE, b"".join(crosses), 0o600, "root:root")
    else:
        remove(files, CROSS_FILE)


def remove(files: Files, path: str) -> None:
    """Remove a file, if it is there."""
    if files.read(path) is None:
        return
    files.record(path, "present\n", "")
    if not files.check:
        files.paths.at(path).unlink()


def _certs(pem: bytes | None) -> list[x509.Certificate]:
    try:
        return tls.load_certs(pem or b"", "")
    except tls.TlsError:
        return []


def _usable(pem: bytes | None) -> list[x509.Certificate]:
    return [cert for cert in _certs(pem) if tls.days_left(cert) > 0]


def _successor(files: Files) -> Successor | None:
    text = files.read(SUCCESSOR_FILE)
    if text is None:
        return None
    try:
        found = json.loads(text)
        key, cert, cross = (str(found[name]).encode() for name in ("key", "cert", "cross"))
        private = tls.load_key(key, SUCCESSOR_FILE)
        fits = all(tls.same_key(tls.load_cert(pem, SUCCESSOR_FILE), private) for pem in (cert, cross))
    except (ValueError, KeyError, TypeError, tls.TlsError):
        return None
    return Successor(key, cert, cross, bool(found.get("by_itself"))) if fits else None
