# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing is called that was not checked: runs last, and only when all the other tests of the folder ran."""

from __future__ import annotations

import pytest
from one_sandbox.flow.states import SCHEDULE_ACTIONS
from one_sandbox.oned.methods import METHODS

from .calls_in_use import flow_calls, gate_calls, xmlrpc_calls
from .journal import JOURNAL, Journal, route

SERVICE = ("recover", "chown", "chgrp", "chmod", "rename", "release")
SERVICE_TEMPLATE = ("chown", "chgrp", "chmod", "rename", "update", "clone", "instantiate")

pytestmark = pytest.mark.needs_whole_run


def test_calls_of_oned() -> None:
    expected = xmlrpc_calls(METHODS)
    assert {"one.vm.info", "one.image.rename", "one.template.lock", "one.host.info"} <= expected
    missing = JOURNAL.unchecked(expected)
    assert not missing, f"calls of the plugins that no conformance test makes with success: {', '.join(missing)}"


def test_calls_of_oneflow() -> None:
    expected = flow_calls(SERVICE, SERVICE_TEMPLATE, SCHEDULE_ACTIONS)
    assert {"OneFlow GET /service", "OneFlow POST /service/:id/scale", "OneFlow POST /service/:id/action recover",
            "OneFlow POST /service_template/:id/action instantiate"} <= expected  # fmt: skip
    missing = JOURNAL.unchecked(expected)
    assert not missing, f"calls of OneFlow's client that no conformance test makes with success: {', '.join(missing)}"


def test_calls_of_onegate() -> None:
    expected = gate_calls()
    assert {"OneGate GET /vm", "OneGate PUT /vms/:id", "OneGate GET /service?extended=true"} <= expected
    missing = JOURNAL.unchecked(expected)
    assert not missing, f"calls of the agent that no conformance test makes with success: {', '.join(missing)}"


def test_the_report_names_the_call_that_differs() -> None:
    journal = Journal()
    journal.begin("test_a")
    journal.note("one.vm.update")
    journal.succeeded("one.vm.update")
    journal.note("one.vm.info")
    journal.differs("AssertionError:\n  no FOO")
    lines = list(journal.table())
    assert lines[1].split() == ["one.vm.info", "1", "1", "1"] and lines[2].split() == ["one.vm.update", "1", "1", "-"]
    assert lines[-2:] == ["one.vm.info differs:", "  test_a after one.vm.update: AssertionError: no FOO"]
    assert journal.unchecked(["one.vm.update", "one.vm.info", "one.vm.lock"]) == ["one.vm.info", "one.vm.lock"]


def test_names_of_rest_calls() -> None:
    body = {"action": {"perform": "resume", "params": {}}}
    assert route("OneFlow", "POST", "/service/7/role/web/action", body) == (
        "OneFlow POST /service/:id/role/:name/action resume"
    )
    assert route("OneGate", "GET", "/service?extended=true") == "OneGate GET /service?extended=true"
    assert route("OneFlow", "POST", "/service/7/action", "{oops") == "OneFlow POST /service/:id/action"
