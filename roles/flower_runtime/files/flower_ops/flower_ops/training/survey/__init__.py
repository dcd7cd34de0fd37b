# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nodes have, asked once before training, and the plan that they all follow: same data, same model.

A ServerApp knows neither what a node has installed nor what lies in its data folder. A node with data of its own beside
one that fell back to a bundled data set would be averaged without a word. So an app may ask every node once
(`node.answer`), make a plan of the answers (`server.agree`), and each message tells nodes the plan (`plan.read`).

    server   the grid of nodes that fit, the plan and where it is kept, a last look at the final model
    source   which source of data all nodes train on
    node     for ClientApps: this node's share of the data, its seed, its answer
    plan     what travels
"""

from __future__ import annotations
