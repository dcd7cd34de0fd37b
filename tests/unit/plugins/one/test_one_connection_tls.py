# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS of both protocols: whom to trust, in a file or a folder, names in certificates, certificates of clients."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest
from ansible_collections.opennebula.flower.plugins.module_utils.one import errors
from connection_servers import PROTOCOLS, Authority, Client, serving

both = pytest.mark.parametrize("protocol", PROTOCOLS)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    (tmp_path / "ca").mkdir()
    return Authority(tmp_path / "ca")


@pytest.fixture(autouse=True)
def _no_bundles_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


@both
def test_d17_a_server_of_an_unknown_authority_is_refused(protocol: str, authority: Authority) -> None:
    with serving(tls=authority.serving_as("127.0.0.1")) as server:
        with pytest.raises(errors.OneConnectionError) as caught:
            Client(protocol, server.url("https")).read()
        assert "its certificate is refused: unable to get local issuer certificate" in str(caught.value)
        assert "ca_path" in str(caught.value) and server.url("https") in str(caught.value)
        assert server.requests == []


@both
def test_d17_validate_certs_false_accepts_any_server(protocol: str, authority: Authority) -> None:
    with serving(tls=authority.serving_as("another.example.org")) as server:
        assert Client(protocol, server.url("https"), validate_certs=False).read()


@both
def test_ca_path_can_be_a_file(protocol: str, authority: Authority) -> None:
    with serving(tls=authority.serving_as("127.0.0.1")) as server:
        assert Client(protocol, server.url("https"), ca_path=str(authority.file)).read()


@both
def test_ca_path_can_be_the_certificate_of_the_server_itself(protocol: str, authority: Authority) -> None:
    own = authority.issue("127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own)
    with serving(tls=context) as server:
        assert Client(protocol, server.url("https"), ca_path=str(own)).read()


@both
@pytest.mark.parametrize("prepared", [True, False])
def test_ca_path_can_be_a_folder(protocol: str, prepared: bool, authority: Authority, tmp_path: Path) -> None:
    folder = tmp_path / "trusted"
    folder.mkdir()
    if prepared:
        command = ["openssl", "x509", "-hash", "-noout", "-in", str(authority.file)]
        digest = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        (folder / f"{digest}.0").write_bytes(authority.file.read_bytes())
    else:
        (folder / "our-ca.pem").write_bytes(authority.file.read_bytes())
        (folder / "README.txt").write_text("not a certificate")
    with serving(tls=authority.serving_as("127.0.0.1")) as server:
        assert Client(protocol, server.url("https"), ca_path=str(folder)).read()


@both
def test_ca_path_trusts_nobody_else(protocol: str, authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path, "Other CA")
    with serving(tls=authority.serving_as("127.0.0.1")) as server, pytest.raises(errors.OneConnectionError):
        Client(protocol, server.url("https"), ca_path=str(other.file)).read()


@both
def test_a_bundle_of_the_environment_counts(
    protocol: str, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.file))
    with serving(tls=authority.serving_as("127.0.0.1")) as server:
        assert Client(protocol, server.url("https")).read()


@both
def test_a_certificate_for_another_name_is_refused(protocol: str, authority: Authority) -> None:
    with serving(tls=authority.serving_as("another.example.org")) as server:
        with pytest.raises(errors.OneConnectionError, match=r"IP address mismatch.*use a name that is in the cert"):
            Client(protocol, server.url("https"), ca_path=str(authority.file)).read()
        with pytest.raises(errors.OneConnectionError, match="Hostname mismatch.*not valid for 'localhost'"):
            Client(protocol, server.url("https", "localhost"), ca_path=str(authority.file)).read()
        assert server.requests == []


@both
def test_files_that_are_no_use_are_named(protocol: str, authority: Authority, tmp_path: Path) -> None:
    text, empty = tmp_path / "text.pem", tmp_path / "empty"
    text.write_text("hello")
    empty.mkdir()
    for wrong, words in ((text, "cannot be read"), (empty, "holds no certificates")):
        with pytest.raises(errors.OneUsageError, match=f"{wrong}.*{words}|{words}.*ca_path"):
            Client(protocol, "https://127.0.0.1:1", ca_path=str(wrong)).read()
    with pytest.raises(errors.OneUsageError, match=r"client_cert .*text.pem cannot be used"):
        Client(protocol, "https://127.0.0.1:1", client_cert=str(text)).read()


@both
def test_certificates_of_clients(protocol: str, authority: Authority) -> None:
    context = authority.serving_as("127.0.0.1")
    context.load_verify_locations(authority.file)
    context.verify_mode = ssl.CERT_REQUIRED
    mine = authority.issue("alice")
    with serving(tls=context) as server:
        url = server.url("https")
        assert Client(protocol, url, ca_path=str(authority.file), client_cert=str(mine)).read()
        assert Client(protocol, url, ca_path=str(authority.file), client_cert=str(mine), client_key=str(mine)).read()
        # The server closes at once; whether its reason is read before that is a matter of luck.
        with pytest.raises(errors.OneConnectionError, match=r"(certificate required|closed the conn).*client_cert"):
            Client(protocol, url, ca_path=str(authority.file)).read()


@both
def test_an_encrypted_key_of_a_client_is_refused_and_nobody_is_asked(protocol: str, authority: Authority) -> None:
    mine = authority.issue("alice", b"passphrase")
    with pytest.raises(errors.OneUsageError, match="the key of client_cert is encrypted; give a key without"):
        Client(protocol, "https://127.0.0.1:1", client_cert=str(mine)).read()


@both
def test_https_to_a_server_without_tls(protocol: str) -> None:
    with serving() as server, pytest.raises(errors.OneConnectionError, match=r"TLS failed.*begin with https"):
        Client(protocol, server.url("https")).read()


@both
def test_http_to_a_server_with_tls(protocol: str, authority: Authority) -> None:
    with serving(tls=authority.serving_as("127.0.0.1")) as server, pytest.raises(errors.OneConnectionError):
        Client(protocol, server.url("http")).read()
