# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The core of the sandbox cloud: an OpenNebula daemon as clients see it."""

from __future__ import annotations

from . import (
    documents,
    image_allocate,
    image_methods,
    infra,
    sched_actions,
    users,
    vm_actions,
    vm_devices,
    vms,
    vmtemplates,
    vnets,
)
from .core import Oned, Options
from .errors import OnedError, RpcFault
from .records import Session, User

__all__ = ["Oned", "OnedError", "Options", "RpcFault", "Session", "User"]
# Importing these modules fills the table of methods.
METHOD_MODULES = (
    documents, image_allocate, image_methods, infra, sched_actions, users, vm_actions, vm_devices, vmtemplates, vms,
    vnets,
)  # fmt: skip
