# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where things are on a VM. Every path can sit below another root, so that a whole node fits into a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Paths:
    """Folders and files of a node. `at()` gives the real place; arguments of services use the plain path."""

    root: Path = Path("/")

    home = "/opt/flower"
    config = "/opt/flower/config"
    certs = "/opt/flower/certs"
    venv = "/opt/flower/venv"
    cli = "/opt/flower/cli"
    checkpoints = "/opt/flower/checkpoints"
    #: What was asked of the supervisor, one folder per training.
    trainings = "/opt/flower/trainings"
    #: Apps of the use cases, one folder each.
    use_cases = "/opt/flower/use-cases"
    private = "/etc/flower-ops"
    ca_key = "/etc/flower-ops/ca.key"
    members = "/etc/flower-ops/members.json"
    federation = "/etc/flower-ops/federation.json"
    node_key = "/opt/flower/certs/supernode.key"
    node_pub = "/opt/flower/certs/supernode.pub"
    overrides = "/etc/flower-ops/overrides.json"
    known = "/etc/flower-ops/known.json"
    #: Public key that the SuperLink refuses although nobody called it retired.
    refused = "/etc/flower-ops/refused.pub"
    lock = "/etc/flower-ops/agent.lock"
    frameworks = "/opt/flower/frameworks"
    current_framework = "/opt/flower/current-framework"
    one_env = "/run/one-context/one_env"
    #: Gone after a reboot: the first run since then finds it missing.
    booted = "/run/flower-ops/booted"
    units = "/etc/systemd/system"

    def at(self, path: str) -> Path:
        """The place of an absolute path of the node below the root."""
        return self.root / path.lstrip("/")

    def applied(self, role: str) -> str:
        """Record of the inputs with which the service of a role was last started."""
        return f"{self.private}/{role}.applied"
