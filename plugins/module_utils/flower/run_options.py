# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of flower_run: its module and its action plugin must agree on them, and so must their combinations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

OPTIONS: dict[str, dict[str, Any]] = {
    "app": {"type": "path"},
    "state": {"type": "str", "choices": ["finished", "started", "stopped", "resumed"], "default": "finished"},
    "name": {"type": "str", "aliases": ["training"]},
    "run_id": {"type": "str"},
    "supervised": {"type": "bool"},
    "run_config": {"type": "dict", "default": {}},
    "wait": {"type": "bool", "default": True},
    "timeout": {"type": "int", "default": 3600},
    "stop_on_timeout": {"type": "bool", "default": True},
    "poll_interval": {"type": "int", "default": 20},
    "fetch_to": {"type": "path"},
    "flower_home": {"type": "path", "default": "/opt/flower"},
}


def fault(options: Mapping[str, Any]) -> str:
    """What does not fit together, all of it in one sentence; empty when everything does."""
    state, app = options["state"], options["app"]
    named = options["name"] or options["run_id"]
    found = []
    if state == "started" and not app:
        found.append("state started needs app")
    if state == "finished" and not app and not named:
        found.append("state finished needs app to train it, or name or run_id to wait for what runs already")
    if state in ("stopped", "resumed") and not named:
        found.append(f"state {state} needs name or run_id")
    if state in ("stopped", "resumed") and app:
        found.append(f"app has no place with state {state}, which is about what was handed over before")
    if options["name"] and options["run_id"]:
        found.append("name and run_id exclude each other")
    if app and options["run_id"]:
        found.append("run_id names a run that exists, and app asks for a new one")
    if options["run_config"] and not app and state != "resumed":
        found.append("run_config needs app, or state resumed")
    return "; ".join(found)
