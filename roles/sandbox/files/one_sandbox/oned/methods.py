# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of XML-RPC methods: name, argument types, function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .errors import RpcFault

_REQUIRED = object()
_NAMES = {int: "integer", str: "a string", bool: "boolean", list: "an array"}


@dataclass(frozen=True)
class Param:
    """Type of one argument, and its default when a client leaves it out."""

    kind: type[Any]
    default: Any = _REQUIRED

    def check(self, value: Any) -> Any:
        """The value itself; RpcFault -501 when it is of another type."""
        right = isinstance(value, self.kind) and (self.kind is bool or not isinstance(value, bool))
        if not right:
            raise RpcFault(-501, f"Parameter that is supposed to be {_NAMES[self.kind]} is not")
        return value


INT, STR, BOOL = Param(int), Param(str), Param(bool)


def opt(param: Param, default: Any) -> Param:
    """The same argument with a default."""
    return Param(param.kind, default)


@dataclass(frozen=True)
class Method:
    """One callable method; `function(oned, user, *arguments)` runs with the core locked."""

    name: str
    params: tuple[Param, ...]
    function: Callable[..., Any]

    def arguments(self, given: tuple[Any, ...]) -> list[Any]:
        """Checked arguments with defaults filled in; superfluous ones are ignored, as the server does."""
        result = []
        for index, param in enumerate(self.params):
            if index < len(given):
                result.append(param.check(given[index]))
            elif param.default is _REQUIRED:
                raise RpcFault(-501, "Not enough parameters")
            else:
                result.append(param.default)
        return result


METHODS: dict[str, Method] = {}
Function = Callable[..., Any]


def method(name: str, *params: Param) -> Callable[[Function], Function]:
    """Register a function as the XML-RPC method `one.<name>`."""

    def register(function: Function) -> Function:
        METHODS[f"one.{name}"] = Method(f"one.{name}", params, function)
        return function

    return register


def find(name: str) -> Method:
    """The method; RpcFault -506 for one that does not exist or is not emulated."""
    if name not in METHODS:
        raise RpcFault(-506, f"Method '{name}' not defined")
    return METHODS[name]
