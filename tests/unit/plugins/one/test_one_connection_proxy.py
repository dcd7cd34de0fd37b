# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proxies of the environment, for both protocols, with a real one on this machine."""

from __future__ import annotations

import base64
import socket
import threading
from pathlib import Path

import pytest
from ansible_collections.opennebula.flower.plugins.module_utils.one import errors
from ansible_collections.opennebula.flower.plugins.module_utils.one.api.proxy import is_loopback, proxy_for
from connection_servers import PASSWORD, PROTOCOLS, Authority, Client, proxying, serving

both = pytest.mark.parametrize("protocol", PROTOCOLS)
SECRET = "s3cr:t@x"
HOST = "one.example.org"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@both
@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_plain_requests_go_through_the_proxy(protocol: str, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as server, proxying(server.server_port) as proxy:
        monkeypatch.setenv(variable, f"http://127.0.0.1:{proxy.port}")
        client = Client(protocol, f"http://{HOST}:2633")
        assert client.read() and client.read()
        # The name is for the proxy to resolve, and the connection is kept.
        assert len(proxy.heads) == 1
        assert proxy.heads[0].split()[1].startswith(f"http://{HOST}:2633/")
        assert server.requests[0][2]["Host"] == f"{HOST}:2633"


@both
def test_tls_goes_through_a_tunnel_and_is_verified_end_to_end(
    protocol: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    with serving(tls=authority.serving_as(HOST)) as server, proxying(server.server_port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        assert Client(protocol, f"https://{HOST}:2633", ca_path=str(authority.file)).read()
        assert proxy.heads[0].startswith(f"CONNECT {HOST}:2633 HTTP/1.")
        assert "Authorization" not in proxy.heads[0]
        with pytest.raises(errors.OneConnectionError, match="Hostname mismatch"):
            Client(protocol, "https://other.example.org:2633", ca_path=str(authority.file)).read()


@both
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_credentials_of_a_proxy_are_sent_and_never_shown(
    protocol: str, scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = "Basic " + base64.b64encode(f"bob:{SECRET}".encode()).decode()
    authority = Authority(tmp_path)
    tls = authority.serving_as(HOST) if scheme == "https" else None
    with serving(tls=tls) as server, proxying(server.server_port, token) as proxy:
        url, trusted = f"{scheme}://{HOST}:2633", {"ca_path": str(authority.file)}
        monkeypatch.setenv(f"{scheme}_proxy", f"http://bob:s3cr%3At%40x@127.0.0.1:{proxy.port}")
        assert Client(protocol, url, **trusted).read()
        monkeypatch.setenv(f"{scheme}_proxy", f"http://bob:{SECRET[:4]}@127.0.0.1:{proxy.port}")
        with pytest.raises(errors.OneConnectionError) as caught:
            Client(protocol, url, **trusted).read()
        sentence = str(caught.value)
        assert f"the proxy 127.0.0.1:{proxy.port} did not forward the request (HTTP 407" in sentence
        assert "put user and password into the proxy variable" in sentence
        assert "bob" not in sentence and SECRET[:4] not in sentence and PASSWORD not in sentence


@both
def test_a_proxy_that_is_none(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            client, _address = listener.accept()
            client.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
            client.close()

        threading.Thread(target=greet, daemon=True).start()
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(errors.OneConnectionError, match=r"through the proxy 127\.0\.0\.1:\d+ is not HTTP"):
            Client(protocol, f"https://{HOST}:2633").read()


@both
def test_names_with_umlauts_are_asked_for_as_the_network_knows_them(
    protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as server, proxying(server.server_port) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        assert Client(protocol, "http://önë.example.org:2633").read()
        assert server.requests[0][2]["Host"] == "xn--n-fga5a.example.org:2633"
        assert "http://xn--n-fga5a.example.org:2633/" in proxy.heads[0]


@both
def test_a_proxy_that_is_not_there(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://bob:secret@127.0.0.1:1")
    words = r"the proxy 127\.0\.0\.1:1 does not answer.*no_proxy"
    with pytest.raises(errors.OneConnectionError, match=words) as caught:
        Client(protocol, f"http://{HOST}:2633").read()
    assert "secret" not in str(caught.value)


@both
def test_this_machine_is_never_reached_through_a_proxy(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    with serving() as server:
        assert Client(protocol, server.url()).read()
        assert Client(protocol, server.url(host="localhost")).read()


@pytest.mark.parametrize(
    ("no_proxy", "url", "used"),
    [
        ("", "http://one.example.org:2633", True),
        ("one.example.org", "http://one.example.org:2633", False),
        ("ONE.example.org.", "http://one.example.org:2633", True),
        ("Example.org", "http://one.example.org:2633", False),
        (".example.org", "http://one.example.org:2633", False),
        ("ample.org", "http://one.example.org:2633", True),
        ("a, one.example.org:2633 ,b", "http://one.example.org:2633", False),
        ("one.example.org:80", "http://one.example.org:2633", True),
        ("*", "http://one.example.org:2633", False),
        ("10.0.0.0/8", "http://10.1.2.3:2633", False),
        ("10.0.0.0/8", "http://11.1.2.3:2633", True),
        ("10.1.2.3", "http://10.1.2.3:2633", False),
        ("", "http://localhost:2633", False),
        ("", "http://127.1.2.3:2633", False),
        ("", "http://[::1]:2633", False),
    ],
)
def test_no_proxy(no_proxy: str, url: str, used: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "proxy.example.org")
    monkeypatch.setenv("no_proxy", no_proxy)
    found = proxy_for(url)
    assert (str(found) == "proxy.example.org:3128") if used else found is None


@pytest.mark.parametrize(
    ("variables", "proxy"),
    [
        ({"https_proxy": "http://a:1", "HTTPS_PROXY": "http://b:2"}, "a:1"),
        ({"ALL_PROXY": "http://[fd00::1]:2"}, "[fd00::1]:2"),
        ({"http_proxy": "http://a:1"}, None),
    ],
)
def test_which_variable_counts(variables: dict[str, str], proxy: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = proxy_for("https://one.example.org")
    assert found is None if proxy is None else str(found) == proxy


def test_what_is_this_machine() -> None:
    assert is_loopback("http://one.localhost:1") and not is_loopback("http://one.example.org")


@pytest.mark.parametrize(
    "value", ["socks5://u:hidden@p:1", "https://u:hidden@p:1", "http://u:hidden@p:port", "http://"]
)
def test_proxies_of_another_kind_are_refused_without_showing_them(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", value)
    with pytest.raises(errors.OneUsageError, match="environment names for http cannot be used") as caught:
        proxy_for("http://one.example.org")
    assert "hidden" not in str(caught.value)
