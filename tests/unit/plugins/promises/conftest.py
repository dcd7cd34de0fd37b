# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cloud of the proofs as a fixture."""

from __future__ import annotations

import sys
from pathlib import Path

# Both folders of proofs share it, and neither is a package.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "promises"))

from proof_cloud import cloud, no_faults_left

__all__ = ["cloud", "no_faults_left"]
