# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How Flower's command line on another machine reaches this SuperLink: its own connection, told for elsewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from flower_ops.flower_cli.flwr_cli import CONNECTION, CONNECTION_APP, connection_table
from flower_ops.runs.app import BARE_KEY, read_toml
from flower_ops.runs.errors import RunError
from flower_ops.runs.record import Places

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----")


def connection(places: Places, name: str, address: str = "", certificates: str = "") -> dict[str, Any]:
    """What a client needs: Flower's version, the Control API's address here, the authority's certificate (PEM), and a
    profile called `name` for `address` and the file `certificates` there (TOML).

    RunError when this SuperLink has not been configured.
    """
    if not BARE_KEY.fullmatch(name):
        raise RunError(f"{name!r} is no name of a connection; use letters, digits, _ and -.")
    cli = places.cli()
    in_app = cli.profile.connections_in_app
    path = cli.home / CONNECTION_APP / "pyproject.toml" if in_app else cli.home / "config.toml"
    try:
        content = read_toml(path)
        own = (content["tool"]["flwr"]["federations"] if in_app else content["superlink"])[CONNECTION]
        here, trusted = str(own["address"]), str(own.get("root-certificates", ""))
        certificate = _certificate(_below(places, trusted)) if trusted else ""
    except OSError as error:
        raise RunError(f"Cannot read {error.filename} ({error.strerror}); configure this SuperLink first.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} names no connection to this SuperLink ({error}); configure it again.") from error
    return {
        "flower_version": cli.profile.version,
        "address": here,
        "tls": bool(trusted),
        "certificate": certificate,
        "in_app": in_app,
        "profile": connection_table(
            address or here, (certificates or trusted) if trusted else None, in_app, name, default=False
        ),
    }


def _certificate(path: Path) -> str:
    """The certificates in a file and nothing else of it; ValueError where there are none.

    Who names it is the account of apps, which owns the settings: root must not be made to show other files.
    """
    found = _CERTIFICATE.findall(path.read_text(encoding="utf-8"))
    if not found:
        raise ValueError(f"{path} holds no certificate")
    return "".join(f"{one}\n" for one in found)


def _below(places: Places, path: str) -> Path:
    """A path of the machine below the root that stands for it, unless it names that root already."""
    inner = places.root / path.lstrip("/")
    return inner if inner.exists() else Path(path)
