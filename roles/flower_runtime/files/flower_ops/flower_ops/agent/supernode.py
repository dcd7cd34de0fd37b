# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps that make this VM a SuperNode of a federation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from flower_ops import rules
from flower_ops.agent import discovery, key_rotation
from flower_ops.firewall import firewall
from flower_ops.machine import health, known
from flower_ops.machine.errors import NodeError
from flower_ops.node import keeper_unit
from flower_ops.node.node import Node, arguments, env_file
from flower_ops.pki import keys, trust

UNIT = "flower-supernode.service"
_ENV = "/opt/flower/config/supernode.env"
_CA = "/opt/flower/certs/ca.crt"
ADMISSION_LIMIT = 300.0
#: What every Flower version logs once the SuperLink has accepted the node.
ACCEPTED = "SuperNode ID: "
#: What one logs whose first connection failed for good (1.25 to 1.34). It should end then, but now and then it stays,
#: and systemd has nothing to restart.
ENDED = "RuntimeError: generator didn't yield"
#: Seconds for which a service has to stay after it was found healthy; longer where its log does not say so.
SETTLE, SETTLE_SILENT = 2.0, 20.0
#: Seconds after its start in which a process counts as new.
STARTING = 120.0


def folders(node: Node) -> None:
    """Folders that the service needs."""
    node.files.folder(node.paths.private, 0o700, "root:root")
    node.files.folder(node.paths.config, 0o750, "root:flower")
    for name in ("certs", "state", "data"):
        node.files.folder(f"{node.paths.home}/{name}", 0o700, "flower:flower")


def environment(node: Node) -> None:
    """The environment of the chosen framework: Flower and its libraries, never those of another framework."""
    name = node.value("FRAMEWORK")
    place = f"{node.paths.frameworks}/{name}"
    present = sorted(item.name for item in node.paths.at(node.paths.frameworks).glob("*") if item.is_dir())
    if name not in present:
        if node.check:
            node.warnings.append(f"The framework {name} is not installed yet")
            return
        raise NodeError(
            f"ONEAPP_FL_FRAMEWORK is {name}, but {place} does not exist on this VM (installed: "
            f"{', '.join(present) or 'none'}); take an image with it, or apply the role flower_runtime with it.",
            "framework_missing",
        )
    version = node.installed_version(place)
    if version != node.profile.version and not node.check:
        raise NodeError(
            f"The environment {place} holds Flower {version or 'of no version'}, but this federation runs "
            f"{node.profile.version}; apply the role flower_runtime with that version.",
            "version_mismatch",
        )
    # The unit starts what this link names, since systemd takes no variable in the path of a program.
    node.files.link(node.paths.current_framework, place)
    node.runtime = place


def identity(node: Node) -> None:
    """The key pair of this node: made here once, the private half never leaves."""
    if not (node.is_on("SUPERNODE_AUTH") and node.is_on("TLS_ENABLED")):
        return
    private, public = node.files.read(node.paths.node_key), node.files.read(node.paths.node_pub)
    # Reading a private key costs the import of cryptography; a pair that is complete is taken as it is.
    if private is not None and public is None:
        try:
            public = keys.public_of(private)
        except ValueError:
            private = None
    former = None
    if public is not None and _retired(node, public.decode()):
        former, private = private, None
    if private is None:
        if node.check:
            node.files.record(node.paths.node_key, "", "new key pair\n")
            return
        private, public = keys.new_key_pair()
        node.key_proof = _proof(former, public.decode())
    assert public is not None
    node.files.write(node.paths.node_key, private, 0o600, "flower:flower", secret=True)
    node.files.write(node.paths.node_pub, public, 0o644, "flower:flower")
    node.facts["node_pubkey"] = public.decode().strip()


def _proof(former: bytes | None, public: str) -> str:
    """What shows the registrar that the owner of the former key wants the new one; empty without such a key."""
    try:
        return keys.prove(former, public) if former is not None else ""
    except ValueError:
        return ""


def _retired(node: Node, public: str) -> bool:
    """Whether Flower will not take this key (again): the registrar said so, or the keeper saw it refused."""
    refused = (node.files.read(node.paths.refused) or b"").decode().strip()
    return public.strip() in (node.own_attributes().get("FL_RETIRED_KEY"), refused)


def introduce(node: Node) -> None:
    """Ask for admission: the registrar on the SuperLink acts on these attributes."""
    wanted = {"FL_ROLE": "supernode", "FL_VERSION": node.profile.version}
    if node.facts.get("node_pubkey"):
        if node.own_attributes().get("FL_NODE_PUBKEY", node.facts["node_pubkey"]) != node.facts["node_pubkey"]:
            # The id belongs to the former key; the new one has to be admitted before the service starts.
            wanted["FL_NODE_ID"] = known.NONE
        wanted["FL_NODE_PUBKEY"] = node.facts["node_pubkey"]
        # Without a new pair of this run: one whose replacement was cut off, or has long been done.
        proof = node.key_proof or key_rotation.proof(node.files)
        if proof:
            wanted[key_rotation.PROOF] = proof
    node.facts["version"] = node.profile.version
    if node.systemd.available:
        node.publish(wanted)


def superlink(node: Node) -> None:
    """Find the SuperLink and store whom to trust."""
    try:
        found = discovery.find(node)
    except NodeError as error:
        if not node.check:
            raise
        node.warnings.append(f"cannot be predicted further: {error}")
        return
    node.facts.update(endpoint=found.address, tls=found.ca is not None)
    node.known = known.Known(found.address, found.vm_id, known.digest(found.published))
    before = known.load(node.files)
    reborn = before is not None and bool(found.vm_id) and before.superlink_vm not in ("", found.vm_id)
    if reborn and node.own_attributes().get("FL_NODE_ID") and node.systemd.available:
        # Another SuperLink: what its predecessor said of our registration is void.
        node.publish({"FL_NODE_ID": known.NONE})
    if found.ca is not None:
        node.files.write(_CA, found.ca, 0o644, "flower:flower")
        node.facts["ca_cert"] = found.ca.decode()


def admission(node: Node) -> None:
    """Learn the own partition, and that the SuperLink knows our key."""
    own_config = node.value("NODE_CONFIG")
    if own_config:
        pairs = rules.split_node_config(own_config)
        for fact, key in (("partition_id", "partition-id"), ("num_partitions", "num-partitions")):
            if pairs.get(key, "").isdigit():
                node.facts[fact] = int(pairs[key])
    if node.gate is None or node.value("SUPERLINK_ADDRESS") or "endpoint" not in node.facts:
        # A SuperLink outside of our service has no way to answer through OneGate; its operator admits this node.
        node.facts["node_config"] = own_config
        return
    wanted = [] if own_config else ["FL_PARTITION_ID", "FL_NUM_PARTITIONS"]
    if node.facts.get("node_pubkey"):
        wanted.append("FL_NODE_ID")
    answer = node.own_attributes()

    def given(attributes: dict[str, str], name: str) -> bool:
        return attributes.get(name) not in (None, "", known.NONE)

    def complete(attributes: dict[str, str]) -> bool:
        return all(given(attributes, name) for name in wanted)

    if not node.check:

        def probe() -> str:
            seen = answer if complete(answer) else node.own_attributes(fresh=True)
            answer.update(seen)
            if node.facts.get("node_pubkey") and _retired(node, node.facts["node_pubkey"]):
                node.publish({"FL_ADMISSION_ERROR": "NONE"})
                identity(node)
                introduce(node)
                return "its key had to be replaced"
            if seen.get("FL_ADMISSION_ERROR", "NONE") != "NONE" and not complete(seen):
                raise NodeError(f"The SuperLink did not admit this node: {seen['FL_ADMISSION_ERROR']}", "not_admitted")
            missing = [name for name in wanted if not given(seen, name)]
            return f"{', '.join(missing)} did not come through OneGate" if missing else ""

        what = f"The registrar on the SuperLink did not admit this node within {ADMISSION_LIMIT:.0f} s"
        node.wait(what, probe, "not_admitted", ADMISSION_LIMIT)
    if "FL_NODE_ID" in wanted and given(answer, "FL_NODE_ID"):
        node.facts["node_id"] = answer["FL_NODE_ID"]
    if not own_config and answer.get("FL_PARTITION_ID"):
        number, count = answer["FL_PARTITION_ID"], answer.get("FL_NUM_PARTITIONS", "")
        # Every VM of the service may write these, not only the registrar.
        if not (number.isdecimal() and count.isdecimal()):
            raise NodeError(
                f"The partition that came through OneGate is no number: {number!r} of {count!r}.", "not_admitted"
            )
        node.facts["partition_id"] = int(number)
        node.facts["num_partitions"] = int(count)
        own_config = f"partition-id={int(number)} num-partitions={int(count)}"
    node.facts["node_config"] = own_config


def _import_path(node: Node) -> str:
    """Where the cure of SuperNodes lies, by the link that stays: a new runtime with the same cure changes nothing."""
    place = Path(node.profile.supernode_environment()["PYTHONPATH"]).resolve()
    runtime = node.paths.at(node.paths.venv).resolve()
    return f"{node.paths.venv}/{place.relative_to(runtime)}" if place.is_relative_to(runtime) else str(place)


def service_settings(node: Node) -> None:
    """Arguments of flower-supernode."""
    if "endpoint" not in node.facts:
        return
    args = node.profile.supernode(
        superlink=node.facts["endpoint"],
        ca=_CA if node.facts["tls"] else None,
        key=node.paths.node_key if node.is_on("SUPERNODE_AUTH") and node.facts["tls"] else None,
        max_retries=int(node.value("MAX_RETRIES")),
        max_wait_time=int(node.value("MAX_WAIT_TIME")),
        isolation=node.value("ISOLATION"),
    )
    settings = {
        "FLOWER_ARGS": arguments(args),
        "FLOWER_NODE_CONFIG": node.facts["node_config"],
        "FLWR_LOG_LEVEL": node.value("LOG_LEVEL"),
        "PYTHONPATH": _import_path(node),
    }
    node.files.write(_ENV, env_file(settings), 0o640, "root:flower")


def host_firewall(node: Node) -> None:
    """Close the VM; Flower needs no way in to a node."""
    firewall.apply(node)


def service(node: Node) -> None:
    """Run flower-supernode with exactly these settings, and see that it stays."""
    if "endpoint" not in node.facts:
        return
    cure = f"{_import_path(node)}/sitecustomize.py"
    started = node.start(UNIT, [_ENV, _CA, node.paths.node_key, cure], runtime=node.runtime)
    if not node.settled or not node.systemd.available:
        return
    port, endpoint = node.profile.ports.supernode_health, node.facts["endpoint"]
    fresh = started or node.systemd.age(node.systemd.state(UNIT).main_pid) < STARTING
    silent = node.value("LOG_LEVEL") not in ("DEBUG", "INFO")

    def probe() -> str:
        nonlocal silent, fresh
        state = node.systemd.state(UNIT)
        if not state.active:
            return f"{UNIT} is not running"
        # One that finds no SuperLink waits without a connection.
        if not health.has_child(state.main_pid) or not node.systemd.reaches(endpoint):
            if not node.check and node.systemd.logged(UNIT, ENDED):
                node.systemd.restart_later(UNIT)
                fresh = True
            return f"it has no connection to the SuperLink at {endpoint}"
        # One with the wrong key or certificate lives, and is connected, for some seconds before it ends.
        if fresh and not silent:
            accepted = node.systemd.logged(UNIT, ACCEPTED)
            silent = accepted is None
            if accepted is False:
                return f"the SuperLink at {endpoint} has not accepted it"
        return health.listens("127.0.0.1", port)

    def wait() -> int:
        node.wait(f"The SuperNode is not healthy after {node.timeout:.0f} s", probe, "health_check_timeout")
        return node.systemd.state(UNIT).main_pid

    try:
        first = wait()
        if fresh:
            node.sleep(SETTLE_SILENT if silent else SETTLE)
            if wait() != first:
                raise NodeError(f"{UNIT} keeps restarting.", "health_check_timeout")
    except NodeError as error:
        raise NodeError(str(error), error.code, node.systemd.journal(UNIT)) from error


def _has_gpu(node: Node) -> bool:
    """Whether the kernel drives an NVIDIA GPU; asking the driver's own tool would take seconds."""
    return all(node.paths.at(path).exists() for path in ("/proc/driver/nvidia/version", "/dev/nvidia0"))


def announce(node: Node) -> None:
    """Tell the operator that this node works, then READY."""
    if not node.systemd.available or "endpoint" not in node.facts:
        return
    trusted = trust.confirmation(node.files)
    confirmation = {trust.CONFIRMATION: trusted} if trusted else {}
    about = {"FL_FRAMEWORK": node.value("FRAMEWORK"), "FL_GPU_AVAILABLE": "YES" if _has_gpu(node) else "NO"}
    node.publish({**about, **confirmation, "FL_NODE_READY": "YES"})
    node.publish_ready()
    if not node.check:
        own = {} if node.value("NODE_CONFIG") else node.own_attributes()
        key = node.facts.get("node_pubkey", "")
        known.save(node.files, replace(node.known, partition=known.partition(own), public_key=key))
        if node.facts.get("node_id"):
            key_rotation.settle(node.files, key)


#: What a VM needs to be introduced by hand.
IDENTITY = (folders, identity)
STEPS = (
    folders,
    environment,
    identity,
    introduce,
    superlink,
    admission,
    service_settings,
    host_firewall,
    service,
    keeper_unit.keeper,
    announce,
)
