# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pyone without the 0.7 s that its generated bindings cost at import.

Answers are parsed by our own xml module, so the bindings (half a megabyte of generated classes) are never used here.
They stay usable for everybody else in the process: the stand-in loads the real module on first use.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from typing import Any

BINDINGS = "pyone.bindings"


class LazyBindings(types.ModuleType):
    """Module object that becomes the real pyone.bindings as soon as anything is looked up in it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(BINDINGS) is self:
            del sys.modules[BINDINGS]
        real = importlib.import_module(BINDINGS)
        return getattr(real, name)


def load_pyone() -> Any:
    """Return the module pyone; ImportError when it, or something that it needs, is not installed."""
    if sys.modules.get("pyone"):
        return sys.modules["pyone"]
    if importlib.util.find_spec("pyone") is None:
        raise ImportError("No module named 'pyone'")
    sys.modules.setdefault(BINDINGS, LazyBindings(BINDINGS))
    try:
        return importlib.import_module("pyone")
    except ImportError:
        sys.modules.pop(BINDINGS, None)
        raise
