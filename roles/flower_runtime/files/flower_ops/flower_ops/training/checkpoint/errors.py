# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be wrong with checkpoints."""

from __future__ import annotations


class CheckpointError(Exception):
    """Checkpoints cannot be written or used. The text is one sentence: what, where, what to do."""


class UnreadableError(Exception):
    """One file holds no whole checkpoint. The text says why, to follow the file's name: "is cut short"."""
