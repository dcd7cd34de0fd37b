# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table has every variable of the specification, says where it differs, and all that is made from it agrees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from context_support import TABLE, good
from flower_ops import profiles, rules

ROOT = Path(__file__).resolve().parents[4]
#: Names of the specification and their defaults. START_SCRIPT_BASE64 stands in its templates without a number.
SPECIFIED = {
    "FLOWER_VERSION": "1.25.0",
    "FL_TLS_ENABLED": "NO",
    "FL_LOG_LEVEL": "INFO",
    "FL_LOG_FORMAT": "text",
    "FL_ISOLATION": "subprocess",
    "FL_SSL_CA_CERTFILE": "",
    "FL_GRPC_KEEPALIVE_TIME": "60",
    "FL_GRPC_KEEPALIVE_TIMEOUT": "20",
    "FL_NUM_ROUNDS": "3",
    "FL_STRATEGY": "FedAvg",
    "FL_MIN_FIT_CLIENTS": "2",
    "FL_MIN_EVALUATE_CLIENTS": "2",
    "FL_MIN_AVAILABLE_CLIENTS": "2",
    "FL_FLEET_API_ADDRESS": "0.0.0.0:9092",
    "FL_CONTROL_API_ADDRESS": "0.0.0.0:9093",
    "FL_DATABASE": "state/state.db",
    "FL_PROXIMAL_MU": "1.0",
    "FL_SERVER_LR": "0.1",
    "FL_CLIENT_LR": "0.1",
    "FL_NUM_MALICIOUS": "0",
    "FL_TRIM_BETA": "0.2",
    "FL_CHECKPOINT_ENABLED": "NO",
    "FL_CHECKPOINT_INTERVAL": "5",
    "FL_CHECKPOINT_PATH": "/app/checkpoints",
    "FL_SSL_CERTFILE": "",
    "FL_SSL_KEYFILE": "",
    "FL_CERT_EXTRA_SAN": "",
    "FL_METRICS_ENABLED": "NO",
    "FL_METRICS_PORT": "9101",
    "FL_SUPERLINK_ADDRESS": "",
    "FL_NODE_CONFIG": "",
    "FL_MAX_RETRIES": "0",
    "FL_MAX_WAIT_TIME": "0",
    "ML_FRAMEWORK": "pytorch",
    "FL_USE_CASE": "none",
    "FL_GPU_ENABLED": "NO",
    "FL_CUDA_VISIBLE_DEVICES": "all",
    "FL_GPU_MEMORY_FRACTION": "0.8",
    "FL_DCGM_ENABLED": "NO",
    "FL_EDGE_BACKOFF": "exponential",
    "FL_EDGE_MAX_BACKOFF": "300",
    "TOKEN": "YES",
    "NETWORK": "YES",
    "REPORT_READY": "YES",
    "READY_SCRIPT_PATH": "/opt/flower/scripts/health-check.sh",
    "SSH_PUBLIC_KEY": "$USER[SSH_PUBLIC_KEY]",
    "START_SCRIPT_BASE64": "(launcher)",
}
OURS = {f"ONEAPP_FL_{name}" for name in ("SUPERNODE_AUTH", "FIREWALL", "NUM_PARTITIONS", "ALLOWED_NETWORKS", "ROLE")}


def our_name(name: str) -> str:
    if name == "ML_FRAMEWORK":
        return "ONEAPP_FL_FRAMEWORK"
    return f"ONEAPP_{name}" if name.startswith(("FL_", "FLOWER_")) else name


def test_no_variable_of_the_specification_is_missing() -> None:
    assert len(SPECIFIED) - 1 == 46
    assert set(TABLE) - OURS == {our_name(name) for name in SPECIFIED}
    assert {our_name(name): value for name, value in SPECIFIED.items()} == {
        name: row.specified for name, row in TABLE.items() if row.specified is not None
    }


@pytest.mark.parametrize("name", TABLE)
def test_a_row_is_whole(name: str) -> None:
    row = TABLE[name]
    assert row.role in ("both", "superlink", "supernode") and row.level in ("service", "role", "infrastructure")
    assert row.role == "both" or row.level == "role"
    assert row.text and row.effect and "|" not in row.text and row.text.isprintable()
    assert not row.default or rules.fits(row.rule, row.options, row.default)
    assert rules.fits(row.rule, row.options, good(name)) and good(name) != row.default
    assert bool(row.options) == (row.type in ("list", "boolean"))
    assert (row.rule == "boolean") == (row.type == "boolean") and (row.rule == "list") == (row.type == "list")
    assert row.secret == (row.type == "password")
    # A difference is told with its reason, and a refusal belongs to a row that has no effect.
    assert row.differs or row.specified == row.default
    assert not (row.refused and row.capability)


def specification(role: str) -> dict[str, Any]:
    path = ROOT / "roles" / role / "meta/argument_specs.yml"
    return dict(yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]["main"]["options"])


def test_the_inventory_offers_what_the_table_knows() -> None:
    options = specification("federation")
    framework, version = TABLE["ONEAPP_FL_FRAMEWORK"], TABLE["ONEAPP_FLOWER_VERSION"]
    assert sorted(options["federation_framework"]["choices"]) == sorted(framework.options)
    assert options["federation_framework"]["default"] == framework.default
    baked = specification("flower_runtime")["flower_runtime_frameworks"]
    assert sorted(baked["choices"]) == sorted(framework.options) and baked["default"] == [framework.default]
    assert options["federation_flower_version"]["default"] == version.default == profiles.DEFAULT
    # Which versions there are is told by the filter context_faults, with all other faults.
    assert options["federation_flower_version"].get("choices", profiles.known()) == profiles.known()


@pytest.mark.parametrize("role", ["superlink", "supernode", "federation", "cluster", "flower_runtime"])
def test_defaults_that_roles_repeat_are_those_of_the_table(role: str) -> None:
    """An option that is called like a variable has its default."""
    for name, option in specification(role).items():
        twin = f"ONEAPP_FL_{name.removeprefix(role + '_').upper()}"
        if twin in TABLE and option["type"] != "dict":
            default = option.get("default", "")
            text = str(default) if not isinstance(default, bool) else "YES" if default else "NO"
            assert text == TABLE[twin].default, name
