# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checkpoints of the server: written so that a crash at any moment leaves the last whole one readable."""

from __future__ import annotations

from flower_ops.training.checkpoint.errors import CheckpointError
from flower_ops.training.checkpoint.model import Array, Checkpoint, StateValue
from flower_ops.training.checkpoint.store import Store

__all__ = ["Array", "Checkpoint", "CheckpointError", "StateValue", "Store"]
