# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Node side of the collection: configures, watches and drives Flower services inside a virtual machine."""

from __future__ import annotations

__version__ = "0.1.0"
