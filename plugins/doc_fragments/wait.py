# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of waiting."""

from __future__ import annotations


class ModuleDocFragment:
    """Fragment opennebula.flower.wait; the default of wait_timeout is documented by each module."""

    DOCUMENTATION = r"""
options:
  wait:
    description:
      - Whether to wait until the wanted state is reached. A failure state ends the wait at once with the reason that
        the cloud gives.
    type: bool
    default: true
  wait_interval:
    description:
      - Longest pause between two looks, in seconds. The first looks follow each other faster.
    type: float
    default: 2.0
"""
