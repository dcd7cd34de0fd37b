# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls, their answers and errors, and the settings of a connection."""

from __future__ import annotations

import subprocess
import sys
import xmlrpc.client
from pathlib import Path

import pytest
from ansible_collections.opennebula.flower.plugins.module_utils.one import errors
from ansible_collections.opennebula.flower.plugins.module_utils.one.api.connection import Connection, Settings
from connection_servers import Server, rpc, serving

CREDENTIALS = {"api_username": "alice", "api_password": "a:b%c"}


def connect(url: str, **more: object) -> Connection:
    return Connection(Settings.from_params({"api_url": url, **CREDENTIALS, **more}))


def url_of(server: Server) -> str:
    return server.url() + "/RPC2"


def test_a_call_sends_session_and_rendered_template_and_returns_the_raw_value() -> None:
    answers = iter([3, "<IMAGE><ID>3</ID></IMAGE>"])
    with serving(lambda path, body: (200, rpc(True, next(answers), 0))) as server:
        connection = connect(url_of(server))
        assert connection.call("one.image.update", 3, {"A": 'x"y'}, 1) == 3
        assert connection.call("one.image.info", 3) == "<IMAGE><ID>3</ID></IMAGE>"
        assert connection.calls == 2
        assert server.connections == 1
    params, method = xmlrpc.client.loads(server.requests[0][3])
    assert method == "one.image.update"
    assert params == ("alice:a:b%c", 3, 'A="x\\"y"', 1)


@pytest.mark.parametrize("value", ["", 0, True, "a\r\nb", "<&>\t]]>", "😀 é", -7, 2**31 - 1])
def test_values_come_back_as_they_are(value: object) -> None:
    with serving(lambda path, body: (200, rpc(True, value, 0))) as server:
        # The line ends of XML are LF.
        expected = value.replace("\r\n", "\n") if isinstance(value, str) else value
        assert connect(url_of(server)).call("one.user.login", "x") == expected


def received(server: Server) -> tuple[object, ...]:
    """The arguments of the last call, after the session."""
    return xmlrpc.client.loads(server.requests[-1][3])[0][1:]


@pytest.mark.parametrize(
    "arguments", [("",), (0, True, False), ("\tc", "<&>\"']]>"), ("😀 é",), ([1, 2, [3]],), (1.5,)]
)
def test_arguments_arrive_as_they_are(arguments: tuple[object, ...]) -> None:
    with serving(lambda path, body: (200, rpc(True, 0, 0))) as server:
        connect(url_of(server)).call("one.x", *arguments)
        assert received(server) == arguments


def test_control_characters_do_not_break_the_wire() -> None:
    with serving(lambda path, body: (200, rpc(True, "a\x01b", 0))) as server:
        assert connect(url_of(server)).call("one.x", "a\x00b\x1bc") == "ab"
        assert received(server) == ("abc",)


def test_a_number_that_is_too_large_is_said_before_anything_is_sent() -> None:
    with serving(lambda path, body: (200, rpc(True, 0, 0))) as server:
        with pytest.raises(errors.OneUsageError, match="too large a number"):
            connect(url_of(server)).call("one.vm.info", 2**40)
        assert server.requests == []


@pytest.mark.parametrize(
    ("xml", "value"),
    [
        ("<value>text</value>", "text"),
        ("<value/>", ""),
        ("<value><i4>3</i4></value>", 3),
        ("<value><i8>1099511627776</i8></value>", 2**40),
    ],
)
def test_values_in_other_forms(xml: str, value: object) -> None:
    body = (
        "<methodResponse><params><param><value><array><data><value><boolean>1</boolean></value>"
        f"{xml}</data></array></value></param></params></methodResponse>"
    )
    with serving(lambda path, _body: (200, body.encode())) as server:
        assert connect(url_of(server)).call("one.x") == value


@pytest.mark.parametrize(
    ("answer", "expected", "words"),
    [
        (
            (200, rpc(False, "[one.x] NAME is already taken by IMAGE 0.", 16384, -1, -1)),
            errors.OneAllocateError,
            "taken",
        ),
        ((200, rpc(False, "[one.x] nope", 256, -1, -1)), errors.OneAuthenticationError, "check api_username"),
        (
            (200, xmlrpc.client.dumps(xmlrpc.client.Fault(-506, "Method 'x' not defined")).encode()),
            errors.OneApiError,
            "not def",
        ),
        ((404, b"not here"), errors.OneConnectionError, "HTTP 404"),
        ((301, b""), errors.OneConnectionError, "HTTP 301"),
        ((200, b"<html>hello</html>"), errors.OneInternalError, "not XML-RPC"),
        ((200, b"hello"), errors.OneInternalError, "not XML-RPC"),
    ],
)
def test_failures_become_one_sentence(answer: tuple[int, bytes], expected: type[errors.OneError], words: str) -> None:
    with serving(lambda path, body: answer) as server:
        with pytest.raises(expected) as caught:
            connect(url_of(server)).call("one.image.info", 0)
        assert words in str(caught.value) and url_of(server) in str(caught.value)
        assert caught.value.method == "one.image.info"
        assert "a:b%c" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "text", "words"),
    [
        (256, "User couldn't be authenticated, aborting call.", "user alice is unknown there, the password is wrong"),
        (512, "User [2] : Not authorized to perform USE VM [1].", "user alice lacks the right USE on VM 1"),
        (512, "User [2] : Not authorized to perform CREATE IMAGE.", "user alice lacks the right CREATE on IMAGE"),
        (512, "User [2] : VM Template includes a restricted attribute NIC/MAC.", "user alice may not set NIC/MAC"),
        (512, "User [0] : VM is locked. [7].", "unlock it first"),
        (512, "no", "user alice lacks a right"),
    ],
)
def test_who_may_not_do_what(code: int, text: str, words: str) -> None:
    expected = errors.OneAuthenticationError if code == 256 else errors.OneAuthorizationError
    with serving(lambda path, body: (200, rpc(False, f"[one.vm.info] {text}", code, -1, -1))) as server:
        with pytest.raises(expected) as caught:
            connect(url_of(server)).call("one.vm.info", 1)
        assert words in str(caught.value) and text.rstrip(".") in str(caught.value)
        assert "a:b%c" not in str(caught.value)


def in_another_process(code: str) -> str:
    """Run Python with the path of this process, and return what it prints."""
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


CALL = """
import sys
from ansible_collections.opennebula.flower.plugins.module_utils.one.api.connection import Connection, Settings
try:
    Connection(Settings('http://127.0.0.1:1/RPC2', 'a', 'b')).call('one.vm.info', 0)
except Exception as error:
    print(error)
"""


def test_pyone_is_the_client_without_its_bindings() -> None:
    """The generated classes of the bindings cost 0.6 s to load, and nothing here looks at them."""
    told = in_another_process(CALL + "print('pyone' in sys.modules, 'pyone.bindings.supbind' in sys.modules)")
    assert "refused" in told and told.endswith("True False")


def test_a_missing_library_is_one_sentence() -> None:
    told = in_another_process(f"import sys\nsys.modules['pyone'] = None\n{CALL}")
    assert "pip install pyone" in told and "\n" not in told


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, "set api_url"),
        ({"api_url": "one:2633"}, "must be a URL"),
        ({"api_url": "http://one:port/RPC2"}, "must be a URL"),
        ({"api_url": "http://u:p@one:2633/RPC2"}, "must not contain credentials"),
        ({"api_url": "http://one:2633", "api_username": "x"}, "api_password is missing.*ONE_PASSWORD.*ONE_AUTH"),
        ({"api_url": "http://one:2633", "api_password": "x"}, "api_username is missing.*ONE_USERNAME.*ONE_AUTH"),
        ({"api_url": "http://one:2633", "api_username": "a:b", "api_password": "x"}, "colon"),
        ({"api_url": "http://one:2633", **CREDENTIALS, "ca_path": "/nonexistent.pem"}, "does not exist"),
        ({"api_url": "http://one:2633", **CREDENTIALS, "client_cert": "/nonexistent.pem"}, "client_cert .* not exist"),
        ({"api_url": "http://one:2633", **CREDENTIALS, "api_timeout": -1}, "positive"),
    ],
)
def test_settings_say_what_is_missing(params: dict, words: str) -> None:
    with pytest.raises(errors.OneUsageError, match=words):
        Settings.from_params(params, environ={})


def test_d27_credentials_of_one_auth_may_contain_colons(tmp_path: Path) -> None:
    auth = tmp_path / "one_auth"
    auth.write_text("oneadmin:pass:with:colons\n")
    settings = Settings.from_params({"api_url": "http://one:2633"}, environ={"ONE_AUTH": str(auth)})
    assert (settings.username, settings.password) == ("oneadmin", "pass:with:colons")
    assert settings.api_url == "http://one:2633/RPC2"
    assert settings.oneflow_url == "http://one:2474"
    assert "pass" not in repr(settings)


def test_missing_credentials_name_the_options_the_variables_and_the_file(tmp_path: Path) -> None:
    def told(file: Path) -> str:
        with pytest.raises(errors.OneUsageError) as caught:
            Settings.from_params({"api_url": "http://one:2633"}, environ={"ONE_AUTH": str(file)})
        return str(caught.value)

    sentence = told(tmp_path / "none")
    for name in ("api_username", "api_password", "ONE_USERNAME", "ONE_PASSWORD", "ONE_AUTH", str(tmp_path / "none")):
        assert name in sentence
    wrong = tmp_path / "wrong"
    for content in (b"", b"oneadmin", b"oneadmin:", b":secret-word", b"a:secret-word\nb:c", b"\xff\xfe:x"):
        wrong.write_bytes(content)
        sentence = told(wrong)
        assert str(wrong) in sentence and "api_password" in sentence and "secret-word" not in sentence


def test_d27_passwords_and_tokens_with_colons_reach_the_cloud_whole(tmp_path: Path) -> None:
    auth = tmp_path / "one_auth"
    auth.write_text("alice:token:with:colons\n")
    with serving(lambda path, body: (200, rpc(True, "7.4.0", 0))) as server:
        settings = Settings.from_params({"api_url": url_of(server)}, environ={"ONE_AUTH": str(auth)})
        assert Connection(settings).call("one.system.version") == "7.4.0"
        assert xmlrpc.client.loads(server.requests[0][3])[0] == ("alice:token:with:colons",)
