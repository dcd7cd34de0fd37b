# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pyone's XML-RPC client without what it loads for other ways of using it, nine tenths of its time.

Answers are parsed by our own xml module, so the bindings (half a megabyte of generated classes) are never used here;
arguments are texts and numbers, so neither are the helpers that make XML of dictionaries (dict2xml, xmltodict, lxml);
requests leave by our own transport, so the library requests is not needed either. Everything stays usable for
everybody else in the process: a stand-in loads the real module on first use.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from typing import Any

BINDINGS = "pyone.bindings"
UTIL = "pyone.util"
REQUESTS = "requests"


class LazyModule(types.ModuleType):
    """Module object that becomes the real module of its name as soon as anything is looked up in it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        real = importlib.import_module(self.__name__)
        return getattr(real, name)


def load_pyone() -> Any:
    """Return the module pyone; ImportError when it, or something that it needs, is not installed."""
    if sys.modules.get("pyone"):
        return sys.modules["pyone"]
    for name in ("pyone", REQUESTS):
        if name not in sys.modules and importlib.util.find_spec(name) is None:
            raise ImportError(f"No module named '{name}'")
    stand_ins = {name: LazyModule(name) for name in (BINDINGS, UTIL, REQUESTS) if name not in sys.modules}
    if UTIL in stand_ins:
        # The only name that is taken out of it at once.
        stand_ins[UTIL].__dict__["cast2one"] = _cast2one
    sys.modules.update(stand_ins)
    try:
        return importlib.import_module("pyone")
    except ImportError:
        sys.modules.pop(BINDINGS, None)
        raise
    finally:
        for name in (UTIL, REQUESTS):
            # pyone keeps the stand-in; whoever imports the library gets the library.
            if sys.modules.get(name) is stand_ins.get(name, sys):
                del sys.modules[name]


def _cast2one(value: Any) -> Any:
    """What pyone calls to make arguments of its generated methods."""
    return importlib.import_module(UTIL).cast2one(value)
