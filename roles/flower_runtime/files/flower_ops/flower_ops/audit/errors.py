# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong with an audit."""

from __future__ import annotations


class AuditError(Exception):
    """A step of the audit cannot be done. The text is one sentence: what, where, what to do."""
