# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node's end of ../packing.py, as a mod of Flower's: the app inside, and other mods, see arrays as always.

app = ClientApp(mods=[parcels_mod])     the first of them, so that it is around all others
"""

from __future__ import annotations

from collections.abc import Callable

from flower_ops.training.packing import OFFER, changed, packed, unpacked
from flwr.app import Context, Message


def parcels_mod(message: Message, context: Context, call_next: Callable[[Message, Context], Message]) -> Message:
    """Open what came in parcels; answer in parcels where the ServerApp offers it.

    Raises ValueError for parcels that cannot be read, which is the node's answer then.
    """
    offers = False
    if message.has_content():
        for config in message.content.config_records.values():
            offers = bool(config.pop(OFFER, False)) or offers
        message.content = changed(message.content, unpacked)
    answer = call_next(message, context)
    if offers and answer.has_content():
        answer.content = changed(answer.content, packed)
    return answer
