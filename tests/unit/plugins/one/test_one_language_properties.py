# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Properties of the template language: against a lexer written apart from ours, and through a cloud and back."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.opennebula.flower.plugins.module_utils.one.data.template import (
    Template,
    TemplateSyntaxError,
    normalise,
    parse,
    render,
    scalar,
)
from ansible_collections.opennebula.flower.plugins.module_utils.one.data.xml import template_of, to_dict
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from one_sandbox.oned import template as sandbox_template

names = st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True)
# What people write and what other parsers trip over; control characters and "]]>" cannot be stored, see below.
awkward = st.sampled_from([
    "", '"', '""', 'say "hi"', "a\nb", "\n", "[", "]", "[A=1]", "a,b", ",", "a=b", "=", "#", "a # b", "$USER[NAME]",
    "${ROUNDS}", "$", "\\n", "C:\\temp\\x", '\\"', '\\\\"', "é ü 漢字 🌸", " a  b ", "\t", "'", "&<>", "]]", "]>",
    "D:\\", "\\", '"a"\\', '\\"\\', "<x/>", "-----BEGIN X-----\nMII+/=\n-----END X-----",
    "echo \"$A\" | sed 's/[^,]*=//' # not a comment", "0", "YES", "1e3",
])  # fmt: skip
free = st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn")) | st.sampled_from('\n\t"\\=#,[]$ '), max_size=30)


def storable(text: str) -> bool:
    """A value that OpenNebula can keep: a backslash at the end would swallow the closing quote where one is needed."""
    return "]]>" not in text and (not text.endswith("\\") or re.fullmatch(r"[^=#\s,\[\]]+", text) is not None)


texts = (awkward | free).map(scalar).filter(storable)
vectors = st.dictionaries(names, texts, min_size=1, max_size=4)
leaves = texts | vectors
templates = st.dictionaries(names, leaves | st.lists(leaves, min_size=2, max_size=3), max_size=6)


@given(templates)
@settings(max_examples=150, deadline=None)
def test_what_is_rendered_reads_back_the_same(template: dict[str, Any]) -> None:
    text = render(template)
    assert parse(text) == template
    assert render(parse(text)) == text


def trimmed(template: Any) -> Any:
    """Values as the cloud stores them, see `scalar`."""
    if isinstance(template, dict):
        return {name: trimmed(value) for name, value in template.items()}
    return [trimmed(item) for item in template] if isinstance(template, list) else scalar(template)


@given(templates)
@settings(max_examples=150, deadline=None)
def test_the_other_lexer_reads_the_same(template: dict[str, Any]) -> None:
    """The sandbox's lexer follows that of oned and shares no code with ours."""
    assert trimmed(sandbox_template.parse(render(template))) == template


pieces = st.sampled_from([
    "A", "b_1", "NIC", "=", " = ", "=\n", "[", "]", ",", '"', '\\"', "\\", "#", "\n", " ", "\t", "x", "é", "1", "$U",
    "[ ", " ]", '"a b"', "A=1\n", 'N=[ K=v, L="w" ]\n', "# c\n",
])  # fmt: skip
written = st.lists(pieces, max_size=14).map("".join)


@given(written | st.text(max_size=40))
@settings(max_examples=400, deadline=None)
@example('A="x\\"')
@example('A=x"y"')
@example('A=\\"')
@example('A=[B=\\\\"x]')
@example("A=")
@example("A= \nB=1")
@example("A=\\\\")
@example("A=[B=1]C=2")
def test_what_we_accept_the_other_lexer_reads_the_same(text: str) -> None:
    """We may refuse more (what oned drops without a word is an error here), and never read something else."""
    if text.lstrip()[:1] == "<":
        return
    try:
        ours = parse(text)
    except TemplateSyntaxError as error:
        assert_inside(error, text)
        return
    # oned knows a comment by the end of its line, which a last line from YAML lacks; we never send text as given.
    assert trimmed(sandbox_template.parse(f"{text}\n")) == trimmed(dict(ours)), text


def assert_inside(error: TemplateSyntaxError, text: str) -> None:
    lines = text.split("\n")
    assert 1 <= error.line <= len(lines), (error, text)
    assert 1 <= error.column <= len(lines[error.line - 1]) + 1, (error, text)
    assert f"at line {error.line}, column {error.column}" in str(error)


@given(templates.map(render), st.data())
@settings(max_examples=150, deadline=None)
def test_a_truncated_text_is_read_or_refused_with_a_place(text: str, data: st.DataObject) -> None:
    cut = text[: data.draw(st.integers(0, len(text)))]
    try:
        assert isinstance(parse(cut), Template)
    except TemplateSyntaxError as error:
        assert_inside(error, cut)


@given(templates.map(render), st.sampled_from(list('"[]=,#\\\x00é')), st.data())
@settings(max_examples=150, deadline=None)
def test_a_damaged_text_is_read_or_refused_with_a_place(text: str, damage: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(text)))
    damaged = text[:place] + damage + text[place:]
    try:
        assert isinstance(parse(damaged), Template)
    except TemplateSyntaxError as error:
        assert_inside(error, damaged)


numbers = st.booleans() | st.integers() | st.floats(allow_nan=False)


@given(st.dictionaries(names, st.none() | numbers | texts, max_size=5))
@settings(deadline=None)
def test_values_of_yaml_become_text_once(values: dict[str, Any]) -> None:
    once = normalise(values)
    assert normalise(once) == once == parse(render(values))


# With a prefix, so that no name is one to which oned gives a meaning of its own.
@given(templates.map(lambda found: {f"X_{name}": value for name, value in found.items()}))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_cloud_gives_back_what_it_was_given(cloud: Any, template: dict[str, Any]) -> None:
    """Text to oned, XML back, and read as every module reads it; a second rendering is the same template."""
    number = int(cloud.admin.call("one.template.allocate", {"NAME": "language", **template}))
    try:
        body = to_dict(cloud.admin.call("one.template.info", number))
        assert template_of(body) == template
        cloud.admin.call("one.template.update", number, template_of(body), 0)
        assert template_of(to_dict(cloud.admin.call("one.template.info", number))) == template
    finally:
        cloud.admin.call("one.template.delete", number, False)


@pytest.mark.parametrize("value", ["a]]>b", "a\x00b", "a\x1fb", "\ufffe"])
def test_what_a_cloud_cannot_keep_is_refused_before_it_is_sent(value: str) -> None:
    with pytest.raises(Exception, match="cannot store"):
        render({"A": value})
