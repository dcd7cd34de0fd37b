# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node package on the control machine: its table, rules and profiles serve the filters too."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError

_PACKAGE = "flower_ops"
_FOLDER = Path(__file__).resolve().parents[2] / "roles/flower_runtime/files/flower_ops" / _PACKAGE


def part(name: str) -> Any:
    """A module of the node package, which lies in a role: nodes get it from there, and it is on no import path here."""
    if _PACKAGE not in sys.modules:
        place = _FOLDER / "__init__.py"
        spec = importlib.util.spec_from_file_location(_PACKAGE, place, submodule_search_locations=[str(_FOLDER)])
        if spec is None or spec.loader is None or not place.is_file():
            raise AnsibleFilterError(f"{place} cannot be read; install the collection again.")
        package = importlib.util.module_from_spec(spec)
        sys.modules[_PACKAGE] = package
        spec.loader.exec_module(package)
    return importlib.import_module(f"{_PACKAGE}.{name}")


def texts(values: Any, what: str) -> dict[str, str]:
    """Values by name as nodes and VM templates get them; AnsibleFilterError for what is no dictionary."""
    if not isinstance(values, Mapping):
        raise AnsibleFilterError(f"{what} needs a dictionary of context variables.")
    return {str(name): _text(value) for name, value in values.items()}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "YES" if value else "NO"
    return "" if value is None else str(value)
