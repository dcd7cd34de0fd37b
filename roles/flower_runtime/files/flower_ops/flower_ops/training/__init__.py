# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Training inside Flower apps: `train.train` for a ServerApp, `client` for a ClientApp.

The only part of this package that needs flwr and NumPy. It is imported by apps, in the processes that Flower starts
for them, and by nothing else of the package. Nothing is imported here, so that an app pays for what it uses only.
"""

from __future__ import annotations
