# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For ClientApps: `messages` reads a task and builds its answer, `proximal` is FedProx's term, `describe` says what
this node is. NumPy only; PyTorch and TensorFlow meet it as objects that can be subtracted and summed.
"""

from __future__ import annotations
