# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Context variables are judged on the control machine as nodes judge them."""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.opennebula.flower.plugins.filter.context_faults import FilterModule, context_faults
from ansible_collections.opennebula.flower.plugins.plugin_utils import node_package
from flower_ops import context, profiles
from flower_ops.pki import tls


def test_defaults_and_every_known_version_are_well() -> None:
    assert context_faults({}) == []
    for version in profiles.known():
        assert context_faults({"ONEAPP_FLOWER_VERSION": version}) == []


def test_values_are_taken_as_modules_take_them() -> None:
    values = {"ONEAPP_FL_MAX_RETRIES": 5, "ONEAPP_FL_TLS_ENABLED": True, "ONEAPP_FL_LOG_LEVEL": None}
    assert context_faults(values) == []


def test_all_faults_at_once() -> None:
    faults = context_faults(
        {"ONEAPP_FL_MAX_RETRIES": -1, "ONEAPP_FL_LOG_LEVLE": "INFO", "ONEAPP_FLOWER_VERSION": "9.9", "GROW_FS": "/"}
    )
    assert len(faults) == 3
    assert any(fault.startswith("ONEAPP_FL_MAX_RETRIES=-1: expected") for fault in faults)
    assert any("ONEAPP_FL_LOG_LEVLE" in fault for fault in faults)
    assert any(all(version in fault for version in profiles.known()) for fault in faults)


@pytest.mark.parametrize("name", [row.name for row in context.table().values() if row.secret])
def test_secrets_have_no_place_in_variables_and_are_not_shown(name: str) -> None:
    faults = context_faults({name: "hush-hush"})
    assert any(fault.startswith(f"{name}: is secret") for fault in faults)
    assert "hush-hush" not in " ".join(faults)


@pytest.mark.parametrize("value", [None, [], "ONEAPP_FL_LOG_LEVEL=INFO"])
def test_only_a_dictionary_will_do(value: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="dictionary"):
        FilterModule().filters()["context_faults"](value)


def test_own_certificates_are_whole_with_the_key_among_the_secrets() -> None:
    ca_key, ca = tls.new_ca()
    key, cert = tls.new_server_cert(ca_key, ca, "superlink", ["DNS:superlink"])
    readable = {
        "ONEAPP_FL_SSL_CA_CERTFILE": base64.b64encode(ca).decode(),
        "ONEAPP_FL_SSL_CERTFILE": base64.b64encode(cert).decode(),
    }
    assert any(fault.startswith("ONEAPP_FL_SSL_KEYFILE") for fault in context_faults(readable))
    assert context_faults(readable, {"ONEAPP_FL_SSL_KEYFILE": base64.b64encode(key).decode()}) == []
    assert any("ONEAPP_FL_SSL_KEYFLE" in fault for fault in context_faults({}, {"ONEAPP_FL_SSL_KEYFLE": "hush"}))


def test_what_the_playbooks_write_themselves_cannot_be_chosen() -> None:
    assert context_faults({"TOKEN": True, "NETWORK": "YES", "START_SCRIPT_BASE64": ""}) == []
    chosen = {"TOKEN": "NO", "NETWORK": False, "START_SCRIPT_BASE64": "IyEvYmluL3NoCg==", "ONEAPP_FL_ROLE": "supernode"}
    faults = {fault.partition("=")[0]: fault for fault in context_faults(chosen)}
    assert faults.keys() == chosen.keys()
    assert "must be YES" in faults["TOKEN"] and "SSH host key" in faults["START_SCRIPT_BASE64"]


def test_faults_of_one_role_are_told_once_and_of_both_roles_together() -> None:
    given = {"ONEAPP_FL_DATABASE": "/x", "ONEAPP_FL_MAX_RETRIES": "x", "ONEAPP_FL_LOG_LEVEL": "x", "FL_STRATEGY": "x"}
    found = context_faults(given)
    assert len(found) == 4 and "FL_STRATEGY=…: is called ONEAPP_FL_STRATEGY here" in found


def test_values_that_do_not_fit_together_are_told() -> None:
    (fault,) = context_faults({"ONEAPP_FL_FIREWALL": "NO", "ONEAPP_FL_ALLOWED_NETWORKS": "10.0.0.0/8"})
    assert fault == (
        "ONEAPP_FL_ALLOWED_NETWORKS=10.0.0.0/8: needs ONEAPP_FL_FIREWALL=YES; leave it empty without a firewall of ours"
    )


def test_a_version_is_told_by_name_and_never_repeated_as_it_is() -> None:
    (fault,) = context_faults({"ONEAPP_FLOWER_VERSION": "1.34.0\x1b[2J"})
    assert "\x1b" not in fault and profiles.DEFAULT in fault


def test_the_node_package_is_found_where_no_import_path_leads_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "flower_ops"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if not place.endswith("files/flower_ops")])
    assert node_package.part("rules").fits("boolean", [], "YES")
    monkeypatch.delitem(sys.modules, "flower_ops")
    monkeypatch.setattr(node_package, "_FOLDER", Path("/nonexistent"))
    with pytest.raises(AnsibleFilterError, match="/nonexistent/__init__.py cannot be read"):
        node_package.part("rules")
