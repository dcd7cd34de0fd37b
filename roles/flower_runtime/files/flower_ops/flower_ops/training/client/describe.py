# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this node is, for runs that choose nodes by framework or version (see ../roster.py)."""

from __future__ import annotations

from importlib import metadata, util

from flwr.app import ConfigRecord, Context, Message, RecordDict

# Framework as the collection calls it: the module that it is imported by.
MODULES = {"pytorch": "torch", "tensorflow": "tensorflow", "sklearn": "sklearn"}


def description(context: Context) -> dict[str, str]:
    """flower-version, and frameworks, separated by commas: `framework` of the node's configuration, else what is
    installed for this process. Nothing is imported for it.
    """
    told = str(context.node_config.get("framework", ""))
    found = [name for name, module in MODULES.items() if util.find_spec(module) is not None]
    return {"frameworks": told or ",".join(found), "flower-version": metadata.version("flwr")}


def answer(message: Message, context: Context) -> Message:
    """The answer to a `query.describe` message."""
    return Message(RecordDict({"description": ConfigRecord(dict(description(context)))}), reply_to=message)
