# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""User inputs and CONTEXT say what the table of context variables says, and OneFlow makes of them what nodes read."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.opennebula.flower.plugins.filter.context_template import FilterModule as TemplateFilters
from ansible_collections.opennebula.flower.plugins.filter.context_user_inputs import FilterModule as InputFilters
from ansible_collections.opennebula.flower.plugins.plugin_utils import context_inputs
from flower_ops import context, profiles, rules
from one_sandbox.flow.service import Service

user_inputs = InputFilters().filters()["context_user_inputs"]
template = TemplateFilters().filters()["context_template"]
TABLE = context.table()
ASKED = {
    row.name
    for row in TABLE.values()
    if row.capability and row.level != "infrastructure" and not (row.capability == "pki" and row.role == "superlink")
}


def test_every_variable_with_an_effect_is_asked_for_and_no_other() -> None:
    assert set(user_inputs({})) == ASKED
    levels = {level: set(user_inputs({}, level)) for level in ("service", "superlink", "supernode")}
    assert set().union(*levels.values()) == ASKED
    assert levels["service"] == {name for name in ASKED if TABLE[name].level == "service"}
    assert levels["superlink"] & levels["supernode"] == {
        name for name in ASKED if TABLE[name].level == "role" and TABLE[name].role == "both"
    }


@pytest.mark.parametrize("name", sorted(ASKED))
def test_an_input_has_the_five_fields_of_its_row(name: str) -> None:
    row = TABLE[name]
    flag, kind, text, options, default = user_inputs({})[name].split("|")
    assert (flag, text, default) == ("O", row.text, row.default)
    if row.rule == "version":
        assert (kind, options) == ("list", ",".join(profiles.known()))
    elif kind.startswith("range"):
        low, high = options.split("..")
        assert rules.fits(row.rule, row.options, low) and rules.fits(row.rule, row.options, high)
    else:
        assert kind == row.type and options == (",".join(row.options) if kind == "list" else "")


def test_a_slider_spans_what_the_rule_allows() -> None:
    sliders = [row for row in TABLE.values() if row.type.startswith("range")]
    assert sliders and all(rules.span(row.rule) for row in sliders)
    assert rules.span("float >=0 <=1") == ("0", "1") and rules.span("float >0 <=1") is None


def test_a_slider_gives_its_ends_as_options() -> None:
    row = next(row for row in TABLE.values() if row.type.startswith("range"))
    assert context_inputs.definition(row, [], row.default) == (f"O|{row.type}|{row.text}|0..1|{row.default}", [])


def test_values_become_defaults_and_choices_narrow_a_list() -> None:
    found = user_inputs(
        {"ONEAPP_FL_TLS_ENABLED": False, "ONEAPP_FL_SUPERNODE_AUTH": False, "ONEAPP_FL_LOG_LEVEL": ""},
        choices={"ONEAPP_FL_FRAMEWORK": ["sklearn", "pytorch"]},
    )
    assert found["ONEAPP_FL_TLS_ENABLED"].endswith("||NO")
    assert found["ONEAPP_FL_LOG_LEVEL"].endswith("|INFO")
    assert found["ONEAPP_FL_FRAMEWORK"].endswith("|sklearn,pytorch|sklearn")


def test_a_private_key_is_asked_for_as_a_password_and_only_on_demand() -> None:
    assert "ONEAPP_FL_SSL_KEYFILE" not in user_inputs({})
    found = user_inputs({}, "superlink", secrets=True)
    assert found["ONEAPP_FL_SSL_KEYFILE"].startswith("O|password|") and "ONEAPP_FL_SSL_CERTFILE" in found


@pytest.mark.parametrize(
    ("values", "arguments", "said"),
    [
        ({"ONEAPP_FL_LOG_LEVEL": "LOUD"}, {}, "ONEAPP_FL_LOG_LEVEL=LOUD: expected one of DEBUG"),
        ({"ONEAPP_FL_LOG_LEVLE": "INFO"}, {}, "ONEAPP_FL_LOG_LEVLE=.*no such variable"),
        ({"ONEAPP_FL_METRICS_PORT": 9102}, {}, "ONEAPP_FL_METRICS_PORT=9102: not available in this version"),
        ({"ONEAPP_FLOWER_VERSION": "1.2.3"}, {}, "ONEAPP_FLOWER_VERSION=1.2.3: expected one of .*1.34.0"),
        ({"ONEAPP_FL_NODE_CONFIG": 'a="x|y"'}, {}, r"\| parts the fields"),
        ({"ONEAPP_FL_SSL_KEYFILE": "hunter2"}, {}, r"ONEAPP_FL_SSL_KEYFILE=\(hidden\)"),
        ({}, {"choices": {"ONEAPP_FL_FRAMEWORK": ["mxnet"]}}, "no choice mxnet; .*expected one of mxnet"),
        ({}, {"choices": {"ONEAPP_FL_FRAMWORK": ["sklearn"]}}, "ONEAPP_FL_FRAMWORK: no such input"),
        ({}, {"choices": ["sklearn"]}, "needs a dictionary of choices"),
        ({}, {"level": "node"}, "no level 'node'"),
        (["x"], {}, "needs a dictionary"),
    ],
)
def test_inputs_that_could_not_work_are_refused(values: Any, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(AnsibleFilterError, match=said):
        user_inputs(values, **arguments)


def test_a_context_holds_what_the_role_knows() -> None:
    given = {
        "ONEAPP_FL_LOG_LEVEL": "DEBUG",
        "ONEAPP_FL_DATABASE": "state/other.db",
        "ONEAPP_FL_MAX_RETRIES": 3,
        "ONEAPP_FL_CERT_EXTRA_SAN": "",
        "SOMETHING_ELSE": "x",
    }
    base = {"TOKEN": "YES", "NETWORK": "YES", "SSH_PUBLIC_KEY": "$USER[SSH_PUBLIC_KEY]", "ONEAPP_FL_LOG_LEVEL": "DEBUG"}
    assert template(given, "superlink") == {**base, "ONEAPP_FL_DATABASE": "state/other.db"}
    assert template(given, "supernode") == {**base, "ONEAPP_FL_MAX_RETRIES": "3"}


@pytest.mark.parametrize("role", ["superlink", "supernode"])
def test_references_are_those_to_the_inputs_of_the_role(role: str) -> None:
    found = {name for name, value in template({}, role, references=True).items() if value == f"${name}"}
    assert found == set(user_inputs({}, "service")) | set(user_inputs({}, role))


@pytest.mark.parametrize(
    ("values", "role", "said"),
    [
        ({"ONEAPP_FL_SSL_KEYFILE": "hunter2"}, "superlink", r"KEYFILE=\(hidden\): expected.*KEYFILE: is secret"),
        ({"ONEAPP_FL_NODE_CONFIG": 'a="$NAME"'}, "supernode", "OpenNebula would replace"),
        ({"REPORT_READY": "YES"}, "supernode", "REPORT_READY=YES: must stay NO"),
        ({}, "node", "no role 'node'"),
        (None, "supernode", "needs a dictionary"),
    ],
)
def test_what_cannot_stand_in_a_context_is_refused(values: Any, role: str, said: str) -> None:
    with pytest.raises(AnsibleFilterError, match=said):
        template(values, role)


def test_inputs_of_the_service_reach_every_vm_as_oneflow_fills_the_templates(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {name: text.rsplit("|", 1)[1] for name, text in user_inputs({}).items()}
    body = {
        "user_inputs_values": {**asked, "ONEAPP_FL_LOG_LEVEL": "ERROR"},
        "roles": [{"name": "superlink"}, {"name": "supernode", "template_contents": {"CONTEXT": {"TOKEN": "YES"}}}],
    }
    service = Service.__new__(Service)
    monkeypatch.setattr(service, "document", SimpleNamespace(body=body), raising=False)
    service.fill_template()
    for role in service.body["roles"]:
        contents = role["template_contents"]
        read = {name: contents.get(text[1:], text) for name, text in contents["CONTEXT"].items()}
        merged = context.merge(role["name"], read, {})
        assert merged["ONEAPP_FL_LOG_LEVEL"] == "ERROR"
        assert context.validate(role["name"], merged) == [] == context.unknown(read)
