# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Large answers are read in a way of their own; it must give what a parser gives, or leave the answer to the parser."""

from __future__ import annotations

import xmlrpc.client
from xml.sax.saxutils import escape

import pytest
from ansible_collections.opennebula.flower.plugins.module_utils.one import errors
from ansible_collections.opennebula.flower.plugins.module_utils.one.api import pool_answer
from connection_servers import Client, serving
from hypothesis import given
from hypothesis import strategies as st

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\n\t<>&\"'"))
NUMBERS = st.lists(st.integers(-1, 2**31 - 1), max_size=3)


def parsed(body: bytes) -> object:
    """What the standard library reads."""
    return xmlrpc.client.loads(body)[0][0]


@given(text=TEXT, numbers=NUMBERS)
def test_a_large_answer_is_read_as_by_a_parser(text: str, numbers: list[int]) -> None:
    body = xmlrpc.client.dumps(([True, text, *numbers],), methodresponse=True).encode()
    assert pool_answer.quick(body) == parsed(body) == [True, text, *numbers]


def answer(text: str) -> bytes:
    """An answer of oned: xmlrpc-c writes i4, quotes as they are, and an encoding."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\r\n<methodResponse>\r\n<params>\r\n<param><value><array><data>\r\n'
        f"<value><boolean>1</boolean></value>\r\n<value><string>{text}</string></value>\r\n"
        "<value><i4>0</i4></value>\r\n</data></array></value></param>\r\n</params>\r\n</methodResponse>\r\n"
    ).encode()


@pytest.mark.parametrize("inner", ['<VM_POOL><VM><ID>1</ID><NAME><![CDATA[a&b "c" é]]></NAME></VM></VM_POOL>', ""])
def test_the_form_of_oned_is_understood(inner: str) -> None:
    assert pool_answer.quick(answer(escape(inner))) == [True, inner, 0] == parsed(answer(escape(inner)))


@pytest.mark.parametrize("text", ["a&#13;b", "a\r\nb", "a<i>b</i>"])
def test_what_only_a_parser_can_read_is_left_to_it(text: str) -> None:
    assert pool_answer.quick(answer(text)) is None


def test_refusals_faults_and_other_encodings_are_left_to_the_parser() -> None:
    refused = xmlrpc.client.dumps(([False, "no", 1024],), methodresponse=True).encode()
    fault = xmlrpc.client.dumps(xmlrpc.client.Fault(-506, "no such method"), methodresponse=True).encode()
    latin = answer("a").replace(b"UTF-8", b"ISO-8859-1")
    assert [pool_answer.quick(body) for body in (refused, fault, latin)] == [None] * 3


def test_a_large_answer_that_is_broken_is_an_error_in_words() -> None:
    text = "x" * pool_answer.LARGE
    bodies = [answer(text), answer(text)[:-40], answer(text).replace(b"xxx", b"\xff\xfe\xfd", 1)]
    with serving(lambda path, body: (200, bodies[0])) as server:
        client = Client("oned", server.url()).client
        assert client.call("one.vmpool.info") == text
        for _broken in range(2):
            del bodies[0]
            with pytest.raises(errors.OneInternalError, match="the answer is not XML-RPC"):
                client.call("one.vmpool.info")
