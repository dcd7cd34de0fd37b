# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of context variables, reading CONTEXT, and validation."""

from __future__ import annotations

import base64
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from flower_ops import context, rules
from hypothesis import given, settings
from hypothesis import strategies as st

NAMES = st.from_regex(r"[A-Z][A-Z0-9_]{0,10}", fullmatch=True)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r", exclude_categories=("Cs",)), max_size=40)


def quoted(value: str) -> str:
    for char in '\\"$`':
        value = value.replace(char, "\\" + char)
    return f'"{value}"'


def test_the_table_has_all_variables_and_every_default_has_the_form_of_its_rule() -> None:
    rows = context.table()
    assert len(rows) == 52
    assert {row.role for row in rows.values()} == {"both", "superlink", "supernode"}
    for row in rows.values():
        assert row.text and rules.expected(row.rule, row.options), row.name
        if row.default:
            assert rules.fits(row.rule, row.options, row.default), row.name
        if row.type in ("list", "boolean") and row.default:
            assert row.default in row.options, row.name


@given(st.dictionaries(NAMES, TEXTS, max_size=6))
def test_what_is_written_is_read_back(values: dict[str, str]) -> None:
    values = {key: value for key, value in values.items() if "\nexport " not in value}
    text = "".join(f"export {key}={quoted(value)}\n" for key, value in values.items())
    assert context.parse_one_env(text) == values


@given(TEXTS)
def test_the_parser_survives_any_text(text: str) -> None:
    assert isinstance(context.parse_one_env(text), dict)


def test_a_shell_reads_the_same(tmp_path: Path) -> None:
    text = r"""export A="two words"
export B="l1
l2 \"q\" \$HOME \`x\` back\\slash"
export C='it'\''s'
export D=""
export E=bare
"""
    (tmp_path / "one_env").write_text(text)
    told = subprocess.run(
        ["sh", "-c", ". ./one_env; env -0"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=True,
    ).stdout
    shell = dict(entry.split("=", 1) for entry in told.decode().split("\0") if entry)
    assert context.parse_one_env(text) == {name: shell[name] for name in "ABCDE"}


def test_an_unescaped_quote_inside_does_not_end_the_value() -> None:
    assert context.parse_one_env('export K="say "hi" now"\nexport L="x"\n') == {"K": 'say "hi" now', "L": "x"}


def test_overrides_win_over_context_and_empty_means_default() -> None:
    merged = context.merge(
        "supernode",
        {"ONEAPP_FL_LOG_LEVEL": "DEBUG", "ONEAPP_FL_MAX_RETRIES": "4", "ONEAPP_FL_FRAMEWORK": ""},
        {"ONEAPP_FL_LOG_LEVEL": "ERROR", "ONEAPP_FL_MAX_RETRIES": " "},
    )
    assert merged["ONEAPP_FL_LOG_LEVEL"] == "ERROR"
    assert merged["ONEAPP_FL_MAX_RETRIES"] == "4"
    assert merged["ONEAPP_FL_FRAMEWORK"] == "sklearn"
    assert "ONEAPP_FL_DATABASE" not in merged


def faults(role: str, **given: str) -> dict[str, str]:
    values = context.merge(role, {}, {f"ONEAPP_FL_{key}": value for key, value in given.items()})
    return {fault.name.removeprefix("ONEAPP_FL_"): fault.expected for fault in context.validate(role, values)}


def test_defaults_are_valid() -> None:
    assert faults("superlink") == {} == faults("supernode")


def test_all_faults_are_reported_at_once() -> None:
    found = faults("superlink", LOG_LEVEL="LOUD", DATABASE="/etc/passwd", FLEET_API_ADDRESS="here", NUM_PARTITIONS="-1")
    assert set(found) == {"LOG_LEVEL", "DATABASE", "FLEET_API_ADDRESS", "NUM_PARTITIONS"}
    assert found["LOG_LEVEL"] == "expected one of DEBUG, INFO, WARNING, ERROR"


def test_what_has_no_effect_yet_is_refused_unless_it_is_the_default() -> None:
    assert "not available in this version" in faults("superlink", METRICS_PORT="9102")["METRICS_PORT"]
    assert "not available in this version" in faults("supernode", ISOLATION="process")["ISOLATION"]
    assert faults("superlink", METRICS_PORT="9101") == {}


def test_form_comes_before_availability() -> None:
    assert faults("superlink", METRICS_PORT="many")["METRICS_PORT"].startswith("expected a whole number")


@pytest.mark.parametrize(
    ("asked", "at_fault"),
    [
        ({"STRATEGY": "Krum", "NUM_MALICIOUS": "1", "MIN_AVAILABLE_CLIENTS": "4"}, "NUM_MALICIOUS"),
        ({"STRATEGY": "Krum", "NUM_MALICIOUS": "1", "MIN_AVAILABLE_CLIENTS": "5"}, ""),
        ({"STRATEGY": "MultiKrum", "NUM_MALICIOUS": "2", "MIN_AVAILABLE_CLIENTS": "6"}, "NUM_MALICIOUS"),
        ({"STRATEGY": "Bulyan", "NUM_MALICIOUS": "1", "MIN_AVAILABLE_CLIENTS": "6"}, "NUM_MALICIOUS"),
        ({"STRATEGY": "Bulyan", "NUM_MALICIOUS": "1", "MIN_AVAILABLE_CLIENTS": "7"}, ""),
        # Bulyan cannot do with two answers even where nobody is suspected; Krum can.
        ({"STRATEGY": "Bulyan"}, "STRATEGY"),
        ({"STRATEGY": "Krum"}, ""),
        # Another strategy has no use for the number.
        ({"STRATEGY": "FedAvg", "NUM_MALICIOUS": "9"}, ""),
        ({"CHECKPOINT_PATH": "/srv/checkpoints"}, "CHECKPOINT_PATH"),
        ({"CHECKPOINT_PATH": "/app/checkpointsx"}, "CHECKPOINT_PATH"),
        ({"CHECKPOINT_PATH": "/app/checkpoints/../../etc"}, "CHECKPOINT_PATH"),
        ({"CHECKPOINT_PATH": "/app/checkpoints/a"}, ""),
        ({"CHECKPOINT_PATH": "/opt/flower/checkpoints"}, ""),
    ],
)
def test_strategies_and_checkpoints(asked: dict[str, str], at_fault: str) -> None:
    assert sorted(faults("superlink", **asked)) == ([at_fault] if at_fault else [])


def test_the_strategies_are_those_of_the_training_itself() -> None:
    """What the agent lets through, training/settings.py must not refuse later. It is read, since it needs NumPy."""
    import ast

    from flower_ops import combinations

    package = Path(combinations.__file__).parent
    tree = ast.parse((package / "training/settings.py").read_text(encoding="utf-8"))
    (known,) = [
        one.value
        for one in tree.body
        if isinstance(one, ast.Assign) and getattr(one.targets[0], "id", "") == "STRATEGIES"
    ]
    assert set(ast.literal_eval(known)) == set(context.table()["ONEAPP_FL_STRATEGY"].options)


@pytest.mark.parametrize(
    ("case", "framework", "needed"),
    [
        ("image-classification", "llm", "pytorch or tensorflow"),
        ("anomaly-detection", "pytorch", "sklearn"),
        ("llm-fine-tuning", "sklearn", "llm"),
        # It has PyTorch, but neither Transformers nor PEFT.
        ("llm-fine-tuning", "pytorch", "llm"),
    ],
)
def test_a_use_case_needs_its_framework(case: str, framework: str, needed: str) -> None:
    found = faults("supernode", USE_CASE=case, FRAMEWORK=framework)
    assert found == {"USE_CASE": f"{case} needs ONEAPP_FL_FRAMEWORK={needed}, which is {framework}"}
    for fits in needed.split(" or "):
        assert faults("supernode", USE_CASE=case, FRAMEWORK=fits) == {}


@pytest.mark.parametrize(
    ("case", "needed"),
    [
        ("image-classification", {"pillow", "flwr-datasets"}),
        ("anomaly-detection", {"scikit-learn"}),
        ("llm-fine-tuning", {"torch", "transformers", "peft", "flwr-datasets"}),
    ],
)
def test_the_frameworks_of_a_use_case_bring_what_it_needs(case: str, needed: set[str]) -> None:
    """What the role installs and what the agent lets through are said in two places."""
    from flower_ops import combinations

    defaults = Path(combinations.__file__).parents[3] / "defaults/main.yml"
    lists = yaml.safe_load(defaults.read_text(encoding="utf-8"))["flower_runtime_framework_packages"]
    for framework in combinations.USE_CASES[case]:
        assert needed <= {re.split(r"[\[=]", one)[0] for one in lists[framework]}


def test_own_certificates_come_all_or_none() -> None:
    ca = base64.b64encode(b"-----BEGIN CERTIFICATE-----\nx").decode()
    assert {"SSL_CERTFILE", "SSL_KEYFILE"} <= set(faults("superlink", SSL_CA_CERTFILE=ca))


def test_authentication_needs_tls() -> None:
    assert set(faults("superlink", TLS_ENABLED="NO")) == {"SUPERNODE_AUTH"}
    assert faults("superlink", TLS_ENABLED="NO", SUPERNODE_AUTH="NO") == {}


def test_a_given_address_with_tls_needs_a_ca() -> None:
    assert set(faults("supernode", SUPERLINK_ADDRESS="10.0.0.1:9092")) == {"SSL_CA_CERTFILE"}


def test_a_secret_is_not_shown() -> None:
    values = context.merge("superlink", {}, {"ONEAPP_FL_SSL_KEYFILE": "hunter2hunter2"})
    assert "hunter2" not in " ".join(map(str, context.validate("superlink", values)))


def test_a_misspelt_name_is_a_fault() -> None:
    assert [fault.name for fault in context.unknown({"ONEAPP_FL_LOGLEVEL": "INFO", "OTHER": "1"})] == [
        "ONEAPP_FL_LOGLEVEL"
    ]


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        ("version", ["1.34.0"], ["1.34", "v1.34.0", "1.34.0; id", "1.34.0\n"]),
        (
            "address",
            ["10.0.0.1:9092", "[fd00::1]:1", "a.b-c:65535"],
            ["10.0.0.1", "h:0", "h:65536", "300.0.0.1:1", "-h:1", "a b:1"],
        ),
        ("database", ["state/state.db", "state/a/b.db"], ["state.db", "/state/x", "state/../x", "state/", "state/a b"]),
        ("san", ["IP:10.0.0.1,DNS:a.b", "IP:fd00::1", "DNS:*.a.b"], ["10.0.0.1", "IP:a.b", "DNS:", "DNS:a b"]),
        (
            "node_config",
            ["partition-id=0 a=\"x y\" b=true c=1.5 d='z'"],
            ["a", "a=b", "a=1 a=2", "a=1,b=2", "a=$(id)", 'a="\\"', "a=01"],
        ),
        ("cuda_devices", ["all", "0,1"], ["ALL", "0,", "0 1"]),
        ("int >=1024 <=65535", ["1024", "65535"], ["1023", "65536", "1e4", "2000.5", ""]),
        ("float >0 <0.5", ["0.2"], ["0", "0.5", "nan", "inf", ".2"]),
        ("boolean", ["YES", "NO"], ["yes", "1", "true"]),
        ("certificate", [], ["-----BEGIN CERTIFICATE-----", "aGVsbG8=", "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t"]),
    ],
)
def test_rules(rule: str, good: list[str], bad: list[str]) -> None:
    assert [value for value in good if not rules.fits(rule, [], value)] == []
    assert [value for value in bad if rules.fits(rule, [], value)] == []


@settings(max_examples=200)
@given(st.sampled_from(sorted(row.rule for row in context.table().values())), TEXTS)
def test_no_value_makes_a_rule_fail_by_itself(rule: str, value: str) -> None:
    assert rules.fits(rule, ["a"], value) in (True, False)
