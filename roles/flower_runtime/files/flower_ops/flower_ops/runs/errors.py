# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a run, in one sentence for a person."""

from __future__ import annotations


class RunError(Exception):
    """A run cannot be submitted, found or followed."""


class NoRecord(RunError):
    """Nothing was written of a run."""
