# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The template language by example: what is read, and what is refused and where."""

from __future__ import annotations

import pytest
from ansible_collections.opennebula.flower.plugins.module_utils.one.data.template import (
    TemplateSyntaxError,
    normalise,
    parse,
    render,
    scalar,
)
from ansible_collections.opennebula.flower.plugins.module_utils.one.errors import OneUsageError


def test_parse_reads_what_oned_reads() -> None:
    text = """
    # a comment
    NAME = web   # another one
    CPU=0.5
    EMPTY=
    note="say \\"hi\\" [now], a=b # no comment"
    NIC = [ network = "a",
            ip = 10.0.0.1 ]
    NIC=[NETWORK=b]
    OS = [ ]
    """
    assert parse(text) == {
        "NAME": "web",
        "CPU": "0.5",
        "EMPTY": "",
        "NOTE": 'say "hi" [now], a=b # no comment',
        "NIC": [{"NETWORK": "a", "IP": "10.0.0.1"}, {"NETWORK": "b"}],
        "OS": {},
    }


def test_values_over_several_lines_keep_their_lines() -> None:
    script = '#!/bin/sh\necho "one"\necho $TWO'
    assert parse(render({"CONTEXT": {"START_SCRIPT": script}})) == {"CONTEXT": {"START_SCRIPT": script}}


@pytest.mark.parametrize(
    ("text", "words", "line", "column"),
    [
        ("CPU", "'=' after CPU", 1, 4),
        ("A=1\nCPU=[", "an attribute name", 2, 6),
        ('A=1\nB="x', "the quotes of B are not closed", 2, 3),
        ("A=[B=1", "',' or ']'", 1, 7),
        ("A=]", "a value for A", 1, 3),
        ("=1", "an attribute name", 1, 1),
    ],
)
def test_errors_say_what_and_where(text: str, words: str, line: int, column: int) -> None:
    with pytest.raises(TemplateSyntaxError) as caught:
        parse(text)
    assert words in str(caught.value)
    assert (caught.value.line, caught.value.column) == (line, column)


def test_normalise_takes_yaml_values() -> None:
    assert normalise({"cpu": 1.0, "memory": 64, "context": {"token": True, "report": False}, "gone": None}) == {
        "CPU": "1",
        "MEMORY": "64",
        "CONTEXT": {"TOKEN": "YES", "REPORT": "NO"},
    }
    assert normalise("cpu=2") == {"CPU": "2"}


def test_values_are_stored_as_oned_stores_them() -> None:
    assert scalar("  a\r\nb \n") == "a\nb"


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ({"A": {"B": {"C": 1}}}, "no deeper levels"),
        ({"A": [["b"]]}, "list of lists"),
        ({"a b": 1}, "no attribute name"),
        ({"a": 1, "A": 2}, "twice"),
        ({"A": "x]]>y"}, "cannot store"),
        ({"A": "x\x01"}, "cannot store"),
        ({"A": "a b\\"}, "ends in a backslash"),
    ],
)
def test_what_opennebula_cannot_store_is_refused(template: dict, words: str) -> None:
    with pytest.raises(OneUsageError, match=words):
        render(template)


def test_a_backslash_at_the_end_is_sent_without_quotes() -> None:
    text = render({"A": "C:\\", "B": "x"})
    assert parse(text) == {"A": "C:\\", "B": "x"}
