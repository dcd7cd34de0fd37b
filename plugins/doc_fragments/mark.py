# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Option of the ownership mark."""

from __future__ import annotations


class ModuleDocFragment:
    """Fragment opennebula.flower.mark."""

    DOCUMENTATION = r"""
options:
  mark:
    description:
      - Name of the federation that owns the object. New objects carry it as an ownership mark.
      - If it is given, an existing object without that very mark is never changed or deleted; the task fails instead.
    type: str
"""
