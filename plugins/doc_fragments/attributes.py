# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What modules support."""

from __future__ import annotations


class ModuleDocFragment:
    """Fragment opennebula.flower.attributes, with parts for changing and for info modules."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying target.
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in C(check_mode)) in diff mode.
  idempotent:
    description:
      - When run twice in a row outside check mode, with the same arguments, the second invocation indicates no change.
"""

    FULL = r"""
options: {}
attributes:
  check_mode:
    support: full
    details:
      - Nothing is written in check mode, and C(changed) is that of the real run.
  diff_mode:
    support: full
    details:
      - Secrets are masked.
  idempotent:
    support: full
"""

    INFO_MODULE = r"""
options: {}
attributes:
  check_mode:
    support: full
    details:
      - This module does not modify state.
  diff_mode:
    support: N/A
    details:
      - This module does not modify state.
  idempotent:
    support: full
    details:
      - This module does not modify state.
"""

    ACTIONGROUP = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/opennebula.flower.opennebula) in C(module_defaults) to set the defaults of this module.
    support: full
    membership:
      - opennebula.flower.opennebula
"""
