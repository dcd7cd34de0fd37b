# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of Flower on demand: a process whose environment names one shows it once, in the code that has it."""

from __future__ import annotations

#: Environment variable: name of the fault. LANE_FAULT_FILE: a file that is made when it has happened, so once only.
VARIABLE = "LANE_FAULT"
FILE = "LANE_FAULT_FILE"

_MODULE = '''\
import importlib.abc
import os
import sys


def _first():
    try:
        os.close(os.open(os.environ["LANE_FAULT_FILE"], os.O_CREAT | os.O_EXCL))
        return True
    except FileExistsError:
        return False


def _late_upload(module):
    """SuperLink: the first part of a message that a node asks for is announced and not uploaded yet."""
    real = module.pull_object

    class Late:
        def __init__(self, store):
            self._store = store

        def get(self, object_id):
            content = self._store.get(object_id)
            return b"" if content and _first() else content

        def __getattr__(self, name):
            return getattr(self._store, name)

    module.pull_object = lambda request, state, store: real(request, state, Late(store))


def _failed_pull(module):
    """SuperNode: the first pull of a message's parts fails."""
    real = module.pull_objects

    def failing(*args, **kwargs):
        if _first():
            raise ValueError("the connection broke (injected)")
        return real(*args, **kwargs)

    module.pull_objects = failing


def _ended_pull(module):
    """SuperNode: the run of the first message has ended, as it hears, when it has got all parts of it.

    Here that run goes on, and up to 1.32 a ClientApp that asks for its message gets just one, and the others of its run
    are lost: the next may come only when the first is being worked on.
    """
    real = module._pull_and_store_message

    def pull(*args, confirm_message_received, **kwargs):
        def confirm(*message):
            if _first():
                raise module.RunNotRunningException
            return confirm_message_received(*message)

        return real(*args, confirm_message_received=confirm, **kwargs)

    module._pull_and_store_message = pull


def _half_sent(module):
    """SuperNode: it dies when its first answer is announced and none of it is sent."""
    real = module.push_object_contents_from_iterable

    def dying(*args, **kwargs):
        if _first():
            os._exit(1)
        return real(*args, **kwargs)

    module.push_object_contents_from_iterable = dying


_FAULTS = {
    "ended-pull": ("flwr.supernode.start_client_internal", _ended_pull),
    "half-sent": ("flwr.supernode.start_client_internal", _half_sent),
    "late-upload": ("flwr.server.superlink.fleet.message_handler.message_handler", _late_upload),
    "failed-pull": ("flwr.supernode.start_client_internal", _failed_pull),
}


class _Loader(importlib.abc.Loader):
    def __init__(self, real, change):
        self._real, self._change = real, change

    def create_module(self, spec):
        return self._real.create_module(spec)

    def exec_module(self, module):
        self._real.exec_module(module)
        self._change(module)


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, name, change):
        self._name, self._change = name, change

    def find_spec(self, fullname, path=None, target=None):
        if fullname != self._name:
            return None
        # Those that come later, because others ask each other too.
        for finder in sys.meta_path[sys.meta_path.index(self) + 1:]:
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                spec.loader = _Loader(spec.loader, self._change)
                return spec


if os.environ.get("LANE_FAULT"):
    sys.meta_path.insert(0, _Finder(*_FAULTS[os.environ["LANE_FAULT"]]))
'''

#: Files below site-packages.
INSTALLED = {"lane_fault.py": _MODULE, "lane_fault.pth": "import lane_fault\n"}
