# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text and data the way the Ruby server makes them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from one_sandbox.flow.ruby import deep_merge, pretty, to_int, to_raw, xml_to_hash
from one_sandbox.oned.template import parse

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(VALUES)
def test_pretty_is_json(value: Any) -> None:
    assert json.loads(pretty({"a": value})) == {"a": value}


def test_pretty_layout() -> None:
    assert pretty({"a": {}, "b": [], "c": [1]}) == '{\n  "a": {\n  },\n  "b": [\n\n  ],\n  "c": [\n    1\n  ]\n}'


def test_deep_merge() -> None:
    base = {"C": {"A": "1", "B": "2"}, "NIC": [{"N": "1"}], "X": "1"}
    other = {"C": {"B": "3"}, "NIC": [{"N": "1"}, {"N": "2"}], "X": None}
    assert deep_merge(base, other) == {"C": {"A": "1", "B": "3"}, "NIC": [{"N": "1"}, {"N": "2"}], "X": None}
    assert deep_merge(base, other, merge_lists=False)["NIC"] == [{"N": "1"}, {"N": "2"}]
    assert deep_merge({"L": [1, 1]}, {"L": [1]}) == {"L": [1, 1, 1]}
    assert base["C"] == {"A": "1", "B": "2"}


def test_raw_is_template_text() -> None:
    content = {"CONTEXT": {"A": 'say "hi"', "N": 1}, "NIC": [{"N": "x"}, {"N": "y"}], "E": {}, "T": True, "S": "a\nb"}
    assert parse(to_raw(content)) == {
        "CONTEXT": {"A": 'say "hi"', "N": "1"}, "NIC": [{"N": "x"}, {"N": "y"}], "E": {}, "T": "true", "S": "a\nb",
    }  # fmt: skip


def test_raw_puts_commas_at_line_breaks_inside_vectors() -> None:
    assert to_raw({"CONTEXT": {"S": "one\ntwo"}}) == 'CONTEXT = [\nS = "one,\ntwo"\n]\n'


@pytest.mark.parametrize(("value", "number"), [("12", 12), (" 7x", 7), ("x", 0), (None, 0), (3, 3), ("-2", -2)])
def test_to_int(value: Any, number: int) -> None:
    assert to_int(value) == number


def test_hash_of_xml() -> None:
    xml = "<VM><A/><B><![CDATA[]]></B><C>1</C><C>2</C><D><E></E></D></VM>"
    assert xml_to_hash(xml) == {"VM": {"A": {}, "B": "", "C": ["1", "2"], "D": {"E": {}}}}
