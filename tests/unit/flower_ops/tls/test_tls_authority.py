# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The own authority: kept, renewed, followed by another one, and never lost to a run that is cut off."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from flower_ops.machine.files import Files
from flower_ops.machine.paths import Paths
from flower_ops.pki import authority, certificates, tls, trust
from flower_ops.pki.authority import Authority
from tls_support import LOOPBACK, handshake


class CutOffError(BaseException):
    """The machine stops here."""


class ShakyFiles(Files):
    """Files of a machine that stops before its nth change."""

    left = 10**6

    def _replace(self, place: str, data: bytes, mode: int, owner: str) -> None:
        self._count()
        super()._replace(place, data, mode, owner)

    def record(self, header: str, before: str, after: str) -> None:
        super().record(header, before, after)
        if not after:
            # A removal.
            self._count()

    def _count(self) -> None:
        if not self.left:
            raise CutOffError
        self.left -= 1


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Files of a SuperLink with an authority and a server certificate."""
    files = Files(Paths(tmp_path / "vm"))
    own = authority.new()
    authority.save(files, own)
    key, cert = tls.new_server_cert(own.key, own.cert, "x", LOOPBACK)
    certificates.store_server(files, own, cert, key)
    return files


def loaded(files: Files) -> Authority:
    own = authority.load(files)
    assert own is not None
    return own


def serve(files: Files, own: Authority) -> None:
    """A server certificate of the authority that signs now."""
    key, cert = tls.new_server_cert(own.key, own.cert, "x", LOOPBACK)
    certificates.store_server(files, own, cert, key)


def met_by(files: Files, folder: Path, ca: bytes) -> str:
    """What a client says that trusts `ca`."""
    cert, key = files.read(certificates.CERT_FILE), files.read(certificates.KEY_FILE)
    assert cert and key
    return handshake(folder, ca, cert, key)


def test_an_authority_is_read_back_as_it_was_and_saved_without_a_change(files: Files) -> None:
    own = loaded(files).begin()
    authority.save(files, own)
    assert loaded(files) == own
    files.changes.clear()
    authority.save(files, own)
    assert files.changes == []


def test_each_authority_has_a_name_of_its_own() -> None:
    names = {tls.load_cert(tls.new_ca()[1], "").subject for number in range(3)}
    assert len(names) == 3


def test_keys_are_for_root_only_and_never_beside_the_certificates(files: Files) -> None:
    authority.save(files, loaded(files).begin())
    root = files.paths.root
    for path in root.rglob("*"):
        if path.is_file() and b"PRIVATE KEY" in path.read_bytes():
            assert path.stat().st_mode & 0o077 == 0
            assert path.name == "server.key" or path.parent == root / "etc/flower-ops"


def test_an_overlap_is_smooth_for_clients_of_every_age(files: Files, tmp_path: Path) -> None:
    old = loaded(files)
    both = old.begin()
    authority.save(files, both)
    assert both.begin() is both
    bundle = b"".join(both.roots)
    assert (files.read(authority.CA_FILE) or b"") == bundle
    # The old one signs until the end: a node that has not heard of the new one stays.
    for ca in (old.cert, bundle):
        assert met_by(files, tmp_path, ca) == ""
    new = both.finish()
    authority.save(files, new)
    serve(files, new)
    assert files.read(authority.CA_FILE) == new.cert
    assert not files.paths.at(authority.SUCCESSOR_FILE).exists()
    # The cross certificate in the handshake carries over a client that slept through it all.
    for ca in (old.cert, bundle, new.cert):
        assert met_by(files, tmp_path, ca) == ""
    assert "not trusted" in met_by(files, tmp_path, authority.new().cert)
    third = new.begin().finish()
    authority.save(files, third)
    serve(files, third)
    for ca in (old.cert, new.cert, third.cert):
        assert met_by(files, tmp_path, ca) == ""


@pytest.mark.parametrize("step", range(4))
def test_a_begin_that_is_cut_off_leaves_the_old_or_the_whole(files: Files, tmp_path: Path, step: int) -> None:
    old = loaded(files)
    shaky = ShakyFiles(files.paths)
    shaky.left = step
    begun = old.begin()
    try:
        authority.save(shaky, begun)
    except CutOffError:
        assert step < 3
    found = loaded(files)
    assert found.cert == old.cert and found.successor in (None, begun.successor)
    authority.save(files, found.begin())
    assert loaded(files).successor is not None
    assert met_by(files, tmp_path, old.cert) == ""


@pytest.mark.parametrize("step", range(6))
def test_a_finish_that_is_cut_off_is_completed_by_the_next_run(files: Files, tmp_path: Path, step: int) -> None:
    old = loaded(files)
    both = old.begin()
    authority.save(files, both)
    shaky = ShakyFiles(files.paths)
    shaky.left = step
    try:
        authority.save(shaky, both.finish())
    except CutOffError:
        assert step < 4
    found = loaded(files)
    assert found.cert in both.roots
    # What is published at this moment is believed by nodes of both ages.
    for cert in (old.cert, both.finish().cert):
        anchors, crosses = trust.split(certificates.published(files), "x")
        assert all(trust.vouched(item, tls.load_certs(cert, ""), crosses) for item in anchors) or cert != old.cert
    done = found.finish()
    authority.save(files, done)
    assert loaded(files) == done and done.cert == both.roots[1] and len(done.crosses) == 1
    serve(files, done)
    assert met_by(files, tmp_path, old.cert) == met_by(files, tmp_path, done.cert) == ""


def test_a_lost_or_foreign_key_is_no_authority(files: Files) -> None:
    for wrong in (b"junk", tls.new_ca()[0]):
        files.write(Paths.ca_key, wrong, 0o600, "root:root")
        assert authority.load(files) is None
    os.unlink(files.paths.at(Paths.ca_key))
    assert authority.load(files) is None


def test_a_successor_of_another_authority_or_in_pieces_is_ignored(files: Files) -> None:
    other = authority.new().begin()
    own = loaded(files)
    authority.save(files, own.begin())
    place = files.paths.at(authority.SUCCESSOR_FILE)
    authority.save(Files(Paths(files.paths.root / "other")), other)
    foreign = (files.paths.root / "other" / authority.SUCCESSOR_FILE.lstrip("/")).read_bytes()
    for text in (foreign, b"{", b"[]", b'{"key": 1}'):
        place.write_bytes(text)
        assert loaded(files) == own


def test_days_left_follow_the_clock(files: Files, in_days: Callable[[float], None]) -> None:
    assert certificates.days_left(files) == pytest.approx(tls.SERVER_DAYS, abs=0.1)
    in_days(tls.SERVER_DAYS + 1)
    left = certificates.days_left(files)
    assert left is not None and left < 0
    files.paths.at(certificates.CERT_FILE).write_bytes(b"junk")
    assert certificates.days_left(files) is None
    os.unlink(files.paths.at(certificates.CERT_FILE))
    assert certificates.days_left(files) is None


@pytest.mark.parametrize("name", ["fd00::7", "::1", "10.1.2.3", "fed.example.org"])
def test_a_server_certificate_is_good_for_all_its_names_and_no_other(tmp_path: Path, name: str) -> None:
    own = authority.new()
    sans = [*LOOPBACK, "IP:fd00::7", "IP:10.1.2.3", "DNS:fed.example.org"]
    key, cert = tls.new_server_cert(own.key, own.cert, "x", sans)
    assert certificates.names_in(cert) == sans
    assert handshake(tmp_path, own.cert, cert, key, name) == ""
    assert "not trusted" in handshake(tmp_path, own.cert, cert, key, "fd00::8")


def test_evidence_does_not_grow_for_ever(files: Files, tmp_path: Path) -> None:
    own = loaded(files)
    for _year in range(authority.GENERATIONS + 2):
        own = own.begin().finish()
    authority.save(files, own)
    assert len(loaded(files).crosses) == authority.GENERATIONS
    serve(files, own)
    assert met_by(files, tmp_path, own.cert) == ""
