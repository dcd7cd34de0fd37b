# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters of the info modules."""

from __future__ import annotations


class ModuleDocFragment:
    """Fragment opennebula.flower.info; the part OWNED is for objects that have an owner."""

    DOCUMENTATION = r"""
options:
  ids:
    description:
      - Ids of the objects to return. Those that do not exist are left out.
    type: list
    elements: int
    aliases: [id]
  name:
    description:
      - Name of the objects to return; C(*), C(?) and C([...]) match as in a shell.
    type: str
"""

    OWNED = r"""
options:
  owner:
    description:
      - Return only objects of this user.
    type: str
  labels:
    description:
      - Return only objects with all of these labels.
    type: list
    elements: str
    default: []
  mark:
    description:
      - Return only objects with the ownership mark of this federation.
    type: str
"""
