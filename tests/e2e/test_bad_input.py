# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input as a user meets it: one clear sentence, nothing half-made that the next run trips over, no secret shown.

VMs are records here, so a run that is well goes as far as the first login. A run of an app that fails needs real nodes
and is tested with them.
"""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from one_sandbox import Sandbox
from one_sandbox.drivers.dummy import DummyDriver

from .bad_input_cloud import Cloud, Trial, free_ports

NOBODY = "http://127.0.0.1:9"
SERVICE_RUNNING = 2
IMAGE_READY = 1
SERVICE, SERVICE_TEMPLATE = 100, 101
WRONG_PASSWORD = "certainly-not-the-password"


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with tempfile.TemporaryDirectory(prefix="flower-bad-input-") as name:
        sandbox = Sandbox(Path(name) / "home", boot_delay=0.05, image_delay=0.05, flow_interval=0.2)
        with sandbox:
            yield Cloud(Path(name), sandbox)


def says(sentence: str, *words: str) -> bool:
    missing = [word for word in words if word not in sentence]
    assert not missing, f"{missing} not in: {sentence}"
    return True


# -- wrong values: told on the control machine, before the cloud is asked for anything --------------------------------


@pytest.mark.parametrize(
    ("playbook", "values", "words"),
    [
        (
            "scale",
            {"federation_supernodes": 9},
            ["federation_supernodes 9", "federation_supernodes_min 2", "federation_supernodes_max 3", "change one"],
        ),
        (
            "single_site",
            {"federation_flower_version": "9.9.9"},
            ["Flower 9.9.9 is not supported", "choose one of 1.25.0", "federation_flower_version"],
        ),
        (
            "single_site",
            {"federation_variables": {"ONEAPP_FL_LOG_LEVEL": "LOUD", "ONEAPP_FL_LOG_LEVLE": "INFO"}},
            [
                "ONEAPP_FL_LOG_LEVEL=LOUD: expected one of DEBUG, INFO",
                "ONEAPP_FL_LOG_LEVLE",
                "no such variable",
                "correct",
                "federation_variables",
            ],
        ),
    ],
    ids=["cardinality", "version", "variables"],
)
def test_wrong_values_are_told_before_anything_is_asked_for(
    cloud: Cloud, playbook: str, values: dict[str, Any], words: list[str]
) -> None:
    cloud.sandbox.calls.reset()
    trial = cloud.play(playbook, federation_name="values", **values)
    assert says(trial.sentence, *words)
    assert cloud.sandbox.calls.total == 0


def test_a_secret_among_the_variables_is_refused_and_not_shown(cloud: Cloud) -> None:
    body = base64.b64encode(bytes(range(60))).decode()
    pem = f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n"
    secret = cloud.hide(base64.b64encode(pem.encode()).decode())
    values = cloud.folder / "inventory/group_vars/all/40-key.yml"
    values.write_text(json.dumps({"federation_variables": {"ONEAPP_FL_SSL_KEYFILE": secret}}), encoding="utf-8")
    try:
        trial = cloud.play("single_site", federation_name="values")
    finally:
        values.unlink()
    assert says(trial.sentence, "ONEAPP_FL_SSL_KEYFILE", "secret", "give it in federation_superlink_secrets")


def test_the_password_of_the_environment_is_not_shown_with_a_wrong_argument(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONE_PASSWORD", cloud.hide("from-the-environment"))
    trial = cloud.play("single_site", federation_supernodes="many")
    assert trial.code != 0
    assert says(trial.messages[0], "federation_supernodes", "many")


# -- the cloud says no, before anything is made ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"password": WRONG_PASSWORD}, ["/RPC2", "authenticated", "check api_username and api_password"]),
        ({"federation_api_url": f"{NOBODY}/RPC2"}, [f"{NOBODY}/RPC2", "does not answer", "check api_url"]),
        ({"federation_oneflow_url": NOBODY}, [NOBODY, "OneFlow does not answer", "check oneflow_url"]),
        ({"federation_network": "nowhere"}, ["no virtual network 'nowhere'", "federation_network", "onevnet list"]),
        ({"federation_image": "nothing"}, ["no image 'nothing'", "federation_image", "oneimage list"]),
        ({"federation_datastore": "nil"}, ["datastore nil does not exist", "check the name"]),
    ],
    ids=["credentials", "endpoint", "oneflow", "network", "image", "datastore"],
)
def test_what_the_cloud_lacks_is_told_before_anything_is_made(
    cloud: Cloud, values: dict[str, Any], words: list[str]
) -> None:
    cloud.sandbox.calls.reset()
    trial = cloud.play("single_site", federation_name="lacking", **values)
    assert says(trial.sentence, *words)
    assert cloud.sandbox.calls.writes == 0
    assert cloud.objects("lacking") == {}


# -- names that somebody else has --------------------------------------------------------------------------------------


def foreign_image(cloud: Cloud) -> tuple[Any, ...]:
    number = cloud.call("one.image.allocate", 'NAME="taken-image-debian-12"\nTYPE="DATABLOCK"\nSIZE="1"', 1)
    cloud.wait_for(lambda: f"<STATE>{IMAGE_READY}</STATE>" in cloud.call("one.image.info", number))
    return "one.image.info", number


def foreign_template(cloud: Cloud) -> tuple[Any, ...]:
    return "one.template.info", cloud.call("one.template.allocate", 'NAME="taken-template-superlink"\nMEMORY="64"')


def foreign_service(cloud: Cloud) -> tuple[Any, ...]:
    vm = cloud.call("one.template.allocate", 'NAME="unrelated"\nCPU="1"\nMEMORY="64"')
    role = {"name": "web", "type": "vm", "template_id": vm, "cardinality": 1}
    template = cloud.flow("/service_template", {"name": "unrelated", "deployment": "straight", "roles": [role]})
    action = {"perform": "instantiate", "params": {"merge_template": {"name": "taken-service"}}}
    service = cloud.flow(f"/service_template/{template['ID']}/action", {"action": action})
    cloud.wait_for(lambda: cloud.flow(f"/service/{service['ID']}")["TEMPLATE"]["BODY"]["state"] == SERVICE_RUNNING)
    return "one.document.info", int(service["ID"])


@pytest.mark.parametrize(
    ("make", "name", "words"),
    [
        (foreign_image, "taken-image", ["image taken-image-debian-12"]),
        (foreign_template, "taken-template", ["template taken-template-superlink"]),
        (foreign_service, "taken-service", ["service taken-service"]),
    ],
    ids=["image", "template", "service"],
)
def test_what_is_not_ours_is_refused_and_left_alone(cloud: Cloud, make: Any, name: str, words: list[str]) -> None:
    read = make(cloud)
    before = cloud.call(*read)
    trial = cloud.play("single_site", federation_name=name)
    assert says(trial.sentence, *words, f"not marked as belonging to federation {name}", "choose another name")
    assert cloud.call(*read) == before


@pytest.mark.parametrize("playbook", ["single_site", "teardown"])
def test_a_federation_of_another_user_is_left_alone(cloud: Cloud, playbook: str) -> None:
    name = f"alices-{playbook}".replace("_", "-")
    alice = cloud.call("one.user.allocate", name, "alices-word", "core", [])
    vm = cloud.call("one.template.allocate", f'NAME="{name}-vm"\nCPU="1"\nMEMORY="64"')
    body = {"name": name, "deployment": "straight", "flower_federation": name,
            "roles": [{"name": "web", "type": "vm", "template_id": vm, "cardinality": 1}]}
    template = cloud.flow("/service_template", body)
    action = {"action": {"perform": "instantiate", "params": {"merge_template": {"name": name}}}}
    service = cloud.flow(f"/service_template/{template['ID']}/action", action)
    cloud.wait_for(lambda: cloud.flow(f"/service/{service['ID']}")["TEMPLATE"]["BODY"]["state"] == SERVICE_RUNNING)
    cloud.call("one.document.chown", int(service["ID"]), alice, -1)
    before = cloud.call("one.document.info", int(service["ID"]))
    trial = cloud.play(playbook, federation_name=name)
    assert says(trial.sentence, f"belongs to the user {name}, not to oneadmin", "choose another", "federation_owner")
    assert cloud.call("one.document.info", int(service["ID"])) == before


# -- deployments that get stuck: the next run with corrected input goes on ---------------------------------------------


@pytest.fixture(scope="module")
def stuck_and_corrected(cloud: Cloud) -> tuple[Trial, Trial]:
    """A SuperLink too big for every host, then one that fits."""
    huge = {"MEMORY": "999999999", "CPU": "1"}
    stuck = cloud.play("single_site", federation_name="big", federation_superlink_vm=huge, federation_wait_timeout=3)
    with cloud.booting():
        corrected = cloud.play("single_site", federation_name="big")
    return stuck, corrected


def test_capacity_is_told_in_the_schedulers_words(stuck_and_corrected: tuple[Trial, Trial]) -> None:
    stuck, corrected = stuck_and_corrected
    assert says(stuck.sentence, "took longer than 3 s", "PENDING", "no capacity", "No host with enough capacity")
    assert corrected.reached_the_nodes


def test_the_corrected_run_leaves_one_service(cloud: Cloud, stuck_and_corrected: tuple[Trial, Trial]) -> None:
    documents = cloud.sandbox.oned.pools["document"].values()
    assert sorted(record.data["type"] for record in documents if record.name == "big") == [SERVICE, SERVICE_TEMPLATE]


def test_an_app_directory_without_an_app(cloud: Cloud, stuck_and_corrected: tuple[Trial, Trial]) -> None:
    folder = cloud.folder / "empty"
    folder.mkdir()
    trial = cloud.play("train", federation_name="big", app=str(folder))
    assert says(trial.sentence, str(folder), "not a Flower app", "no pyproject.toml", "give the folder")


def test_a_vm_that_fails_to_boot(cloud: Cloud) -> None:
    driver = cloud.sandbox.drivers["dummy"]
    assert isinstance(driver, DummyDriver)
    faults = driver.fail_deploy
    faults["*"] = "the disk is broken"
    try:
        failed = cloud.play("single_site", federation_name="boot")
    finally:
        del faults["*"]
    assert says(failed.sentence, "superlink", "BOOT_FAILURE", "correct the cause")
    with cloud.booting():
        assert cloud.play("single_site", federation_name="boot").reached_the_nodes


# -- the sandbox itself ------------------------------------------------------------------------------------------------


def test_an_engine_that_cannot_start_and_a_port_in_use(cloud: Cloud) -> None:
    """An engine of the test's own that ends with an error; the machine's engine is never asked, started or stopped."""
    folder = cloud.folder / "engine"
    folder.mkdir()
    engine = folder / "dockerd"
    engine.write_text("#!/bin/sh\necho 'failed to start daemon: no room left for it'\nexit 1\n", encoding="utf-8")
    engine.chmod(0o755)
    xmlrpc, oneflow, onegate = free_ports(3)
    values: dict[str, Any] = {
        "sandbox_home": str(folder / "home"),
        "sandbox_image_cache": str(folder / "cache"),
        "sandbox_engine_program": str(engine),
        "sandbox_engine_socket": str(folder / "docker.sock"),
        "sandbox_engine_service": "",
        "sandbox_xmlrpc_port": xmlrpc,
        "sandbox_oneflow_port": oneflow,
        "sandbox_onegate_port": onegate,
    }
    dead = cloud.play("sandbox", **values)
    assert says(dead.sentence, str(engine), "failed to start daemon: no room left for it", "run this again", "its log")

    values["sandbox_driver"] = "dummy"
    taken = int(cloud.sandbox.endpoints.xmlrpc.rpartition(":")[2].split("/")[0])
    refused = cloud.play("sandbox", **{**values, "sandbox_xmlrpc_port": taken})
    assert says(refused.sentence, str(folder / "home"), f"port {taken}", "in use", "choose another port", "its log")

    try:
        assert cloud.play("sandbox", **values).code == 0
    finally:
        assert cloud.play("sandbox", **values, sandbox_state="down").code == 0
    assert not (folder / "home/one_auth").exists()
