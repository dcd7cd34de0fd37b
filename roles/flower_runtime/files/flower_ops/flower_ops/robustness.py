# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many nodes robust strategies need: what the agent lets through, the training must not refuse later."""

from __future__ import annotations


def least_nodes(strategy: str, bad: int) -> tuple[int, str]:
    """How many answers a strategy needs so that `bad` of them cannot steer it, and the rule; 0 for those without one.

    Krum: 2f + 3 (Blanchard et al. 2017), with f = 0 any number. Bulyan: 4f + 3 (El Mhamdi et al. 2018), with f = 0 too,
    since Flower's class aggregates nothing below that.
    """
    if strategy == "Bulyan":
        return 4 * bad + 3, "4f + 3"
    return (2 * bad + 3, "2f + 3") if strategy in ("Krum", "MultiKrum") and bad else (0, "")
