# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever stands in CONTEXT: it is read as it was written, judged without harm, and handed on as one word."""

from __future__ import annotations

import json
import shlex
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from context_support import HOSTILE, LONG, ROLES, TABLE, good
from flower_ops import context, profiles, rules
from flower_ops.machine.errors import NodeError
from flower_ops.node.node import arguments, env_file
from hypothesis import assume, given, settings
from hypothesis import strategies as st

NAMES = sorted(TABLE)
#: What a shell, systemd, TOML or the parser itself could trip over, in any order and with any text between.
SIGNS = ('"', "'", "\\", "$", "`", "\n", "\r\n", " ", "=", "\nexport A=", '"\n', "'\\''")
PIECES = st.one_of(st.sampled_from([*HOSTILE, *map(good, NAMES), *SIGNS]), st.text(max_size=12))
TEXTS = st.lists(PIECES, max_size=5).map("".join)
#: A value in OpenNebula can hold neither the end of a C string nor half a character.
CONTEXT_TEXTS = TEXTS.map(lambda text: text.replace("\0", "").encode(errors="ignore").decode())

# What contextualisation does at boot, in essence: the values of one file are set in a shell, and written as they are.
WRITER = r"""
set -f
. ./context.sh
for name in $NAMES; do
    value=${!name}
    %s
    printf 'export %%s="%%s"\n' "$name" "$value"
done
"""
AS_IT_IS = WRITER % ":"
# What a cautious one does: with the escapes that let a shell read the file again.
ESCAPED = WRITER % r"""value=$(printf '%s.' "$value" | sed 's/[\\"$`]/\\&/g'); value=${value%.}"""


def contextualised(values: Mapping[str, str], script: str) -> str:
    """one_env as it lies in a VM whose CONTEXT has these values; a real shell writes it."""
    with tempfile.TemporaryDirectory() as place:
        quoted = {name: value.replace("'", "'\\''") for name, value in values.items()}
        (Path(place) / "context.sh").write_bytes(
            "".join(f"{name}='{value}'\n" for name, value in quoted.items()).encode()
        )
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "NAMES": " ".join(values)}
        done = subprocess.run(["bash", "-c", script], cwd=place, env=environment, capture_output=True, check=True)
    return done.stdout.decode()


def of_shell(text: bytes, name: str) -> str:
    """A variable after a shell has read the file."""
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "env").write_bytes(text)
        command = f'. ./env; printf %s "${name}"'
        return subprocess.run(["sh", "-c", command], cwd=place, capture_output=True, check=True).stdout.decode()


@pytest.mark.parametrize("script", [AS_IT_IS, ESCAPED], ids=["as it is", "escaped"])
def test_every_good_value_comes_out_of_context_as_it_went_in(script: str) -> None:
    values = {name: good(name) for name in NAMES}
    assert context.parse_one_env(contextualised(values, script)) == values


@settings(max_examples=40, deadline=None)
@given(st.lists(CONTEXT_TEXTS, min_size=8, max_size=8))
def test_contextualised_values_are_read_as_they_were_written(texts: list[str]) -> None:
    values = dict(zip("ABCDEFGH", texts, strict=True))
    # An export line inside of a value cannot be told from one that stands for itself.
    assume(not any("\nexport " in text for text in texts))
    assert context.parse_one_env(contextualised(values, ESCAPED)) == values
    read = context.parse_one_env(contextualised(values, AS_IT_IS))
    assert read.keys() == values.keys()
    for name, text in values.items():
        # Only escapes are ambiguous there; no rule takes a backslash.
        assert read[name] == text or "\\" in text


def test_a_line_of_a_start_script_sets_nothing_that_is_set() -> None:
    script = '#!/bin/sh\nexport ONEAPP_FL_TLS_ENABLED="NO"\nexport PATH=/bin\n'
    values = {"ONEAPP_FL_TLS_ENABLED": "YES", "START_SCRIPT": script}
    assert context.parse_one_env(contextualised(values, AS_IT_IS))["ONEAPP_FL_TLS_ENABLED"] == "YES"


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(ROLES), st.dictionaries(st.sampled_from(NAMES), st.one_of(TEXTS, st.just(LONG)), max_size=12))
def test_judging_any_values_ends_in_words_for_people(role: str, given_values: dict[str, str]) -> None:
    merged = context.merge(role, given_values, {})
    for fault in context.validate(role, merged) + context.unknown(given_values):
        assert fault.name in TABLE and str(fault).isprintable() and len(str(fault)) < 600
        json.dumps(fault.as_dict()).encode()
        row = TABLE[fault.name]
        if row.secret and merged[fault.name]:
            assert fault.value == "(hidden)"


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(NAMES), TEXTS)
def test_what_a_rule_takes_can_be_written_anywhere(name: str, text: str) -> None:
    row = TABLE[name]
    if row.rule == "text" or not rules.fits(row.rule, row.options, text):
        return
    # Blanks are the only thing left that would part a word, and only forms that are lists have any.
    assert not set(text) & set("$`\\\0\x1b")
    if row.rule.split()[0] not in ("node_config", "san", "networks", "certificate", "private_key", "base64"):
        assert arguments([text]) == text


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs"))), st.sampled_from(HOSTILE))
def test_an_environment_file_gives_back_what_was_put_in(text: str, hostile: str) -> None:
    value = text + (hostile if hostile.isprintable() else "") + text
    assert of_shell(env_file({"BEFORE": "x", "VALUE": value, "AFTER": "y"}), "VALUE") == value


@pytest.mark.parametrize("text", [text for text in HOSTILE if not text.isprintable() and text.isascii()])
def test_an_environment_file_takes_no_control_characters(text: str) -> None:
    with pytest.raises(NodeError, match="The value of NAME has control characters"):
        env_file({"NAME": text})


@given(TEXTS)
def test_a_word_stays_one_word_or_is_refused(text: str) -> None:
    try:
        written = arguments(["--flag", text, "--other"])
    except NodeError as error:
        assert error.code == "config_validation_failed" and "cannot be handed to a service" in str(error)
    else:
        assert shlex.split(written) == ["--flag", text, "--other"] == written.split()


@pytest.mark.parametrize("version", profiles.known())
def test_arguments_of_every_version_are_words(version: str) -> None:
    profile = profiles.profile(version)
    link = profile.superlink(
        fleet=good("ONEAPP_FL_FLEET_API_ADDRESS"),
        control=good("ONEAPP_FL_CONTROL_API_ADDRESS"),
        database=good("ONEAPP_FL_DATABASE"),
        certs="/opt/flower/certs",
        auth=True,
    )
    node = profile.supernode(
        superlink=good("ONEAPP_FL_SUPERLINK_ADDRESS"), ca="/ca.crt", key="/node.key", max_retries=3, max_wait_time=4
    )
    for words in (link, node):
        assert shlex.split(arguments(words)) == words
