# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Python file imports, read from its syntax tree, so that nothing has to be installed or executed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Import:
    """One imported name: `target` is absolute and dotted, with the name itself last; `at_start` is False in a function
    and below `if TYPE_CHECKING`, where importing the file does not run it."""

    target: str
    line: int
    at_start: bool

    def within(self, *packages: str) -> bool:
        """Whether the target is one of the packages or lies in one."""
        return any(self.target == package or self.target.startswith(f"{package}.") for package in packages)


def imports_of(source: str, package: str) -> list[Import]:
    """Imports of a source text that is part of `package` (dotted), relative ones made absolute."""
    return list(_walk(ast.parse(source), package.split("."), True))


def imports_in(file: Path, root: Path, prefix: str = "") -> list[Import]:
    """Imports of a file; its package is its folder relative to `root`, below `prefix`."""
    parts = [*prefix.split("."), *file.parent.relative_to(root).parts]
    return imports_of(file.read_text(encoding="utf-8"), ".".join(part for part in parts if part))


def _walk(node: ast.AST, package: list[str], at_start: bool) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield Import(alias.name, node.lineno, at_start)
    elif isinstance(node, ast.ImportFrom):
        base = package[: len(package) - node.level + 1] if node.level else []
        module = [*base, *([node.module] if node.module else [])]
        for alias in node.names:
            yield Import(".".join([*module, alias.name]), node.lineno, at_start)
    elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
        for child in node.body:
            yield from _walk(child, package, False)
        for child in node.orelse:
            yield from _walk(child, package, at_start)
    else:
        inner = at_start and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from _walk(child, package, inner)
