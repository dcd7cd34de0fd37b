# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A reverse proxy that lets SuperNodes reach the fleet routes of a SuperLink, and nothing else of it.

Only for Flower versions whose one port also serves the Control and runtime API. It runs on what such a version
brings: uvicorn and httpx.
"""

from __future__ import annotations
