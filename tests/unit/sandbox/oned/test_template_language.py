# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenNebula's template language."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from one_sandbox.oned import template as tpl

# The language cannot express every text: a value must not end in a backslash or have one before a quote.
_TEXT = some.text(
    some.characters(blacklist_categories=("Cs", "Cc", "Cn"), blacklist_characters="\ufffe\uffff")
    | some.sampled_from("\n\t")
).filter(lambda text: not text.endswith("\\") and '\\"' not in text)
# A busy machine must not turn a slow example into a failure.
QUICK = settings(deadline=None, max_examples=60)
_NAME = some.from_regex(r"[A-Z][A-Z0-9_]{0,8}", fullmatch=True)
_VECTOR = some.dictionaries(_NAME, _TEXT, min_size=1, max_size=4)
_SECTION = _TEXT | _VECTOR
_TEMPLATE = some.dictionaries(_NAME, _SECTION | some.lists(_SECTION, min_size=2, max_size=3), max_size=5)


@QUICK
@given(_TEMPLATE)
def test_text_round_trip(template: tpl.Template) -> None:
    assert tpl.parse(tpl.render(template)) == template


@QUICK
@given(_TEMPLATE)
def test_xml_round_trip(template: tpl.Template) -> None:
    assert tpl.parse(tpl.to_xml(template)) == template


@QUICK
@given(some.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        assert isinstance(tpl.parse(text), dict)
    except tpl.TemplateError as error:
        assert str(error).startswith("Parse error: ")


@QUICK
@given(some.text(alphabet='AB=[]," \n#\\"', max_size=40))
def test_what_was_read_is_read_again(text: str) -> None:
    try:
        template = tpl.parse(text)
    except tpl.TemplateError:
        return
    values = [v for section in template.values() for v in (section if isinstance(section, list) else [section])]
    leaves = [leaf for v in values for leaf in (v.values() if isinstance(v, dict) else [v])]
    if all(not leaf.endswith("\\") and '\\"' not in leaf for leaf in leaves):
        assert tpl.parse(tpl.render(template)) == template


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('NAME="imgx" TYPE=[[', "$end, expecting CBRACKET or VARIABLE at line 0, columns 19:20"),
        ("NAME=bad\nCPU=[", "$end, expecting CBRACKET or VARIABLE at line 1, columns 14:15"),
        ("MEMORY=", "$end, expecting OBRACKET or CCDATA or STRING at line 0, columns 7:8"),
        ("NAME", "$end, expecting EQUAL or EQUAL_EMPTY at line 0, columns 1:5"),
        ("A=[B=1", "$end, expecting COMMA or CBRACKET at line 0, columns 6:7"),
    ],
)
def test_parse_errors_in_the_servers_words(text: str, message: str) -> None:
    with pytest.raises(tpl.TemplateError) as caught:
        tpl.parse(text)
    assert str(caught.value) == f"Parse error: syntax error, unexpected {message}"


def test_forms() -> None:
    text = """
    # a comment
    name = "web"            # not a comment after a value: dropped all the same
    CPU=0.5
    EMPTY=
    QUOTED="say \\"hi\\",
    twice"
    NIC = [ network = private,
            IP = "10.0.0.5" ]
    NIC=[NETWORK="b]c,d=e"]
    NONE=[]
    """
    assert tpl.parse(text) == {
        "NAME": "web",
        "CPU": "0.5",
        "EMPTY": "",
        "QUOTED": 'say "hi",\n    twice',
        "NIC": [{"NETWORK": "private", "IP": "10.0.0.5"}, {"NETWORK": "b]c,d=e"}],
        "NONE": {},
    }


def test_sections_and_merge() -> None:
    template = tpl.parse('A="1"\nDISK=[X="1"]\nDISK=[X="2"]')
    assert tpl.sections(template, "DISK") == [{"X": "1"}, {"X": "2"}]
    merged = tpl.merge(template, tpl.parse('DISK=[X="3"]\nB="2"'))
    assert merged == {"A": "1", "DISK": {"X": "3"}, "B": "2"}


def test_malformed_xml() -> None:
    with pytest.raises(tpl.TemplateError, match="malformed"):
        tpl.parse("<TEMPLATE><A>1</TEMPLATE>")


def test_cdata_end_mark_survives() -> None:
    template = {"A": "x]]>y"}
    assert tpl.parse(tpl.to_xml(template)) == template
