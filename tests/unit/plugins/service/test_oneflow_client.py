# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OneFlow's answers, read right: errors are plain text, 401 means two things, and 500 means nearly everything."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any

import pytest
from ansible_collections.opennebula.flower.plugins.module_utils.one import errors
from ansible_collections.opennebula.flower.plugins.module_utils.one.api.oneflow import OneFlow
from ansible_collections.opennebula.flower.plugins.module_utils.one.api.settings import Settings


class Answers(ThreadingTCPServer):
    """A server that gives one prepared answer to everything, and keeps what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = 200
        self.body = "{}"
        self.seen: list[dict[str, Any]] = []

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that gave up waiting is part of the test."""


class Handler(BaseHTTPRequestHandler):
    server: Answers

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        self.server.seen.append(
            {
                "call": f"{self.command} {self.path}",
                "body": body,
                "authorization": self.headers.get("Authorization"),
            }
        )
        content = self.server.body.encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "text/html;charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[Answers]:
    found = Answers()
    thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield found
    found.shutdown()
    found.server_close()


def client(server: Answers, timeout: float = 5) -> OneFlow:
    url = f"http://127.0.0.1:{server.server_address[1]}"
    return OneFlow(Settings(f"{url}/RPC2", "alice", "pass:word é", timeout=timeout, oneflow_url=url))


@pytest.mark.parametrize(
    ("status", "body", "kind", "text"),
    [
        (401, "A username and password must be provided", errors.OneAuthenticationError, "must be provided"),
        (401, "Invalid credentials", errors.OneAuthenticationError, "api_password"),
        (401, "[one.document.info] User [2] : Not authorized to perform USE DOCUMENT [0].",
         errors.OneAuthorizationError, "user alice lacks the right USE on DOCUMENT 0"),
        (403, "[one.user.info] User couldn't be authenticated, aborting call.", errors.OneAuthenticationError,
         "user alice is unknown there"),
        (403, "no", errors.OneAuthenticationError, "user alice is unknown there"),
        (403, "[one.vm.action] User [2] : Not authorized to perform MANAGE VM [3].", errors.OneAuthorizationError,
         "user alice lacks the right MANAGE on VM 3"),
        (500, "[one.vm.action] User [2] : Not authorized to perform MANAGE VM [3].", errors.OneAuthorizationError,
         "user alice lacks the right MANAGE on VM 3"),
        (404, "[one.document.info] Error getting document [9999].", errors.OneNotFoundError, "document"),
        (404, "<html><head><style>x</style></head><h2>Sinatra doesn&rsquo;t know this ditty.</h2></html>",
         errors.OneApiError, "does not know the route"),
        (404, "<html><body>nginx: not found</body></html>", errors.OneConnectionError, "not one of OneFlow"),
        (500, "Service cannot be scaled in state: DEPLOYING", errors.OneActionError, "in state: DEPLOYING"),
        (500, "Cannot modify roles in state: WARNING", errors.OneActionError, "WARNING"),
        (500, "Cardinality of web is already at 1", errors.OneError, "already at 1"),
        (500, '{"message":"Internal server error","reason":"unexpected token at \'x\'"}',
         errors.OneError, "unexpected token"),
        (500, "", errors.OneError, "HTTP 500"),
        (400, "Mandatory document key 'name (string)' is missing from {}", errors.OneError, "Mandatory"),
    ],
)  # fmt: skip
def test_errors(server: Answers, status: int, body: str, kind: type[errors.OneError], text: str) -> None:
    server.status, server.body = status, body
    with pytest.raises(kind) as caught:
        client(server).service(3)
    assert caught.type is kind
    assert text in str(caught.value)
    assert "GET /service/3" in str(caught.value)
    assert "pass:word" not in str(caught.value)
    assert "<" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (501, "<!DOCTYPE HTML><html><head><title>Error response</title></head><body><h1>Error response</h1>"
         "<p>Error code: 501</p><p>Message: Unsupported method ('GET').</p></body></html>"),
        (405, "<HTML><HEAD><TITLE>Error 405</TITLE></HEAD><BODY><H1>Error 405</H1></BODY></HTML>"),
        (404, "<HTML><HEAD><TITLE>Error 404</TITLE></HEAD><BODY><H1>Error 404</H1></BODY></HTML>"),
    ],
)  # fmt: skip
def test_oned_in_place_of_oneflow_is_one_clean_sentence(server: Answers, status: int, body: str) -> None:
    server.status, server.body = status, body
    with pytest.raises(errors.OneConnectionError) as caught:
        client(server).services()
    text = str(caught.value)
    assert f"GET /service: the answer is not one of OneFlow (HTTP {status} " in text
    assert "; check oneflow_url (" in text and "Error" not in text and "\n" not in text


def test_a_refusal_of_a_proxy_in_front_of_oneflow_says_nothing_about_its_url(server: Answers) -> None:
    server.status, server.body = 503, "<html><body><h1>503 Service Unavailable</h1></body></html>"
    with pytest.raises(errors.OneError, match="503 Service Unavailable") as caught:
        client(server).services()
    assert "oneflow_url" not in str(caught.value)


def test_the_password_may_hold_a_colon_and_any_letter(server: Answers) -> None:
    server.body = '{"DOCUMENT_POOL": {}}'
    assert client(server).services() == []
    scheme, token = server.seen[0]["authorization"].split()
    assert scheme == "Basic"
    assert base64.b64decode(token).decode() == "alice:pass:word é"


@pytest.mark.parametrize(
    "body",
    ['{"DOCUMENT_POOL": {"DOCUMENT": [{"ID": "1"}]}}', '{"DOCUMENT_POOL": {"DOCUMENT": {"ID": "1"}}}',
     '[{"DOCUMENT": {"ID": "1"}}]'],
)  # fmt: skip
def test_pools_in_any_shape(server: Answers, body: str) -> None:
    server.body = body
    assert client(server).templates() == [{"ID": "1"}]


def test_scaling_always_says_whether_by_force(server: Answers) -> None:
    server.status, server.body = 204, ""
    client(server).scale(3, "web", 2)
    assert server.seen[0]["call"] == "POST /service/3/scale"
    assert server.seen[0]["body"] == '{"role_name": "web", "cardinality": 2, "force": false}'


def test_something_else_than_oneflow_is_recognised(server: Answers) -> None:
    for body in ("<html><body>Sunstone</body></html>", "[1, 2]", '"x"', "{}"):
        server.body = body
        with pytest.raises(errors.OneConnectionError, match="check oneflow_url"):
            client(server).service(0)
        if body != "[1, 2]":
            with pytest.raises(errors.OneConnectionError, match="check oneflow_url"):
                client(server).services()
