# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What both protocols make of servers that are silent, slow, break off, come back, or are something else."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from ansible_collections.opennebula.flower.plugins.module_utils.one import errors
from ansible_collections.opennebula.flower.plugins.module_utils.one.api import transport
from connection_servers import PASSWORD, POOL, PROTOCOLS, Client, DropError, rpc, serving, settings, well

both = pytest.mark.parametrize("protocol", PROTOCOLS)
AGAIN = "may have taken effect all the same, so run again"


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "PAUSES", (0.01, 0.02))


@contextlib.contextmanager
def talking(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that only accepts, and then does what `talk` does with the connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _address = listener.accept()
                    threading.Thread(target=talk, args=(client,), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)


def timed(client: Client, action: str = "read") -> tuple[str, float]:
    """The sentence of a time-out and the seconds that it took."""
    start = time.monotonic()
    with pytest.raises(errors.OneTimeoutError) as caught:
        getattr(client, action)()
    return str(caught.value), time.monotonic() - start


# -- time-outs ---------------------------------------------------------------------------------------------------------


@both
def test_a_server_that_accepts_and_never_answers(protocol: str) -> None:
    with talking(lambda client: time.sleep(20)) as url:
        sentence, seconds = timed(Client(protocol, url, api_timeout=1))
        assert "no answer within 1 s" in sentence and "raise api_timeout" in sentence and AGAIN not in sentence
        assert seconds < 2
        assert AGAIN in timed(Client(protocol, url, api_timeout=1), "write")[0]


@both
@pytest.mark.parametrize("part", ["headers", "body"])
def test_a_server_that_drips_bytes(protocol: str, part: str) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" if part == "body" else b"HTTP/1.1 200 OK\r\nX: "

    def drip(client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            client.recv(65536)
            client.sendall(head)
            for _byte in range(200):
                client.sendall(b"x")
                time.sleep(0.1)

    with talking(drip) as url:
        _sentence, seconds = timed(Client(protocol, url, api_timeout=1))
        assert seconds < 2


@both
def test_a_server_that_never_accepts(protocol: str) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        waiting = [socket.socket() for _index in range(4)]
        for other in waiting:
            other.setblocking(False)
            other.connect_ex(address)
        _sentence, seconds = timed(Client(protocol, f"http://127.0.0.1:{address[1]}", api_timeout=1))
        assert seconds < 2
        for other in waiting:
            other.close()
    assert socket.getdefaulttimeout() is None


@both
def test_tls_that_never_comes(protocol: str) -> None:
    with talking(lambda client: time.sleep(20)) as url:
        _sentence, seconds = timed(Client(protocol, url.replace("http", "https"), api_timeout=1))
        assert seconds < 2


# -- broken connections ------------------------------------------------------------------------------------------------


def failing(times: int, how: Callable[[], tuple[int, bytes]]) -> Callable[[str, bytes], tuple[int, bytes]]:
    """Answers that fail so many times, and are well afterwards."""
    left = iter(range(times))

    def says(path: str, body: bytes) -> tuple[int, bytes]:
        return well(path, body) if next(left, None) is None else how()

    return says


def drop(raw: bytes = b"") -> tuple[int, bytes]:
    raise DropError(raw)


BREAKS = {
    "closed": drop,
    "half": lambda: drop(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf"),
    "502": lambda: (502, b"<html>Bad Gateway</html>"),
    "503": lambda: (503, b""),
    "504": lambda: (504, b""),
}


@both
@pytest.mark.parametrize("how", BREAKS)
def test_reads_are_made_again_twice(protocol: str, how: str) -> None:
    with serving(failing(2, BREAKS[how])) as server:
        assert Client(protocol, server.url()).read()
        assert len(server.requests) == 3
    with serving(failing(99, BREAKS[how])) as server:
        with pytest.raises(errors.OneConnectionError) as caught:
            Client(protocol, server.url()).read()
        assert len(server.requests) == 3
        assert AGAIN not in str(caught.value) and PASSWORD not in str(caught.value)
        assert "check that one" in str(caught.value)


@both
@pytest.mark.parametrize("how", BREAKS)
def test_writes_are_never_made_again_and_the_sentence_says_that_the_outcome_is_unknown(protocol: str, how: str) -> None:
    with serving(failing(1, BREAKS[how])) as server:
        with pytest.raises(errors.OneConnectionError) as caught:
            Client(protocol, server.url()).write()
        assert len(server.requests) == 1
        assert AGAIN in str(caught.value) and PASSWORD not in str(caught.value)
        if how.isdigit():
            assert f"HTTP {how}" in str(caught.value)


@both
def test_a_connection_is_used_again_and_replaced_when_the_server_has_closed_it(protocol: str) -> None:
    closing = threading.Event()

    def says(path: str, body: bytes) -> tuple[int, bytes]:
        status, content = well(path, body)
        if closing.is_set():
            raise DropError(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(content), content))
        return status, content

    with serving(says) as server:
        client = Client(protocol, server.url())
        for _round in range(3):
            assert client.read()
        assert (server.connections, len(server.requests)) == (1, 3)
        closing.set()
        assert client.read()
        time.sleep(0.1)
        closing.clear()
        # The server has closed the connection while it was idle: a write must not be lost to that.
        with contextlib.suppress(errors.OneError):
            client.write()
        assert (server.connections, len(server.requests)) == (2, 5)


@both
def test_nobody_listens(protocol: str) -> None:
    with pytest.raises(errors.OneConnectionError, match=r"not answer \(Connection refused\); check (api|oneflow)_url"):
        Client(protocol, "http://127.0.0.1:1").read()


@both
def test_a_host_that_does_not_exist(protocol: str) -> None:
    with pytest.raises(errors.OneConnectionError, match=r"the host one\.invalid is unknown|does not answer"):
        Client(protocol, "http://one.invalid:2633").read()


# -- something else answers --------------------------------------------------------------------------------------------

NONSENSE = {
    "html": (200, b"<html><body>It works!</body></html>"),
    "text": (200, b"hello"),
    "nothing": (200, b""),
    "binary": (200, bytes(range(256))),
    "number": (200, b"7"),
    "list": (200, b'[7, "x"]'),
    "cut xml": (200, rpc(True, "<VM>", 0)[:-40]),
    "cut json": (200, POOL.encode()[:-4]),
    "number for object": (200, rpc(True, 7, 0)),
    "short answer": (200, rpc(True)),
    "no answer": (200, rpc("x", "y", "z")),
    "wrong error": (200, rpc(False, "text", "code")),
    "call": (200, b"<?xml version='1.0'?><methodCall></methodCall>"),
    "moved": (302, b""),
    "missing page": (404, b"<html>not found</html>"),
}


@both
@pytest.mark.parametrize("action", ["read", "write"])
@pytest.mark.parametrize("what", NONSENSE)
def test_nonsense_becomes_one_sentence(protocol: str, action: str, what: str) -> None:
    if (protocol, action, what) == ("oned", "write", "number for object"):
        # The id of the object is what a write answers.
        return
    with serving(lambda path, body: NONSENSE[what]) as server:
        with pytest.raises((errors.OneInternalError, errors.OneConnectionError)) as caught:
            getattr(Client(protocol, server.url()), action)()
        sentence = str(caught.value)
        assert "_url" in sentence and "\n" not in sentence and len(sentence) < 700
        assert server.url() in sentence and PASSWORD not in sentence


@both
def test_what_is_not_http(protocol: str) -> None:
    def greet(client: socket.socket) -> None:
        client.sendall(b"SSH-2.0-OpenSSH_9.2\r\n" * 3)
        client.close()

    with talking(greet) as url, pytest.raises(errors.OneConnectionError):
        Client(protocol, url).read()


def test_a_created_object_without_an_id_is_not_believed() -> None:
    for value in ("7", True, ""):
        with serving(lambda path, body, value=value: (200, rpc(True, value, 0))) as server:
            client = Client("oned", server.url())
            with pytest.raises(errors.OneInternalError, match=rf"the answer is no id.*{AGAIN}"):
                client.client.call("one.template.allocate", "NAME=x")


def test_secrets_of_settings_are_not_shown() -> None:
    assert PASSWORD not in repr(settings("http://one.example.org"))
