# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults on request, as a client sees them: every kind, on every interface."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
import time
import xmlrpc.client
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.parsers.expat import ExpatError

import pytest
import requests
from one_sandbox import Sandbox
from one_sandbox.faults import FaultFile, FaultRuleError, Faults, Rule
from requests.exceptions import ChunkedEncodingError, ConnectionError

GONE = (http.client.RemoteDisconnected, ConnectionError)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("home"), boot_delay=0.05, image_delay=0.05, flow_interval=0.1) as sandbox:
        yield sandbox


@pytest.fixture(autouse=True)
def _no_faults_left(cloud: Sandbox) -> Iterator[None]:
    yield
    cloud.faults.clear()
    (cloud.home.path / "faults.json").unlink(missing_ok=True)


def call(cloud: Sandbox, method: str, *args: Any) -> list[Any]:
    with xmlrpc.client.ServerProxy(cloud.endpoints.xmlrpc) as server:
        answer: list[Any] = getattr(server, method)(f"{cloud.username}:{cloud.password}", *args)
    return answer


def names(cloud: Sandbox) -> list[str]:
    """The VM templates that really exist."""
    found = ElementTree.fromstring(call(cloud, "one.templatepool.info", -2, -1, -1)[1])
    return [item.text or "" for item in found.findall("VMTEMPLATE/NAME")]


def allocate(cloud: Sandbox, name: str) -> list[Any]:
    return call(cloud, "one.template.allocate", f'NAME="{name}"\nCPU="1"\nMEMORY="64"')


def flow(cloud: Sandbox, method: str, path: str, **body: Any) -> requests.Response:
    return requests.request(
        method, cloud.endpoints.oneflow + path, auth=(cloud.username, cloud.password), json=body or None, timeout=5
    )


def services(cloud: Sandbox) -> list[str]:
    pool = flow(cloud, "GET", "/service_template").json()["DOCUMENT_POOL"]
    return [item["NAME"] for item in pool.get("DOCUMENT", [])]


# -- XML-RPC -----------------------------------------------------------------------------------------------------------


def test_slow(cloud: Sandbox) -> None:
    with cloud.faults.during("one.template.*", "slow", seconds=0.3):
        start = time.monotonic()
        assert allocate(cloud, "slow")[0]
        assert 0.3 <= time.monotonic() - start < 2
    assert "slow" in names(cloud)
    start = time.monotonic()
    assert allocate(cloud, "quick")[0]
    assert time.monotonic() - start < 0.3


def test_drop_before_and_after(cloud: Sandbox) -> None:
    # The client of the standard library asks again once when it gets no answer, so the rules strike twice.
    for do, happened in (("drop_before", False), ("drop_after", True)):
        with cloud.faults.during("one.template.allocate", do, times=2), pytest.raises(GONE):
            allocate(cloud, do)
        assert (do in names(cloud)) is happened
        assert cloud.faults.struck[-1] == ("xmlrpc", "one.template.allocate", do)


def test_lie(cloud: Sandbox) -> None:
    template = allocate(cloud, "truth")[1]
    with cloud.faults.during("one.template.*", "lie"):
        assert call(cloud, "one.template.rename", template, "lie") == [True, template, 0]
        assert allocate(cloud, "lie") == [True, 999_999, 0]
    with cloud.faults.during("one.template.rename", "lie", value=True):
        assert call(cloud, "one.template.rename", template, "lie") == [True, True, 0]
    assert "lie" not in names(cloud) and "truth" in names(cloud)


def test_garble(cloud: Sandbox) -> None:
    template = allocate(cloud, "garbled")[1]
    with cloud.faults.during("one.template.info", "garble"), pytest.raises(xmlrpc.client.ResponseError):
        call(cloud, "one.template.info", template)
    broken = (http.client.IncompleteRead, ExpatError)
    with cloud.faults.during("one.template.info", "garble", how="cut"), pytest.raises(broken):
        call(cloud, "one.template.info", template)
    with cloud.faults.during("one.template.info", "garble", how="xml"):
        half = call(cloud, "one.template.info", template)[1]
        assert half.startswith("<VMTEMPLATE>")
        with pytest.raises(ElementTree.ParseError):
            ElementTree.fromstring(half)
    with cloud.faults.during("one.template.*", "garble", how="type"):
        assert call(cloud, "one.template.info", template) == [True, 7, 0]
        assert call(cloud, "one.template.delete", template) == [True, "nonsense", 0]
    assert "garbled" in names(cloud)


def test_errors_of_oned_and_of_a_proxy_in_front(cloud: Sandbox) -> None:
    with cloud.faults.during("one.*", "error", code=2048, text="no"):
        assert call(cloud, "one.vm.info", 0) == [False, "[one.vm.info] no", 2048, -1, -1]
    with (
        cloud.faults.during("one.*", "error", code=-501, text="no"),
        pytest.raises(xmlrpc.client.Fault, match="-501: 'no'"),
    ):
        call(cloud, "one.vm.info", 0)
    with (
        cloud.faults.during("one.*", "http", code=502, text="Bad Gateway"),
        pytest.raises(xmlrpc.client.ProtocolError, match="502 Bad Gateway"),
    ):
        call(cloud, "one.vm.info", 0)


def test_times_skip_and_the_first_rule_that_matches(cloud: Sandbox) -> None:
    cloud.faults.add("one.vm.info", "error", code=1, text="a", times=1, skip=1)
    cloud.faults.add("one.vm.*", "error", code=2, text="b", times=2)
    codes = [call(cloud, "one.vm.info", 99)[2] for _round in range(5)]
    assert codes == [2, 1, 2, 1024, 1024]


def test_counts_hold_what_the_cloud_did(cloud: Sandbox) -> None:
    cloud.calls.reset()
    with cloud.faults.during("*", "lie"):
        allocate(cloud, "uncounted")
        flow(cloud, "POST", "/service_template", name="uncounted")
    assert cloud.calls.total == 0
    assert [item[0] for item in cloud.faults.struck] == ["xmlrpc", "oneflow"]


# -- REST --------------------------------------------------------------------------------------------------------------


def test_oneflow(cloud: Sandbox) -> None:
    new = {"name": "flow", "roles": []}
    with cloud.faults.during("POST /service_template", "lie"):
        answer = flow(cloud, "POST", "/service_template", **new)
        assert (answer.status_code, answer.text) == (204, "")
    with cloud.faults.during("POST /service_template", "drop_before"), pytest.raises(GONE):
        flow(cloud, "POST", "/service_template", **new)
    assert services(cloud) == []
    with cloud.faults.during("POST /service_template", "drop_after"), pytest.raises(GONE):
        flow(cloud, "POST", "/service_template", **new)
    assert services(cloud) == ["flow"]
    with cloud.faults.during("GET /service_template/:id", "error", code=500, text="no"):
        answer = flow(cloud, "GET", "/service_template/0")
        assert (answer.status_code, answer.text) == (500, "no")
        assert flow(cloud, "GET", "/service_template").ok
    with cloud.faults.during("GET *", "garble"):
        assert "<html>" in flow(cloud, "GET", "/service").text
    with cloud.faults.during("GET *", "garble", how="type"):
        assert flow(cloud, "GET", "/service").json() == [7, "nonsense"]
    with cloud.faults.during("GET *", "garble", how="cut"), pytest.raises((ChunkedEncodingError, ConnectionError)):
        flow(cloud, "GET", "/service")
    with cloud.faults.during("GET *", "lie", value={"DOCUMENT_POOL": {}}):
        assert services(cloud) == []
    with cloud.faults.during("GET *", "slow", seconds=0.3):
        start = time.monotonic()
        assert services(cloud) == ["flow"]
        assert time.monotonic() - start >= 0.3


def test_onegate_apart_from_oneflow(cloud: Sandbox) -> None:
    with cloud.faults.during("GET /service", "http", on="onegate", code=503, text="Service Unavailable"):
        assert flow(cloud, "GET", "/service").status_code == 200
        assert requests.get(f"{cloud.endpoints.onegate}/service", timeout=5).status_code == 503
    assert requests.get(f"{cloud.endpoints.onegate}/service", timeout=5).status_code == 401


# -- hosts -------------------------------------------------------------------------------------------------------------


def until_failed(cloud: Sandbox, vm: int) -> tuple[str | None, str]:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        found = ElementTree.fromstring(call(cloud, "one.vm.info", vm)[1])
        error = found.findtext("USER_TEMPLATE/ERROR")
        if error:
            return found.findtext("LCM_STATE"), error
        time.sleep(0.02)
    raise AssertionError(f"VM {vm} did not fail")


@pytest.mark.parametrize(
    ("stage", "state", "words"),
    [
        ("boot", "36", "Error deploying virtual machine: no more memory"),
        ("prolog", "39", "Error executing image transfer script: no more memory"),
    ],
)
def test_a_host_that_fails(cloud: Sandbox, stage: str, state: str, words: str) -> None:
    template = allocate(cloud, f"vm-{stage}")[1]
    cloud.faults.hosts["*"] = {stage: "no more memory"}
    vm = call(cloud, "one.template.instantiate", template, "", False, "", False)[1]
    lcm, error = until_failed(cloud, vm)
    assert lcm == state and error.endswith(f" : {words}")
    cloud.faults.hosts.clear()
    # Recovered, it takes the failed step again.
    assert call(cloud, "one.vm.recover", vm, 2)[0]
    deadline = time.monotonic() + 5
    while ElementTree.fromstring(call(cloud, "one.vm.info", vm)[1]).findtext("LCM_STATE") != "3":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert call(cloud, "one.vm.action", "terminate-hard", vm)[0]


def test_only_the_host_that_is_named_fails(tmp_path: Path) -> None:
    faults = Faults(tmp_path)
    faults.hosts["bad"] = {"boot": "x"}
    assert faults.host_problem("bad", "boot") == "x"
    assert faults.host_problem("bad", "prolog") == faults.host_problem("good", "boot") == ""


# -- rules, the file, the command --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rule",
    [{"call": "x"}, {"call": "x", "do": "nap"}, {"call": "x", "do": "slow", "on": "oned"}, {"do": "slow"}, 7,
     {"call": "x", "do": "garble", "how": "y"}, {"call": "x", "do": "error"}, {"call": "x", "do": "lie", "a": 1}],
)  # fmt: skip
def test_rules_that_mean_nothing_are_refused(rule: Any) -> None:
    with pytest.raises(FaultRuleError):
        Rule.parse(rule)


@pytest.mark.parametrize(
    ("pattern", "call", "matches"),
    [
        ("one.vm.info", "one.vm.info", True),
        ("one.vm.info", "one.vmpool.info", False),
        ("one.vm.*", "one.vm.info", True),
        ("POST /service/:id/scale", "POST /service/3/scale", True),
        ("POST /service/:id/scale", "POST /service/3/role/scale", False),
        ("* /service*", "GET /service/3", True),
        ("one?vm.info", "one.vm.info", True),
    ],
)
def test_calls_that_match(pattern: str, call: str, matches: bool) -> None:
    assert Rule(pattern, "lie").matches("xmlrpc", call) is matches


def test_the_file_is_read_again_when_it_changes(cloud: Sandbox) -> None:
    file = cloud.home.path / "faults.json"
    assert not cloud.faults.armed()
    once = {"call": "one.vm.info", "do": "error", "code": 7, "text": "no", "times": 1}
    file.write_text(json.dumps({"rules": [once], "hosts": {"h": {"boot": "broken"}}}))
    assert call(cloud, "one.vm.info", 99)[2] == 7
    assert call(cloud, "one.vm.info", 99)[2] == 1024
    assert cloud.faults.host_problem("h", "boot") == "broken"
    # Another rule joins the file; the first has had its time.
    file.write_text(json.dumps({"rules": [once, {"call": "one.vm.action", "do": "error", "code": 8}]}))
    assert call(cloud, "one.vm.info", 99)[2] == 1024
    assert call(cloud, "one.vm.action", "hold", 99)[2] == 8
    assert cloud.faults.host_problem("h", "boot") == ""
    file.write_text("{")
    assert call(cloud, "one.vm.info", 99)[2] == 1024
    assert "cannot be read" in cloud.faults.problem
    file.unlink()
    assert not cloud.faults.armed() and not cloud.faults.problem


def command(home: Path, *arguments: str, code: int = 0) -> str:
    result = subprocess.run(
        [sys.executable, "-m", "one_sandbox", "fault", *arguments, "--home", str(home)],
        env={"PYTHONPATH": ":".join(sys.path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == code, result.stderr
    return result.stdout.strip() if code == 0 else result.stderr.strip()


def test_the_command_breaks_a_sandbox_in_another_process(cloud: Sandbox) -> None:
    home = cloud.home.path
    first = command(home, "add", "--call", "one.vm.info", "--do", "error", "--code", "7", "--text", "no")
    slow = ("--on", "oneflow", "--do", "slow", "--seconds", "2", "--times", "3")
    second = command(home, "add", "--call", "POST /x", *slow)
    command(home, "host", "h1", "--boot", "broken")
    assert call(cloud, "one.vm.info", 99)[2] == 7
    assert json.loads(command(home, "list")) == {
        "rules": [
            {"call": "one.vm.info", "do": "error", "code": 7, "text": "no", "id": first},
            {"call": "POST /x", "do": "slow", "on": "oneflow", "seconds": 2.0, "times": 3, "id": second},
        ],
        "hosts": {"h1": {"boot": "broken"}},
    }
    command(home, "clear", "--id", first)
    assert call(cloud, "one.vm.info", 99)[2] == 1024
    assert [rule.id for rule in FaultFile.load(home).rules] == [second]
    command(home, "clear")
    assert json.loads(command(home, "list")) == {"rules": [], "hosts": {}}


def test_the_command_refuses_in_one_sentence(tmp_path: Path) -> None:
    assert command(tmp_path, "host", "h1", code=1).endswith("needs --boot or --prolog with the text of its failure.")
    assert command(tmp_path, "add", "--call", "x", "--do", "error", code=1).endswith("needs a code.")
    assert "There is no sandbox in" in command(tmp_path / "none", "list", code=1)
    for wrong in ("[]", '{"rules": {}}', '{"hosts": {"h": {"nap": "x"}}}', '{"rules": [{"call": "x"}]}', "{"):
        (tmp_path / "faults.json").write_text(wrong)
        assert "\n" not in command(tmp_path, "list", code=1)


def test_a_slow_answer_does_not_hold_up_the_end(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path)
    sandbox.start()
    try:
        sandbox.faults.add("*", "slow", seconds=60)
        threading.Thread(target=call, args=(sandbox, "one.vm.info", 0), daemon=True).start()
        time.sleep(0.2)
    finally:
        start = time.monotonic()
        sandbox.stop()
    assert time.monotonic() - start < 5
