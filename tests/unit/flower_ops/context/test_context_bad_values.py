# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every kind of bad value of every variable is refused with name, value and expected form, by the command itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from context_support import HOSTILE, LONG, ROLES, TABLE, bad, configure, good, tree
from flower_ops import context, rules

LATER = [name for name, row in TABLE.items() if row.capability is None]
#: So many values of every row go through a process, with those of all other rows; the other hostile ones do not.
TURNS = max(len(bad(name)) for name in TABLE) - len(HOSTILE) + 3


def roles_of(name: str) -> tuple[str, ...]:
    return ROLES if TABLE[name].role == "both" else (TABLE[name].role,)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("turn", range(TURNS))
def test_the_command_tells_every_bad_value_at_once(role: str, turn: int, tmp_path: Path) -> None:
    given = {name: list(bad(name).values())[turn] for name in TABLE if role in roles_of(name) and turn < len(bad(name))}
    tree(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    code, answer, errors = configure(tmp_path, role, given, "--check")
    assert code == 2 and errors == "" and not answer["changed"] and sorted(tmp_path.rglob("*")) == before
    told = {error["name"]: error for error in answer["errors"]}
    assert set(given) <= set(told)
    for name, value in given.items():
        row = TABLE[name]
        form = rules.expected(row.rule, row.options)
        if len(value) > rules.limit(row.rule):
            form = f"at most {rules.limit(row.rule)} characters"
        assert told[name]["expected"] == f"expected {form}"
        shown = told[name]["value"]
        assert shown == ("(hidden)" if row.secret else context.shown(value))
        assert len(shown) < 260 and shown.isprintable()
        assert f"{name}={shown}: expected {form}" in answer["message"]


@pytest.mark.parametrize("name", TABLE)
def test_a_bad_value_alone_is_the_only_fault(name: str) -> None:
    for role in roles_of(name):
        for what, value in bad(name).items():
            faults = context.validate(role, context.merge(role, {}, {name: value}))
            found = {fault.name for fault in faults}
            # An own certificate is whole or not there at all.
            others = found - {name} if TABLE[name].capability != "pki" else set()
            if name == "ONEAPP_FL_SUPERLINK_ADDRESS":
                others -= {"ONEAPP_FL_SSL_CA_CERTFILE"}
            assert name in found and not others, what


@pytest.mark.parametrize("name", LATER)
def test_a_variable_without_effect_is_refused_with_the_reason(name: str) -> None:
    for role in roles_of(name):
        (fault,) = context.validate(role, context.merge(role, {}, {name: good(name)}))
        assert fault.name == name and fault.value == good(name)
        said = f"not available in this version; leave it at {TABLE[name].default!r}"
        assert fault.expected == (TABLE[name].refused or said)


def test_the_command_refuses_all_of_them_at_once(tmp_path: Path) -> None:
    tree(tmp_path)
    for role in ROLES:
        given = {name: good(name) for name in LATER if role in roles_of(name)}
        code, answer, _errors = configure(tmp_path, role, given, "--check")
        assert code == 2 and {error["name"] for error in answer["errors"]} == set(given)


def test_empty_and_blank_values_are_the_default(tmp_path: Path) -> None:
    tree(tmp_path)
    for role in ROLES:
        given = {name: " \t " if number % 2 else "" for number, name in enumerate(TABLE)}
        assert context.validate(role, context.merge(role, given, given)) == []
        code, answer, _errors = configure(tmp_path, role, given, "--check")
        assert code != 2 and answer["errors"] == []


def test_values_from_context_are_judged_like_those_given(tmp_path: Path) -> None:
    tree(tmp_path)
    with (tmp_path / "run/one-context/one_env").open("a") as stream:
        stream.write('export ONEAPP_FL_LOG_LEVEL="LOUD"\nexport ONEAPP_FL_DATABASE="$(id)"\nexport FL_STRATEGY="x"\n')
    code, answer, _errors = configure(tmp_path, "superlink", {}, "--check")
    assert code == 2
    assert {error["name"]: error["value"] for error in answer["errors"]} == {
        "ONEAPP_FL_LOG_LEVEL": "LOUD", "ONEAPP_FL_DATABASE": "$(id)", "FL_STRATEGY": "…",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("role", "given", "at_fault"),
    [
        ("superlink", {"TLS_ENABLED": "NO"}, {"SUPERNODE_AUTH": "needs ONEAPP_FL_TLS_ENABLED=YES"}),
        (
            "superlink",
            {"SSL_KEYFILE": good("ONEAPP_FL_SSL_KEYFILE")},
            {"SSL_CA_CERTFILE": "own certificates need", "SSL_CERTFILE": "own certificates need"},
        ),
        (
            "superlink",
            {"TLS_ENABLED": "NO", "SUPERNODE_AUTH": "NO", "SSL_KEYFILE": good("ONEAPP_FL_SSL_KEYFILE")},
            {"SSL_KEYFILE": "needs ONEAPP_FL_TLS_ENABLED=YES"},
        ),
        (
            "supernode",
            {"TLS_ENABLED": "NO", "SUPERNODE_AUTH": "NO", "SSL_CA_CERTFILE": good("ONEAPP_FL_SSL_CA_CERTFILE")},
            {"SSL_CA_CERTFILE": "needs ONEAPP_FL_TLS_ENABLED=YES"},
        ),
        ("supernode", {"SUPERLINK_ADDRESS": "h:1"}, {"SSL_CA_CERTFILE": "needed with ONEAPP_FL_SUPERLINK_ADDRESS"}),
        (
            "superlink",
            {"FIREWALL": "NO", "ALLOWED_NETWORKS": "10.0.0.0/8"},
            {"ALLOWED_NETWORKS": "needs ONEAPP_FL_FIREWALL=YES"},
        ),
        ("superlink", {"MIN_FIT_CLIENTS": "3"}, {"MIN_FIT_CLIENTS": "at most ONEAPP_FL_MIN_AVAILABLE_CLIENTS, which"}),
        ("superlink", {"MIN_EVALUATE_CLIENTS": "3"}, {"MIN_EVALUATE_CLIENTS": "at most ONEAPP_FL_MIN_AVAILABLE"}),
        (
            "superlink",
            {"MIN_FIT_CLIENTS": "5", "MIN_AVAILABLE_CLIENTS": "5", "NUM_PARTITIONS": "4"},
            {"MIN_FIT_CLIENTS": "at most ONEAPP_FL_NUM_PARTITIONS, which is 4", "MIN_AVAILABLE_CLIENTS": "which is 4"},
        ),
        ("superlink", {"NUM_PARTITIONS": "1"}, {}),
        ("superlink", {"FLEET_API_ADDRESS": "0.0.0.0:9091"}, {"FLEET_API_ADDRESS": "another port: on 9091"}),
        ("superlink", {"CONTROL_API_ADDRESS": "h:9097"}, {"CONTROL_API_ADDRESS": "another port: on 9097"}),
        ("superlink", {"CONTROL_API_ADDRESS": "127.0.0.1:9092"}, {"CONTROL_API_ADDRESS": "another port: 9092"}),
        ("superlink", {"FLEET_API_ADDRESS": "[::1]:9000", "CONTROL_API_ADDRESS": "127.0.0.1:9000"}, {}),
        ("supernode", {"NODE_CONFIG": "partition-id=4 num-partitions=4"}, {"NODE_CONFIG": "the first less than"}),
        ("supernode", {"NODE_CONFIG": "partition-id=1"}, {"NODE_CONFIG": "together"}),
        ("supernode", {"NODE_CONFIG": "partition-id=0.5 num-partitions=4"}, {"NODE_CONFIG": "whole numbers"}),
        ("supernode", {"NODE_CONFIG": 'site="b"'}, {}),
        (
            "supernode",
            {"GRPC_KEEPALIVE_TIME": "10"},
            {"GRPC_KEEPALIVE_TIMEOUT": "expected less than ONEAPP_FL_GRPC_KEEPALIVE_TIME, which is 10"},
        ),
        ("superlink", {"ROLE": "supernode"}, {"ROLE": "this VM is being made a superlink"}),
        ("supernode", {"ROLE": "supernode"}, {}),
        # What is wrong by itself is not compared with anything.
        ("supernode", {"GRPC_KEEPALIVE_TIME": "soon"}, {"GRPC_KEEPALIVE_TIME": "expected a whole number"}),
        ("superlink", {"MIN_AVAILABLE_CLIENTS": "0"}, {"MIN_AVAILABLE_CLIENTS": "expected a whole number"}),
    ],
)
def test_values_have_to_fit_together(role: str, given: dict[str, str], at_fault: dict[str, str]) -> None:
    values = context.merge(role, {}, {f"ONEAPP_FL_{name}": value for name, value in given.items()})
    faults = {fault.name.removeprefix("ONEAPP_FL_"): fault for fault in context.validate(role, values)}
    assert set(faults) == set(at_fault)
    for name, words in at_fault.items():
        assert words in faults[name].expected
    secret = good("ONEAPP_FL_SSL_KEYFILE")[:20]
    assert secret not in " ".join(map(str, faults.values()))


def test_names_of_the_specification_are_told_apart_from_ours() -> None:
    theirs = ["FL_NUM_ROUNDS", "ML_FRAMEWORK", "FLOWER_VERSION"]
    faults = {fault.name: fault.expected for fault in context.unknown(theirs)}
    assert faults == {
        "FL_NUM_ROUNDS": "is called ONEAPP_FL_NUM_ROUNDS here",
        "ML_FRAMEWORK": "is called ONEAPP_FL_FRAMEWORK here",
        "FLOWER_VERSION": "is called ONEAPP_FLOWER_VERSION here",
    }
    assert context.unknown(["FL_ENDPOINT", "ETH0_IP", "SET_HOSTNAME", "ONEAPP_OTHER"]) == []


def test_a_hostile_name_is_shown_harmlessly() -> None:
    (fault,) = context.unknown(["ONEAPP_FL_\x1b[2J\n" + LONG])
    assert fault.name.isprintable() and len(fault.name) < 260


def test_messages_for_people_hold_no_control_characters(tmp_path: Path) -> None:
    tree(tmp_path)
    for text in HOSTILE:
        given = {"ONEAPP_FL_LOG_LEVEL": text, "ONEAPP_FL_SSL_KEYFILE": "hunter2 " + text}
        values = context.merge("superlink", {}, given)
        message = "; ".join(map(str, context.validate("superlink", values)))
        assert message.isprintable() and "hunter2" not in message and json.dumps(message)
