# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Flower app directory: what its pyproject.toml says, and run configuration checked against it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flower_ops.runs.errors import RunError

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10; Flower brings tomli there
    import tomli as tomllib

OUTPUT_KEY = "output-dir"
BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class App:
    """Name, version and run configuration (flat, `a.b` for nested tables) of the app in `path`.

    has_connections: its pyproject.toml names SuperLinks, as Flower's templates up to 1.25 did.
    """

    path: Path
    name: str
    version: str
    config: Mapping[str, Any]
    has_connections: bool = False


def load_app(path: str | Path) -> App:
    """Read an app directory; RunError when it holds no Flower app."""
    folder = Path(path)
    project_file = folder / "pyproject.toml"
    if not folder.is_dir():
        raise RunError(f"There is no app directory {folder}; give the folder that holds the app's pyproject.toml.")
    if not project_file.is_file():
        raise RunError(f"{folder} is not a Flower app: it has no pyproject.toml; give the folder that holds it.")
    try:
        content = read_toml(project_file)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RunError(f"{project_file} is not valid TOML: {error}; correct the file.") from error
    flower = content.get("tool", {}).get("flwr", {})
    app = flower.get("app")
    components = app.get("components", {}) if isinstance(app, dict) else {}
    if not isinstance(app, dict) or not {"serverapp", "clientapp"} <= set(components):
        raise RunError(
            f"{folder} is not a Flower app: {project_file.name} has no [tool.flwr.app.components] with serverapp and "
            "clientapp; give the folder of an app, or add that section."
        )
    project = content.get("project", {})
    return App(
        folder,
        str(project.get("name", folder.name)),
        str(project.get("version", "")),
        flat(app.get("config", {})),
        "federations" in flower,
    )


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file; OSError, or ValueError for what is none."""
    content: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    return content


def flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as one level, keys joined by dots, as Flower hands them to an app."""
    result: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            result.update(flat(value, f"{prefix}{key}."))
        else:
            result[prefix + key] = value
    return result


def check_run_config(app: App, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Overrides in the types that the app declares; RunError names every wrong key and value at once.

    Flower itself answers an unknown key with "Invalid run configuration" and takes any type for any key.
    A string is read as the declared type, because values that pass through templates or a command line arrive as text.
    """
    given = flat(overrides)
    problems: list[str] = []
    unknown = sorted(set(given) - set(app.config))
    if unknown:
        known = ", ".join(sorted(app.config)) or "none"
        problems.append(f"unknown key{'s' if len(unknown) > 1 else ''} {', '.join(unknown)} (the app knows: {known})")
    checked: dict[str, Any] = {}
    for key in sorted(set(given) & set(app.config)):
        try:
            checked[key] = as_type_of(app.config[key], given[key])
        except ValueError as error:
            problems.append(f"{key}: {error}")
    if problems:
        raise RunError(f"Run configuration for the app {app.name} is wrong: {'; '.join(problems)}.")
    return checked


def as_type_of(default: Any, value: Any) -> bool | int | float | str:
    """`value` in the type of `default`; ValueError says which type is wanted."""
    if isinstance(default, bool):
        if isinstance(value, bool):
            return value
        if str(value).lower() in ("true", "false"):
            return str(value).lower() == "true"
        raise ValueError(f"{value!r} is not true or false")
    if isinstance(default, (int, float)):
        wanted = "a whole number" if isinstance(default, int) else "a number"
        try:
            number = float(value) if not isinstance(value, bool) else math.nan
        except (TypeError, ValueError):
            number = math.nan
        except OverflowError:
            raise ValueError("the number is too large") from None
        if not math.isfinite(number) or (isinstance(default, int) and number != int(number)):
            raise ValueError(f"{value!r} is not {wanted}")
        if isinstance(default, float):
            return number
        return (
            int(value) if isinstance(value, (int, str)) and re.fullmatch(r"\s*[+-]?\d+\s*", str(value)) else int(number)
        )
    if isinstance(value, (bool, int, float, str)):
        return value if isinstance(value, str) else str(value)
    raise ValueError(f"{value!r} is not text")


def render_toml(values: Mapping[str, Any]) -> str:
    """Flat run configuration as TOML, one key per line."""
    return "".join(f"{_key(key)} = {_value(value)}\n" for key, value in values.items())


def _key(key: str) -> str:
    return ".".join(part if BARE_KEY.fullmatch(part) else _quoted(part) for part in key.split("."))


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _float(value)
    return _quoted(str(value))


def _float(value: float) -> str:
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    text = repr(value)
    return text if any(mark in text for mark in ".e") else text + ".0"


def _quoted(text: str) -> str:
    """TOML basic string. Everything outside printable ASCII and letters goes as an escape, which is always valid."""
    named = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}

    def character(one: str) -> str:
        if one in named:
            return named[one]
        code = ord(one)
        if code < 0x20 or 0x7F <= code < 0xA0:
            return f"\\u{code:04X}"
        return one

    return '"' + "".join(map(character, text)) + '"'
