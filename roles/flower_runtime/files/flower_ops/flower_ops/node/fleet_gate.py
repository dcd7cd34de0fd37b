# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps for Flower versions whose one port serves everything: a gate in front of it, and that port on loopback only."""

from __future__ import annotations

from flower_ops.node.node import Node, arguments, env_file

UNIT = "flower-gate.service"
ENV = "/opt/flower/config/gate.env"


def settings(node: Node) -> None:
    """Arguments of flower-gate; none where this version needs no gate, and then the unit does not start."""
    if not node.profile.fleet_port_is_shared:
        if node.files.read(ENV) is not None:
            # Left behind by another version: without arguments the unit does not start at boot.
            node.files.write(ENV, env_file({"GATE_ARGS": ""}), 0o640, "root:flower")
        if node.systemd.available and not node.check and node.systemd.state(UNIT).active:
            # It holds the port on which this version's SuperLink listens itself.
            node.systemd.stop(UNIT)
        return
    control = node.value("CONTROL_API_ADDRESS")
    args = ["--version", node.profile.version, "--listen", node.value("FLEET_API_ADDRESS"), "--superlink", control]
    if node.is_on("TLS_ENABLED"):
        args += ["--certs", node.paths.certs]
    node.files.write(ENV, env_file({"GATE_ARGS": arguments(args)}), 0o640, "root:flower")


def service(node: Node) -> None:
    """Run flower-gate with exactly these settings."""
    if node.profile.fleet_port_is_shared:
        certificates = [f"{node.paths.certs}/{name}" for name in ("ca.crt", "server.pem", "server.key")]
        node.start(UNIT, [ENV, *certificates])
