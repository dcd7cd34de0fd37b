# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ends a training run, each with the sentence that a person reads in the run's record."""

from __future__ import annotations


class TrainingError(RuntimeError):
    """The run cannot go on, and the message says why and what to do."""


class NodesMissing(TrainingError):
    """Too few nodes were connected for too long; with them back the run can go on from its last checkpoint."""


class NothingLearned(TrainingError):
    """Rounds were run and no node returned a usable model in any of them."""
