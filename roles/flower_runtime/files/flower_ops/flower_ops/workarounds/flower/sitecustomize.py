# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For Flower's services: two faults that lose messages, cured in the functions of Flower that have them.

The SuperLink of 1.25: a SuperNode may ask for a part of a message that the ServerApp has announced and not uploaded
yet. The SuperLink means to answer "not there yet", but on the way it counts the traffic, and counting nothing is an
error there. The SuperNode takes that error for the end of the message, which nobody sends again, and the round waits
for it until its timeout. Here counting nothing counts nothing.

The SuperNode of 1.25 to 1.41: a run may end while a message of it is received, as when its SuperLink is killed then.
The SuperNode says that it ignores the message, but its ClientApp may have it already, and answers. After each later
message the SuperNode waits for an answer, takes that of the dead run for it, and is late by one message from then on.
Here it sends on until the message that it has received is answered.

Python imports this file by its name when a process starts with its folder on the import path; it waits for Flower's
modules and never loads one itself. The apps that this process starts do not get the folder.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import logging
import os
import sys
from collections.abc import Callable, MutableMapping, Sequence
from types import ModuleType
from typing import Any

_LINKSTATE = "flwr.server.superlink.linkstate"


def without_zero(store_traffic: Any) -> Any:
    """`store_traffic(run_id, *, bytes_sent, bytes_recv)` that leaves out what is no traffic."""

    @functools.wraps(store_traffic)
    def counted(state: Any, run_id: int, *, bytes_sent: int, bytes_recv: int) -> None:
        if bytes_sent or bytes_recv:
            store_traffic(state, run_id, bytes_sent=bytes_sent, bytes_recv=bytes_recv)

    return counted


def count_traffic(name: str) -> Callable[[ModuleType], None]:
    """The cure of the SuperLink for a class of link states."""

    def change(module: ModuleType) -> None:
        found = getattr(module, name, None)
        if found is not None and hasattr(found, "store_traffic"):
            found.store_traffic = without_zero(found.store_traffic)

    return change


def messages(state: Any) -> set[str]:
    """Ids of the messages that a SuperNode holds and has not answered."""
    held = dict(getattr(state, "msg_store", {}))
    return {number for number, entry in held.items() if not entry.message.metadata.reply_to_message_id}


def answer_what_came(module: ModuleType) -> None:
    """The cure of the SuperNode: its loop receives a message, and sends until just that one is answered."""
    pull = getattr(module, "_pull_and_store_message", None)
    push = getattr(module, "_push_messages", None)
    if pull is None or push is None:
        return
    received: set[str] = set()

    @functools.wraps(pull)
    def pulled(*args: Any, **kwargs: Any) -> Any:
        before = messages(kwargs.get("state"))
        run_id = pull(*args, **kwargs)
        received.clear()
        received.update(messages(kwargs.get("state")) - before)
        return run_id

    @functools.wraps(push)
    def pushed(*args: Any, **kwargs: Any) -> None:
        push(*args, **kwargs)
        # What is sent is forgotten, with the message that it answers.
        while received & messages(kwargs.get("state")):
            # The keeper looks for a message that was received, and since then nothing sent, with no app at work.
            logging.getLogger("flwr").info("Receiving: a message is still to be answered")
            push(*args, **kwargs)

    module._pull_and_store_message = pulled  # type: ignore[attr-defined]
    module._push_messages = pushed  # type: ignore[attr-defined]


#: What is changed in which module once it is loaded.
CHANGES: dict[str, Callable[[ModuleType], None]] = {
    f"{_LINKSTATE}.in_memory_linkstate": count_traffic("InMemoryLinkState"),
    f"{_LINKSTATE}.sqlite_linkstate": count_traffic("SqliteLinkState"),
    "flwr.supernode.start_client_internal": answer_what_came,
}


class _Loader(importlib.abc.Loader):
    """Loads a module as its own loader does, then changes it."""

    def __init__(self, real: importlib.abc.Loader, change: Callable[[ModuleType], None]) -> None:
        self._real = real
        self._change = change

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        """As the module's own loader does."""
        return self._real.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """As the module's own loader does, and the change."""
        self._real.exec_module(module)
        self._change(module)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the modules to change by the finders that come after it."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """See importlib."""
        if fullname not in CHANGES:
            return None
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            spec = finder.find_spec(fullname, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = _Loader(spec.loader, CHANGES[fullname])
                return spec
        return None


def leave_import_path(environment: MutableMapping[str, str], folder: str) -> None:
    """Take a folder out of what processes that are started from now on import from."""
    others = [one for one in environment.get("PYTHONPATH", "").split(os.pathsep) if one and one != folder]
    if others:
        environment["PYTHONPATH"] = os.pathsep.join(others)
    else:
        environment.pop("PYTHONPATH", None)


sys.meta_path.insert(0, _Finder())
leave_import_path(os.environ, os.path.dirname(__file__))
