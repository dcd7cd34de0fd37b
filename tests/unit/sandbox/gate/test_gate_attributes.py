# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How OneGate quotes what VMs send."""

from __future__ import annotations

import pytest
from one_sandbox.gate.attributes import quoted, refuse_restricted
from one_sandbox.gate.errors import GateError
from one_sandbox.oned.template import parse


@pytest.mark.parametrize(
    ("text", "attributes"),
    [
        ("FOO=hello world", {"FOO": "hello world"}),
        ("READY=YES\n", {"READY": "YES"}),
        ('BAR="z"\nBAZ=1', {"BAR": "z", "BAZ": "1"}),
        ("B64=YWI9PQ==", {"B64": "YWI9PQ=="}),
        ("A=1\nB=2", {"A": "1", "B": "2"}),
    ],
)
def test_quoted(text: str, attributes: dict[str, str]) -> None:
    assert parse(quoted(text)) == attributes


def test_a_comma_breaks_a_value() -> None:
    assert quoted('X="a,b"') == 'X="a",b"'


@pytest.mark.parametrize("text", ["SERVICE_ID=9", "A=1\nrole_name=x", "SCHED_REQUIREMENTS"])
def test_restricted(text: str) -> None:
    with pytest.raises(GateError) as caught:
        refuse_restricted(text, "modified")
    assert caught.value.status == 403
    assert caught.value.message.endswith("cannot be modified")


def test_unrestricted() -> None:
    refuse_restricted("FL_SERVICE_ID=9\nREADY=YES", "modified")
