# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters of the info modules."""

from __future__ import annotations


class ModuleDocFragment:
    """Fragment opennebula.flower.info; OWNED is for objects that have an owner, STATES for those that have a state."""

    DOCUMENTATION = r"""
options:
  ids:
    description:
      - Ids of the objects to return. Those that do not exist are left out.
      - One id costs one call, and several are read together.
    type: list
    elements: int
    aliases: [id]
  name:
    description:
      - Name of the objects to return; C(*), C(?) and C([...]) match as in a shell. Only this whole name is found,
        unless it has such a character.
    type: str
"""

    OWNED = r"""
options:
  owner:
    description:
      - Return only objects of this user, given by name or id.
    type: str
  group:
    description:
      - Return only objects of this group, given by name or id.
    type: str
  labels:
    description:
      - Return only objects with all of these labels. A label also stands for those below it; V(web) finds C(web/front).
    type: list
    elements: str
    default: []
  mark:
    description:
      - Return only objects with the ownership mark of this federation.
    type: str
"""

    STATES = r"""
options:
  states:
    description:
      - Return only objects in one of these states, named as in the result, whatever their case. A state that no such
        object can have is refused.
    type: list
    elements: str
    default: []
    aliases: [state]
"""
