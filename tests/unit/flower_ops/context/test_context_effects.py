# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A good value of every variable that has an effect shows it in what `flower-ops configure` writes into a tree."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from context_support import ROLES, TABLE, authority, configure, good, own_pki, tree
from cryptography import x509
from flower_ops.keeper.keeper_sight import NodeSight
from flower_ops.machine.paths import Paths
from flower_ops.machine.systemd import NoServices
from flower_ops.supervisor.asking import KEYS

#: Variables that OpenNebula itself or the playbooks carry out; see the tests of the filter context_template.
ELSEWHERE = {"TOKEN", "NETWORK", "SSH_PUBLIC_KEY", "START_SCRIPT_BASE64"}


@dataclass(frozen=True)
class Vm:
    """A VM after it was configured: its files, and what the command answered."""

    root: Path
    answer: Mapping[str, Any]

    def text(self, path: str) -> str:
        return (self.root / path.lstrip("/")).read_text(encoding="utf-8")

    def env(self, unit: str) -> dict[str, str]:
        """Variables of an EnvironmentFile as systemd reads them."""
        lines = self.text(f"/opt/flower/config/{unit}.env").splitlines()
        return {name: "".join(shlex.split(value)) for name, value in (line.split("=", 1) for line in lines)}

    def args(self, unit: str) -> list[str]:
        """Arguments of a service as systemd splits them."""
        return shlex.split(self.env(unit)["FLOWER_ARGS"])

    def value_of(self, unit: str, flag: str) -> str:
        words = self.args(unit)
        return words[words.index(flag) + 1]

    def names(self) -> set[str]:
        """Subject names of the server certificate."""
        cert = x509.load_pem_x509_certificate(self.text("/opt/flower/certs/server.pem").encode())
        found = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return {str(name.value) for name in found}


class Silent:
    """The journal of a service that has said nothing."""

    def read(self) -> list[str]:
        return []

    def close(self) -> None:
        """Nothing is open."""


def vm(root: Path, role: str, variables: Mapping[str, str], version: str = "1.34.0") -> Vm:
    """Configure a new tree; what is given has to be accepted."""
    code, answer, errors = configure(tree(root, version), role, variables)
    assert code == 0, (answer, errors)
    return Vm(root, answer)


def static(**more: str) -> dict[str, str]:
    """What a SuperNode needs that is in no service."""
    ca = base64.b64encode(authority()[1]).decode()
    return {"ONEAPP_FL_SUPERLINK_ADDRESS": "10.0.0.20:9092", "ONEAPP_FL_SSL_CA_CERTFILE": ca, **more}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the trees of this file lie."""
    return tmp_path_factory.mktemp("vms")


@pytest.fixture(scope="module")
def plain(folder: Path) -> dict[str, Vm]:
    """Both roles with defaults."""
    link = vm(folder / "plain-link", "superlink", {})
    return {"superlink": link, "supernode": vm(folder / "plain-node", "supernode", static())}


@pytest.fixture(scope="module")
def changed(folder: Path) -> dict[str, Vm]:
    """Both roles with every good value that needs no other one to be changed too."""
    apart = {f"ONEAPP_FL_{name}" for name in ("TLS_ENABLED", "SUPERNODE_AUTH", "FIREWALL", "ROLE")}
    apart |= {"ONEAPP_FLOWER_VERSION", *own_pki()}
    values = {name: good(name) for name, row in TABLE.items() if row.capability and name not in apart}
    node = {"ONEAPP_FL_SSL_CA_CERTFILE": static()["ONEAPP_FL_SSL_CA_CERTFILE"]}
    return {
        role: vm(folder / f"changed-{role}", role, values | (node if role == "supernode" else {})) for role in ROLES
    }


def test_log_level(plain: dict[str, Vm], changed: dict[str, Vm]) -> None:
    assert [changed[role].env(role)["FLWR_LOG_LEVEL"] for role in ROLES] == ["DEBUG", "DEBUG"]
    assert [plain[role].env(role)["FLWR_LOG_LEVEL"] for role in ROLES] == ["INFO", "INFO"]


def test_addresses(plain: dict[str, Vm], changed: dict[str, Vm]) -> None:
    link = changed["superlink"]
    assert link.value_of("superlink", "--fleet-api-address") == "[fd00::8]:19092"
    assert link.value_of("superlink", "--control-api-address") == "127.0.0.2:19093"
    assert 'address = "127.0.0.2:19093"' in link.text("/opt/flower/cli/config.toml")
    assert "19092" in link.text("/etc/flower-ops/firewall.nft")
    assert link.answer["facts"]["endpoint"] == "[fd00::8]:19092"
    assert {"fd00::8", "127.0.0.2"} <= link.names()
    assert plain["superlink"].value_of("superlink", "--control-api-address") == "127.0.0.1:9093"
    assert changed["supernode"].value_of("supernode", "--superlink") == "[fd00::1]:19092"


def test_database(changed: dict[str, Vm]) -> None:
    assert changed["superlink"].value_of("superlink", "--database") == "/opt/flower/state/other/name.db"


def test_number_of_partitions(plain: dict[str, Vm], changed: dict[str, Vm]) -> None:
    assert json.loads(changed["superlink"].text("/etc/flower-ops/federation.json"))["num_partitions"] == 3
    assert json.loads(plain["superlink"].text("/etc/flower-ops/federation.json"))["num_partitions"] == 0


def test_names_in_the_certificate(plain: dict[str, Vm], changed: dict[str, Vm]) -> None:
    extra = {"fd00::99", "fed.example.org"}
    assert extra <= changed["superlink"].names() and not extra & plain["superlink"].names()


def test_allowed_networks(plain: dict[str, Vm], changed: dict[str, Vm]) -> None:
    for network in ("203.0.113.0/24", "fd77::/48"):
        assert network in changed["superlink"].text("/etc/flower-ops/firewall.nft")
        assert network not in plain["superlink"].text("/etc/flower-ops/firewall.nft")


def test_node_configuration(plain: dict[str, Vm], changed: dict[str, Vm]) -> None:
    node = changed["supernode"]
    assert node.env("supernode")["FLOWER_NODE_CONFIG"] == good("ONEAPP_FL_NODE_CONFIG")
    assert (node.answer["facts"]["partition_id"], node.answer["facts"]["num_partitions"]) == (2, 4)
    assert plain["supernode"].env("supernode")["FLOWER_NODE_CONFIG"] == ""


def test_retries(plain: dict[str, Vm], changed: dict[str, Vm]) -> None:
    assert changed["supernode"].value_of("supernode", "--max-retries") == "3"
    assert changed["supernode"].value_of("supernode", "--max-wait-time") == "3"
    assert not {"--max-retries", "--max-wait-time"} & set(plain["supernode"].args("supernode"))


def test_framework(plain: dict[str, Vm], changed: dict[str, Vm]) -> None:
    link = "opt/flower/current-framework"
    assert (changed["supernode"].root / link).readlink().name == "pytorch"
    assert (plain["supernode"].root / link).readlink().name == "sklearn"


def test_keepalive(plain: dict[str, Vm], changed: dict[str, Vm]) -> None:
    """The keeper takes both times from what the agent has stored; what it does with them: test_keeper_decisions.py."""

    def times(place: Vm) -> tuple[float, float]:
        kept = NodeSight(Paths(place.root), NoServices(), Silent(), 0.0).brain.settings
        return kept.every, kept.grace

    assert times(plain["supernode"]) == (30.0, 20.0)
    assert times(changed["supernode"]) == (45.0, 3.0)


def trainings(place: Vm) -> list[dict[str, Any]]:
    """What the supervisor is asked for."""
    return [json.loads(file.read_text()) for file in sorted(place.root.glob("opt/flower/trainings/*/asked.json"))]


def test_a_use_case_is_handed_to_the_supervisor_with_all_that_was_chosen(
    plain: dict[str, Vm], changed: dict[str, Vm]
) -> None:
    assert trainings(plain["superlink"]) == []
    (one,) = trainings(changed["superlink"])
    assert one["app"].endswith("/opt/flower/use-cases/image-classification") and one["origin"] == "context"
    assert one["name"].startswith("image-classification-") and one["nodes"] == 3 and not one["withdrawn"]
    assert one["run_config"] == {
        "strategy": good("ONEAPP_FL_STRATEGY"),
        "num-server-rounds": 45,
        "min-fit-clients": 3,
        "min-evaluate-clients": 3,
        "min-available-clients": 3,
        "proximal-mu": 0.25,
        "server-lr": 0.25,
        "client-lr": 0.25,
        "num-malicious": 3,
        "trim-beta": 0.25,
        "checkpoint-enabled": False,
        "checkpoint-interval": 3,
        "checkpoint-path": str(changed["superlink"].root / "opt/flower/checkpoints/disk"),
        "training": one["name"],
    }
    # Asked for without checkpoints.
    assert not one["resumes"] and one["place"] == ""
    assert changed["superlink"].answer["facts"]["training"] == one["name"]


def test_checkpoints_of_a_use_case_lie_on_the_vm_where_the_specifications_container_has_them(folder: Path) -> None:
    place = vm(folder / "case", "superlink", {"ONEAPP_FL_USE_CASE": "anomaly-detection"})
    (one,) = trainings(place)
    checkpoints = place.root / "opt/flower/checkpoints"
    assert one["resumes"] and one["place"] == f"{checkpoints}/{one['name']}"
    assert one["run_config"]["checkpoint-path"] == str(checkpoints) and one["run_config"]["checkpoint-enabled"] is True


@pytest.mark.parametrize("size", ["FIT", "EVALUATE", "AVAILABLE"])
def test_sizes_beyond_the_partitions_are_refused(folder: Path, changed: dict[str, Vm], size: str) -> None:
    """A policy that could leave fewer SuperNodes than that is refused too, by the filter policy_faults."""
    name = f"ONEAPP_FL_MIN_{size}_CLIENTS"
    assert changed["superlink"].answer["changed"], "three of three are well"
    sizes = {"ONEAPP_FL_MIN_AVAILABLE_CLIENTS": "3", name: "3", "ONEAPP_FL_NUM_PARTITIONS": "2"}
    code, answer, _errors = configure(tree(folder / f"size-{size}"), "superlink", sizes, "--check")
    assert code == 2 and name in {error["name"] for error in answer["errors"]}


def test_tls_and_authentication(folder: Path, plain: dict[str, Vm]) -> None:
    off = {"ONEAPP_FL_TLS_ENABLED": "NO", "ONEAPP_FL_SUPERNODE_AUTH": "NO", "ONEAPP_FL_FIREWALL": "NO"}
    link = vm(folder / "open-link", "superlink", off)
    node = vm(folder / "open-node", "supernode", {**off, "ONEAPP_FL_SUPERLINK_ADDRESS": "h:9092"})
    assert "--insecure" in link.args("superlink") and "--insecure" in node.args("supernode")
    assert "insecure = true" in link.text("/opt/flower/cli/config.toml")
    # The firewall is the third that is off here.
    assert not (link.root / "etc/flower-ops/firewall.nft").exists()
    assert (plain["superlink"].root / "etc/flower-ops/firewall.nft").exists()
    for role, place in (("superlink", plain["superlink"]), ("supernode", plain["supernode"])):
        assert "--insecure" not in place.args(role)
    assert "--enable-supernode-auth" in plain["superlink"].args("superlink")
    assert "--auth-supernode-private-key" in plain["supernode"].args("supernode")
    keyless = vm(folder / "no-auth", "superlink", {"ONEAPP_FL_SUPERNODE_AUTH": "NO"})
    assert not {"--enable-supernode-auth", "--insecure"} & set(keyless.args("superlink"))


def test_an_own_certificate(folder: Path) -> None:
    link = vm(folder / "pki", "superlink", own_pki())
    files = {"ca.crt": "SSL_CA_CERTFILE", "server.pem": "SSL_CERTFILE", "server.key": "SSL_KEYFILE"}
    for file, name in files.items():
        stored = (link.root / "opt/flower/certs" / file).read_bytes()
        assert stored.strip() == base64.b64decode(own_pki()[f"ONEAPP_FL_{name}"]).strip(), file
    assert (link.root / "opt/flower/certs/server.key").stat().st_mode & 0o777 == 0o600
    told = json.dumps(link.answer)
    assert "PRIVATE KEY" not in told and own_pki()["ONEAPP_FL_SSL_KEYFILE"] not in told


def test_the_authority_that_a_node_trusts(plain: dict[str, Vm]) -> None:
    assert plain["supernode"].text("/opt/flower/certs/ca.crt").encode() == authority()[1]


def test_the_version_picks_its_profile(folder: Path, plain: dict[str, Vm]) -> None:
    link = vm(folder / "old", "superlink", {"ONEAPP_FLOWER_VERSION": "1.25.0"}, version="1.25.0")
    assert set(link.args("superlink")) != set(plain["superlink"].args("superlink"))
    code, answer, _errors = configure(link.root, "superlink", {"ONEAPP_FLOWER_VERSION": "1.34.0"})
    assert code == 1 and "1.25.0" in answer["message"] and "1.34.0" in answer["message"]


def test_the_role_is_what_the_variable_says(folder: Path) -> None:
    place = tree(folder / "auto")
    code, answer, _errors = configure(place, "auto", static(ONEAPP_FL_ROLE="supernode"))
    assert code == 0 and answer["facts"]["role"] == "supernode"
    assert (place / "opt/flower/config/supernode.env").exists()


#: Where the effect of each variable is seen.
SEEN_IN = {
    "ONEAPP_FLOWER_VERSION": test_the_version_picks_its_profile,
    "ONEAPP_FL_TLS_ENABLED": test_tls_and_authentication,
    "ONEAPP_FL_LOG_LEVEL": test_log_level,
    "ONEAPP_FL_SUPERNODE_AUTH": test_tls_and_authentication,
    "ONEAPP_FL_FIREWALL": test_tls_and_authentication,
    "ONEAPP_FL_SSL_CA_CERTFILE": test_the_authority_that_a_node_trusts,
    "ONEAPP_FL_SSL_CERTFILE": test_an_own_certificate,
    "ONEAPP_FL_SSL_KEYFILE": test_an_own_certificate,
    "ONEAPP_FL_GRPC_KEEPALIVE_TIME": test_keepalive,
    "ONEAPP_FL_GRPC_KEEPALIVE_TIMEOUT": test_keepalive,
    "ONEAPP_FL_MIN_FIT_CLIENTS": test_sizes_beyond_the_partitions_are_refused,
    "ONEAPP_FL_MIN_EVALUATE_CLIENTS": test_sizes_beyond_the_partitions_are_refused,
    "ONEAPP_FL_MIN_AVAILABLE_CLIENTS": test_sizes_beyond_the_partitions_are_refused,
    "ONEAPP_FL_FLEET_API_ADDRESS": test_addresses,
    "ONEAPP_FL_CONTROL_API_ADDRESS": test_addresses,
    "ONEAPP_FL_DATABASE": test_database,
    "ONEAPP_FL_NUM_PARTITIONS": test_number_of_partitions,
    "ONEAPP_FL_ALLOWED_NETWORKS": test_allowed_networks,
    "ONEAPP_FL_CERT_EXTRA_SAN": test_names_in_the_certificate,
    "ONEAPP_FL_SUPERLINK_ADDRESS": test_addresses,
    "ONEAPP_FL_NODE_CONFIG": test_node_configuration,
    "ONEAPP_FL_MAX_RETRIES": test_retries,
    "ONEAPP_FL_MAX_WAIT_TIME": test_retries,
    "ONEAPP_FL_FRAMEWORK": test_framework,
    **dict.fromkeys(
        [f"ONEAPP_FL_{name}" for name in ("USE_CASE", *KEYS) if not name.startswith("MIN_")],
        test_a_use_case_is_handed_to_the_supervisor_with_all_that_was_chosen,
    ),
    "ONEAPP_FL_ROLE": test_the_role_is_what_the_variable_says,
}


def test_no_variable_with_an_effect_is_left_out() -> None:
    with_effect = {name for name, row in TABLE.items() if row.capability}
    assert with_effect == SEEN_IN.keys() | ELSEWHERE and not SEEN_IN.keys() & ELSEWHERE
