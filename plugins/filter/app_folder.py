# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Flower app as people name it: a folder, a demo, a use case."""

from __future__ import annotations

DOCUMENTATION = r"""
name: app_folder
short_description: Folder of a Flower app on the control machine
version_added: 0.1.0
author:
  - opennebula.flower contributors (@opennebula)
description:
  - Finds the folder of an app. What is a folder with a C(pyproject.toml) is that folder, else a single word is the name
    of a demo or of a use case of this collection, else any folder of that name.
  - What such a folder lacks to be an app is for M(opennebula.flower.flower_run) to say.
  - It is an error if there is none of these.
positional: _input, _here
options:
  _input:
    description: A folder, or the name of a demo or use case.
    type: str
    required: true
  _here:
    description: Folder that a relative path begins at.
    type: path
    required: true
"""

EXAMPLES = r"""
- name: Show where a use case of the collection lies
  ansible.builtin.debug:
    msg: "{{ 'anomaly-detection' | opennebula.flower.app_folder(playbook_dir) }}"
"""

RETURN = r"""
_value:
  description: The folder.
  type: str
  sample: /home/me/apps/digits
"""

import os
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError

_COLLECTION = Path(__file__).resolve().parents[2]
#: What is shipped with the collection, in the order in which a name is looked up.
_SHIPPED = (("demo", _COLLECTION / "demos"), ("use case", _COLLECTION / "roles/superlink/files/use_cases"))


def app_folder(app: Any, here: Any) -> str:
    """See DOCUMENTATION."""
    if not isinstance(app, str) or not app.strip():
        raise AnsibleFilterError("No app is named; give the folder of a Flower app, or the name of a demo or use case.")
    folder = Path(str(here), os.path.expanduser(app))
    if _is_app(folder):
        return str(folder)
    if "/" not in app:
        for _kind, place in _SHIPPED:
            if app not in (".", "..") and _is_app(place / app):
                return str(place / app)
    if folder.is_dir():
        # What a folder lacks, flower_run says, and without the words that Ansible puts before the errors of filters.
        return str(folder)
    known = "; ".join(f"{kind}s: {', '.join(_names(place))}" for kind, place in _SHIPPED if _names(place))
    raise AnsibleFilterError(
        f"There is no app {app}: {folder} is no folder on the control machine, and no demo or use case has that name "
        f"({known})."
    )


def _is_app(folder: Path) -> bool:
    return (folder / "pyproject.toml").is_file()


def _names(place: Path) -> list[str]:
    return sorted(one.name for one in place.iterdir() if _is_app(one)) if place.is_dir() else []


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, Any]:
        """Name to function."""
        return {"app_folder": app_folder}
