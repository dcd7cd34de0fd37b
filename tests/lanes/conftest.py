# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Federations on loopback, ended whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .federation import Federation

Make = Callable[..., Federation]


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Make]:
    """federation(version, **more) configures one; its processes end with the test."""
    made: list[Federation] = []

    def make(version: str, **more: object) -> Federation:
        made.append(Federation(tmp_path / f"federation-{len(made)}", version, **more))  # type: ignore[arg-type]
        return made[-1]

    try:
        yield make
    finally:
        for one in made:
            one.stop()
