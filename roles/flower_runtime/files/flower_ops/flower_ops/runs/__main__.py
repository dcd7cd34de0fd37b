# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m flower_ops.runs` is `flower-ops run`."""

from __future__ import annotations

import sys

from flower_ops.runs.cli import main

if __name__ == "__main__":
    sys.exit(main())
