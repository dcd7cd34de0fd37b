# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put the collection, the sandbox cloud and the node package on the import path of every test."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

COLLECTION = Path(__file__).resolve().parents[1]

for part in ("roles/sandbox/files", "roles/flower_runtime/files/flower_ops"):
    sys.path.insert(0, str(COLLECTION / part))


def _link_collection() -> None:
    """Let `ansible_collections.opennebula.flower` resolve to this checkout, wherever it lies."""
    if COLLECTION.parts[-3:-1] == ("ansible_collections", "opennebula"):
        root = COLLECTION.parents[2]
    else:
        root = COLLECTION / ".cache" / "collections"
        namespace = root / "ansible_collections" / "opennebula"
        namespace.mkdir(parents=True, exist_ok=True)
        link = namespace / "flower"
        if not link.is_symlink():
            link.symlink_to(COLLECTION, target_is_directory=True)
    sys.path.insert(0, str(root))


_link_collection()


@pytest.fixture(autouse=True)
def _modules_run_as_on_a_host(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Modules that run in the tests' own process keep their warnings to themselves, one by one.

    Once anything has imported the controller's part of Ansible, as tests of filters do, warnings would be printed
    instead of returned.
    """
    internal = sys.modules.get("ansible.module_utils._internal")
    if internal is not None:
        monkeypatch.setattr(internal, "is_controller", False, raising=False)
    yield
    warnings = sys.modules.get("ansible.module_utils.common.warnings")
    for name in ("_global_warnings", "_global_deprecations"):
        # A list or a dictionary, depending on the release of ansible-core.
        kept = getattr(warnings, name, None)
        if kept is not None:
            kept.clear()
