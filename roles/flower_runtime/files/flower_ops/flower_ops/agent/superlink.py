# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps that make this VM the SuperLink of a federation."""

from __future__ import annotations

import base64
import json

from flower_ops.agent import use_case
from flower_ops.agent.serving import reachable, trouble
from flower_ops.firewall import firewall
from flower_ops.flower_cli.flwr_cli import connection_files
from flower_ops.machine.errors import NodeError, OneGateError
from flower_ops.machine.patience import WaitedInVainError, patiently
from flower_ops.node import fleet_gate, keeper_unit
from flower_ops.node.node import Node, arguments, env_file
from flower_ops.pki import certificates as certs
from flower_ops.pki.authority import CA_FILE

UNIT = "flower-superlink.service"
REGISTRAR = "flower-registrar.service"
_ENV = "/opt/flower/config/superlink.env"


def folders(node: Node) -> None:
    """Folders that the service and its command line need."""
    node.files.folder(node.paths.private, 0o700, "root:root")
    node.files.folder(node.paths.config, 0o750, "root:flower")
    for name in ("certs", "state", "checkpoints", "apps", "runs", "cli"):
        node.files.folder(f"{node.paths.home}/{name}", 0o700, "flower:flower")
    node.files.folder(node.paths.trainings, 0o750, "root:flower")


def _auth(node: Node) -> bool:
    return node.is_on("TLS_ENABLED") and node.is_on("SUPERNODE_AUTH")


def service_settings(node: Node) -> None:
    """Arguments of flower-superlink, and what the flwr command on this VM needs to reach it."""
    secure = node.is_on("TLS_ENABLED")
    args = node.profile.superlink(
        fleet=node.value("FLEET_API_ADDRESS"),
        control=node.value("CONTROL_API_ADDRESS"),
        database=f"{node.paths.home}/{node.value('DATABASE')}",
        certs=node.paths.certs if secure else None,
        auth=_auth(node),
        isolation=node.value("ISOLATION"),
    )
    settings = {"FLOWER_ARGS": arguments(args), "FLWR_LOG_LEVEL": node.value("LOG_LEVEL")}
    settings |= node.profile.superlink_environment()
    node.files.write(_ENV, env_file(settings), 0o640, "root:flower")
    address = reachable(node.value("CONTROL_API_ADDRESS"), "127.0.0.1")
    for name, content in connection_files(node.profile, address, CA_FILE if secure else None).items():
        node.files.folder(f"{node.paths.cli}/{name}".rpartition("/")[0], 0o700, "flower:flower")
        node.files.write(f"{node.paths.cli}/{name}", content, 0o600, "flower:flower")


def federation_settings(node: Node) -> None:
    """What the registrar has to know. The number of partitions is fixed by the first run that knows it."""
    old = json.loads(node.files.read(node.paths.federation) or b"{}")
    count = int(node.value("NUM_PARTITIONS")) or old.get("num_partitions") or _planned(node)
    taken = [
        member["partition_id"]
        for member in json.loads(node.files.read(node.paths.members) or b"{}").get("members", [])
        if member.get("partition_id") is not None
    ]
    if taken and count <= max(taken):
        raise NodeError(
            f"ONEAPP_FL_NUM_PARTITIONS is {count}, but partition {max(taken)} is in use; keep it above that or remove "
            "the node that holds it."
        )
    settings = {"auth": _auth(node), "num_partitions": count}
    node.files.write(node.paths.federation, json.dumps(settings).encode() + b"\n", 0o600, "root:root")
    node.facts["num_partitions"] = count


def _planned(node: Node) -> int:
    if node.gate is None:
        return 0
    gate = node.gate
    try:
        return patiently(lambda: (gate.planned_nodes(), ""), node.sleep, node.clock, node.say, once=node.check)
    except OneGateError:
        # A single VM is in no service: it has no plan, and nodes are added by hand.
        return 0
    except WaitedInVainError as error:
        # Without a number of partitions no node would be admitted.
        raise NodeError(f"{error}. Set ONEAPP_FL_NUM_PARTITIONS, or check OneGate.", "onegate_failed") from error


def service(node: Node) -> None:
    """Run flower-superlink with exactly these settings."""
    node.start(UNIT, [_ENV, *certs.SERVICE_FILES])


def serving(node: Node) -> None:
    """Wait until Fleet and Control API answer (verified against our own CA)."""
    if not node.settled or not node.systemd.available:
        return

    def probe() -> str:
        reason = trouble(node.values, node.profile, node.paths)
        return reason or ("" if node.systemd.state(UNIT).active else f"{UNIT} is not running")

    try:
        node.wait(f"The SuperLink is not serving after {node.timeout:.0f} s", probe, "health_check_timeout")
    except NodeError as error:
        raise NodeError(str(error), error.code, node.systemd.journal(UNIT)) from error


def host_firewall(node: Node) -> None:
    """Close the VM but for what its role needs, before anything listens."""
    firewall.apply(node)


def gate_settings(node: Node) -> None:
    """Where one port serves everything: what the gate in front of it lets through."""
    fleet_gate.settings(node)


def gate_service(node: Node) -> None:
    """Run the gate, where this version of Flower needs one."""
    fleet_gate.service(node)


def registrar(node: Node) -> None:
    """Admit the SuperNodes of the own service, where OneGate tells of them."""
    if node.gate is not None:
        node.start(REGISTRAR, [])


def announce(node: Node) -> None:
    """Tell SuperNodes and operator where the SuperLink is, then READY."""
    host = node.addresses()[0] if node.addresses() else "127.0.0.1"
    endpoint = reachable(node.value("FLEET_API_ADDRESS"), host)
    node.facts.update(endpoint=endpoint, version=node.profile.version)
    if not node.systemd.available:
        return
    wanted = {
        # OneGate cannot carry the brackets of an IPv6 address; the port is what follows the last colon.
        "FL_ENDPOINT": endpoint.replace("[", "").replace("]", ""),
        "FL_VERSION": node.profile.version,
        "FL_ROLE": "superlink",
        "FL_TLS": "YES" if node.is_on("TLS_ENABLED") else "NO",
    }
    if node.facts.get("ca_cert"):
        wanted["FL_CA_CERT"] = base64.b64encode(certs.published(node.files)).decode()
    node.publish({**wanted, "FL_READY": "YES"})
    node.publish_ready()


#: What a VM needs to be introduced by hand.
IDENTITY = (folders, certs.certificates)
STEPS = (
    *IDENTITY,
    service_settings,
    gate_settings,
    federation_settings,
    host_firewall,
    service,
    gate_service,
    serving,
    registrar,
    use_case.trainings,
    use_case.supervisor,
    keeper_unit.keeper,
    announce,
)
