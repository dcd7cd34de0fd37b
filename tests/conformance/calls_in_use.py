# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The calls that the modules, the inventory and the agent make, found in their sources.

A name that is put together while the program runs, such as `{prefix}.rename`, stands for every call of the API that
comes of it with the words that the plugins contain.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = ROOT / "plugins"
ONEFLOW = PLUGINS / "module_utils/one/api/oneflow.py"
ONEGATE = ROOT / "roles/flower_runtime/files/flower_ops/flower_ops/machine/onegate.py"
ROLES = ROOT / "roles"
_METHOD = re.compile(r"one\.[a-z]+\.[a-z_]+")
_SCRIPT_CALL = re.compile(r"(?:-X|--request)\s+(\w+).*?\$ONEGATE_ENDPOINT(/\w+)", re.DOTALL)


@functools.cache
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def _words(files: Iterable[Path]) -> set[str]:
    """Every text that stands in the files."""
    return {
        node.value
        for file in files
        for node in ast.walk(_tree(file))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def _sources() -> list[Path]:
    return sorted(file for file in PLUGINS.rglob("*.py") if "doc_fragments" not in file.parts)


# -- XML-RPC -----------------------------------------------------------------------------------------------------------


def xmlrpc_calls(known: Iterable[str]) -> set[str]:
    """Methods of oned that the plugins call. known: all methods there are, for names that are put together."""
    files, methods = _sources(), set(known)
    words = _words(files)
    found = {word for word in words if _METHOD.fullmatch(word)}
    for file in files:
        for node in ast.walk(_tree(file)):
            if isinstance(node, ast.JoinedStr) and _looks_like_a_method(node):
                found.update(_put_together(node, words, methods))
    return found


def _looks_like_a_method(node: ast.JoinedStr) -> bool:
    text = _shape(node, "*")
    return bool(re.fullmatch(r"one\.[a-z]+\.\*|\*\.[a-z*]+", text))


def _put_together(node: ast.JoinedStr, words: set[str], methods: set[str]) -> Iterator[str]:
    pattern = re.compile(re.escape(_shape(node, "\0")).replace("\0", "([a-z_.]+)"))
    for method in methods:
        match = pattern.fullmatch(method)
        if match and all(part in words for part in match.groups()):
            yield method


def _shape(node: ast.JoinedStr, gap: str) -> str:
    """The text of an f-string with `gap` for each value in it."""
    return "".join(str(part.value) if isinstance(part, ast.Constant) else gap for part in node.values)


# -- REST --------------------------------------------------------------------------------------------------------------


def flow_calls(services: Iterable[str], templates: Iterable[str], scheduled: Iterable[str]) -> set[str]:
    """Routes of OneFlow that its client requests, as journal.route names them.

    services, templates: actions that OneFlow knows for services and service templates; scheduled: those for VMs.
    """
    words = _words(PLUGINS.glob("module_utils/one/service*.py"))
    role_words = _words(PLUGINS.glob("module_utils/one/service_role*.py"))
    found = set()
    for function in _functions(ONEFLOW):
        own_perform = _perform_in(function)
        for verb, path, perform in _requests(function, {"_pool": "GET"}):
            if path is None:
                continue
            name = f"OneFlow {verb} {path}"
            if perform is None:
                found.add(f"{name} {own_perform}" if own_perform else name)
            elif perform:
                found.add(f"{name} {perform}")
            else:
                if "/role/" in path:
                    choices = set(scheduled) & role_words
                else:
                    choices = set(templates if "_template" in path else services) & words
                found.update(f"{name} {choice}" for choice in choices)
    return found


def gate_calls() -> set[str]:
    """Routes of OneGate that the agent and the scripts of the roles request."""
    found = {
        f"OneGate {verb} {path}"
        for function in _functions(ONEGATE)
        for verb, path, _perform in _requests(function, {"_json": "GET"})
        if path is not None
    }
    for script in ROLES.rglob("*.sh"):
        found.update(f"OneGate {verb} {path}" for verb, path in _SCRIPT_CALL.findall(script.read_text("utf-8")))
    return found


def _functions(file: Path) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(_tree(file)) if isinstance(node, ast.FunctionDef))


def _requests(function: ast.FunctionDef, reads: dict[str, str]) -> Iterator[tuple[str, str | None, str | None]]:
    """(verb, path, perform) of each request. perform: None for none, "" for one that is only known at run time."""
    for node in ast.walk(function):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or not node.args:
            continue
        called, arguments = node.func.attr, node.args
        if called in reads:
            for path in _paths(arguments[0], function):
                yield reads[called], path, None
        elif called == "_action":
            for path in _paths(arguments[0], function):
                yield "POST", path, _text(arguments[1]) or ""
        elif called in ("_fetch", "_request") and _text(arguments[0]):
            for path in _paths(arguments[1], function):
                yield _text(arguments[0]) or "", path, None


def _text(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _paths(node: ast.expr, function: ast.FunctionDef) -> list[str | None]:
    """What an expression for a path may be; None where only the caller knows."""
    if isinstance(node, ast.IfExp):
        return [*_paths(node.body, function), *_paths(node.orelse, function)]
    if isinstance(node, ast.JoinedStr):
        return ["".join(_piece(part) for part in node.values)]
    if isinstance(node, ast.Name):
        for other in ast.walk(function):
            names = [ast.unparse(target) for target in other.targets] if isinstance(other, ast.Assign) else []
            if isinstance(other, ast.Assign) and node.id in names:
                return _paths(other.value, function)
    return [_text(node)]


def _piece(part: ast.expr) -> str:
    if isinstance(part, ast.Constant):
        return str(part.value)
    value = part.value if isinstance(part, ast.FormattedValue) else part
    return ":name" if isinstance(value, ast.Name) and value.id.startswith("role") else ":id"


def _perform_in(function: ast.FunctionDef) -> str:
    """The action in a body {"perform": …} that the function writes down itself."""
    for node in ast.walk(function):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if key is not None and _text(key) == "perform":
                    return _text(value) or ""
    return ""
