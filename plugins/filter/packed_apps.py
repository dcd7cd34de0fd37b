# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flower apps of the control machine as text that a task can carry: one transfer instead of one for each file."""

from __future__ import annotations

DOCUMENTATION = r"""
name: packed_apps
short_description: Flower apps of a folder, packed
version_added: 0.1.0
author:
  - opennebula.flower contributors (@opennebula)
description:
  - Packs each app below a folder of the control machine as Flower itself would bundle it, for
    M(opennebula.flower.flower_apps).
  - The same files give the same text.
positional: _input
options:
  _input:
    description: A folder that holds folders of Flower apps.
    type: path
    required: true
"""

EXAMPLES = r"""
- name: Tell what putting all apps of a folder on a machine would change
  opennebula.flower.flower_apps:
    apps: "{{ (playbook_dir ~ '/apps') | opennebula.flower.packed_apps }}"
  check_mode: true
"""

RETURN = r"""
_value:
  description: A C(.tar.gz) in base64 by name of the app's folder.
  type: dict
"""

import base64
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.opennebula.flower.plugins.module_utils.flower.app_archive import AppError, pack


def packed_apps(folder: str) -> dict[str, str]:
    """See DOCUMENTATION."""
    place = Path(folder)
    if not place.is_dir():
        raise AnsibleFilterError(f"There is no folder {place} with apps on the control machine.")
    try:
        return {
            app.name: base64.b64encode(pack(app).archive).decode()
            for app in sorted(place.iterdir())
            if app.is_dir() and not app.name.startswith(".")
        }
    except AppError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Any]:
        """Filters by name."""
        return {"packed_apps": packed_apps}
