# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How values of context variables fit together."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping

from flower_ops import profiles, rules
from flower_ops.profiles import Ports
from flower_ops.robustness import least_nodes

_PKI = ("SSL_CA_CERTFILE", "SSL_CERTFILE", "SSL_KEYFILE")
_SIZES = ("MIN_FIT_CLIENTS", "MIN_EVALUATE_CLIENTS", "MIN_AVAILABLE_CLIENTS")
# In the specification's container, and on the VM.
_CHECKPOINTS = ("/app/checkpoints", "/opt/flower/checkpoints")
#: Frameworks with which a use case works. Fine-tuning runs on PyTorch, but the framework pytorch has no Transformers.
USE_CASES = {
    "image-classification": ("pytorch", "tensorflow"),
    "anomaly-detection": ("sklearn",),
    "llm-fine-tuning": ("llm",),
}
# Of these it matters whether they are given, not what they are.
_PRESENCE = (*_PKI, "SUPERLINK_ADDRESS")


def faults(role: str, values: Mapping[str, str], bad: Collection[str] = ()) -> dict[str, str]:
    """What is expected instead, by the full name of the variable at fault.

    `values` are merged values of the role by full name. `bad` are names whose values have a fault of their own: they
    are compared with nothing, and nothing more is said about them.
    """
    given = {}
    for name, value in values.items():
        short = name.removeprefix("ONEAPP_FL_")
        given[short] = "" if name in bad and short not in _PRESENCE else value
    found = {**_tls(role, given), **(_superlink(given) if role == "superlink" else _supernode(given))}
    if given["ROLE"] not in ("", role):
        found["ROLE"] = f"but this VM is being made a {role}; leave it empty, or say the same in both places"
    return {name: reason for short, reason in found.items() if (name := f"ONEAPP_FL_{short}") not in bad}


def _tls(role: str, given: Mapping[str, str]) -> dict[str, str]:
    tls = given["TLS_ENABLED"] != "NO"
    found = {}
    if given["SUPERNODE_AUTH"] == "YES" and not tls:
        found["SUPERNODE_AUTH"] = "needs ONEAPP_FL_TLS_ENABLED=YES; set it to NO as well"
    for name in _PKI if role == "superlink" else _PKI[:1]:
        if given[name] and not tls:
            found[name] = "needs ONEAPP_FL_TLS_ENABLED=YES; leave it empty for plain connections"
        elif role == "superlink" and tls and not given[name] and any(given[other] for other in _PKI):
            found[name] = "own certificates need " + ", ".join(f"ONEAPP_FL_{other}" for other in _PKI) + " together"
    if role == "supernode" and tls and given["SUPERLINK_ADDRESS"] and not given["SSL_CA_CERTFILE"]:
        found["SSL_CA_CERTFILE"] = "needed with ONEAPP_FL_SUPERLINK_ADDRESS and TLS: the SuperLink's CA"
    return found


def _superlink(given: Mapping[str, str]) -> dict[str, str]:
    found = _ports(given)
    if given["ALLOWED_NETWORKS"] and given["FIREWALL"] == "NO":
        found["ALLOWED_NETWORKS"] = "needs ONEAPP_FL_FIREWALL=YES; leave it empty without a firewall of ours"
    found.update(_strategy(given))
    available, partitions = given["MIN_AVAILABLE_CLIENTS"], given["NUM_PARTITIONS"]
    for name in _SIZES:
        if available and given[name] and int(given[name]) > int(available):
            found[name] = f"expected at most ONEAPP_FL_MIN_AVAILABLE_CLIENTS, which is {available}"
        # Two is the default of all of them: a federation of a single node has not asked for it.
        elif partitions and given[name] and 0 < int(partitions) < int(given[name]) != 2:
            found[name] = f"expected at most ONEAPP_FL_NUM_PARTITIONS, which is {partitions}"
    return found


def _strategy(given: Mapping[str, str]) -> dict[str, str]:
    """What a strategy asks of the number of nodes, and where checkpoints may lie."""
    found = {}
    strategy, bad, available = given["STRATEGY"], given["NUM_MALICIOUS"], given["MIN_AVAILABLE_CLIENTS"]
    if strategy and bad and available:
        needed, rule = least_nodes(strategy, int(bad))
        if int(available) < needed:
            name = "NUM_MALICIOUS" if int(bad) else "STRATEGY"
            found[name] = (
                f"{strategy} needs ONEAPP_FL_MIN_AVAILABLE_CLIENTS of at least {rule} = {needed}, which is {available}"
            )
    path = given["CHECKPOINT_PATH"]
    inner = next((path[len(start) :] for start in _CHECKPOINTS if f"{path}/".startswith(f"{start}/")), None)
    if path and (inner is None or {".", ".."} & set(inner.split("/"))):
        found["CHECKPOINT_PATH"] = f"expected {' or '.join(_CHECKPOINTS)}, or a folder below; mount another disk there"
    return found


def _ports(given: Mapping[str, str]) -> dict[str, str]:
    """Addresses that another socket of the SuperLink's VM has already."""
    found = {}
    names = ("FLEET_API_ADDRESS", "CONTROL_API_ADDRESS")
    addresses = {name: rules.split_address(given[name]) for name in names if given[name]}
    own = {Ports.serverappio: "apps", Ports.superlink_health: "its health"}
    for name, (_host, port) in addresses.items():
        if port in own:
            found[name] = f"expected another port: on {port} the SuperLink serves {own[port]}"
    if len(addresses) == 2:
        (fleet, port), (control, other) = addresses.values()
        if port == other and (fleet == control or _is_any(fleet) or _is_any(control)):
            found.setdefault("CONTROL_API_ADDRESS", f"expected another port: {port} is ONEAPP_FL_FLEET_API_ADDRESS's")
    version = given.get("ONEAPP_FLOWER_VERSION", "")
    if "CONTROL_API_ADDRESS" in addresses and version in profiles.known():
        host, _port = addresses["CONTROL_API_ADDRESS"]
        if profiles.profile(version).fleet_port_is_shared and not _is_loopback(host):
            found["CONTROL_API_ADDRESS"] = (
                f"expected an address on loopback, such as 127.0.0.1:9093: with Flower {version} this port also hands "
                "out tasks to whoever asks for them"
            )
    return found


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_any(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _supernode(given: Mapping[str, str]) -> dict[str, str]:
    found = _partition(rules.split_node_config(given["NODE_CONFIG"]))
    case, framework = given["USE_CASE"], given["FRAMEWORK"]
    if framework and case in USE_CASES and framework not in USE_CASES[case]:
        wanted = " or ".join(USE_CASES[case])
        found["USE_CASE"] = f"{case} needs ONEAPP_FL_FRAMEWORK={wanted}, which is {framework}"
    pause, patience = given["GRPC_KEEPALIVE_TIME"], given["GRPC_KEEPALIVE_TIMEOUT"]
    if pause and patience and int(patience) >= int(pause):
        found["GRPC_KEEPALIVE_TIMEOUT"] = f"expected less than ONEAPP_FL_GRPC_KEEPALIVE_TIME, which is {pause}"
    return found


def _partition(pairs: Mapping[str, str]) -> dict[str, str]:
    """partition-id and num-partitions of a node configuration."""
    known = {key: pairs[key] for key in ("partition-id", "num-partitions") if key in pairs}
    if not known:
        return {}
    number, count = known.get("partition-id", ""), known.get("num-partitions", "")
    fits = number.isdecimal() and count.isdecimal() and int(number) < int(count)
    reason = "expected partition-id and num-partitions together, whole numbers, the first less than the second"
    return {} if fits else {"NODE_CONFIG": reason}
