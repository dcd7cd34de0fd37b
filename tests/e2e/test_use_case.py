# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A use case that is chosen at deployment is trained by itself, whatever happens to the SuperLink. In order.

Nobody logs in to have anything trained: what is done by SSH here is the harm, and the looking.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import Walk, federation, vm_action

ROUNDS = 6
OPS = "/opt/flower/venv/bin/flower-ops"
CHECKPOINTS = "/opt/flower/checkpoints"


@pytest.fixture(scope="module")
def walk(sandbox: Walk) -> Iterator[Walk]:
    """Three nodes of which two are enough, and a use case for them."""
    assert sandbox.playbook("appliance_image").code == 0
    variables = {"ONEAPP_FL_USE_CASE": "anomaly-detection", "ONEAPP_FL_NUM_ROUNDS": str(ROUNDS)}
    with federation("case", federation_supernodes=3, federation_variables=variables) as made:
        try:
            yield made
        finally:
            made.playbook("teardown")


def tell(walk: Walk, command: str) -> Any:
    """What flower-ops answers on the SuperLink."""
    return json.loads(walk.ssh(walk.superlink(), f"{OPS} {command} --json"))


def published(walk: Walk) -> dict[str, str]:
    """What the SuperLink says of the training, through OneGate."""
    vm = next(int(values["one_vm_id"]) for values in walk.by_role("superlink").values())
    return {name: text for name, text in walk.attributes()[vm].items() if name.startswith("FL_RUN_")}


def reach(walk: Walk, name: str, number: int) -> None:
    """Wait for the checkpoint of a round."""
    place = f"{CHECKPOINTS}/{name}/checkpoint_round_*.npz"

    def there() -> bool:
        found = walk.ssh(walk.superlink(), f"ls {place} 2>/dev/null || true").split()
        rounds = [int(path.rpartition("_")[2].partition(".")[0]) for path in found]
        return max(rounds, default=0) >= number

    walk.wait(f"the checkpoint of round {number} of {name}", there, 180)


def ended(walk: Walk, name: str, seconds: float = 240) -> dict[str, Any]:
    """A training that has come to its end."""

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = tell(walk, f"training status --training {name}")
        return found if found["finished"] else None

    found: dict[str, Any] = walk.wait(f"the end of {name}", look, seconds)
    return found


def again(walk: Walk, name: str, **config: Any) -> None:
    """Ask for more of a training."""
    wanted = shlex.quote(json.dumps({key.replace("_", "-"): value for key, value in config.items()}))
    tell(walk, f"training resume --training {name} --run-config {wanted}")


def curve(walk: Walk, name: str) -> list[dict[str, Any]]:
    """The rounds as the app wrote them down."""
    folder = tell(walk, f"training status --training {name}")["run"]["output_dir"]
    rounds: list[dict[str, Any]] = json.loads(walk.ssh(walk.superlink(), f"cat {folder}/metrics.json"))["rounds"]
    return rounds


def the_training(walk: Walk) -> str:
    (found,) = (one for one in tell(walk, "training list") if one["origin"] == "context")
    return str(found["training"])


def test_it_trains_by_itself_and_survives_the_death_of_the_superlink(walk: Walk) -> None:
    assert walk.playbook("single_site").code == 0
    name = the_training(walk)
    reach(walk, name, 2)
    assert published(walk)["FL_RUN_STATE"] == "running"
    walk.ssh(walk.superlink(), "systemctl kill --signal=KILL flower-superlink")
    end = ended(walk, name)
    assert end["state"] == "completed", end
    assert [one["ended"] for one in end["runs"]] == ["broken", "done"], end
    assert end["runs"][1]["from_round"] >= 2
    rounds = [one["round"] for one in curve(walk, name)]
    assert rounds == list(range(ROUNDS + 1))

    def told() -> bool:
        return published(walk) == {"FL_RUN_STATE": "completed", "FL_RUN_ROUND": str(ROUNDS), "FL_RUN_REASON": "NONE"}

    walk.wait("the end of the training in OneGate", told, 90)
    said = walk.ssh(walk.superlink(), "journalctl --boot --unit flower-supervisor --output cat")
    assert f"{name}: completed" in said


def test_a_second_deployment_leaves_it_as_it_is(walk: Walk) -> None:
    before = tell(walk, "training list")
    result = walk.playbook("single_site")
    assert result.code == 0
    assert result.changed == 0
    assert tell(walk, "training list") == before


def started(walk: Walk, name: str, rounds: int) -> str:
    """Name of a training of the same use case, by hand. Rounds have all nodes, so that figures can be the same."""
    config = {"num-server-rounds": rounds, "min-available-clients": 3, "min-fit-clients": 3}
    app = "/opt/flower/use-cases/anomaly-detection"
    command = f"training start --app {app} --name {name} --run-config {shlex.quote(json.dumps(config))}"
    return str(tell(walk, command)["training"])


def messages(walk: Walk) -> dict[str, int]:
    """How many training messages each node has got since it was deployed, by its host's name."""
    count = "journalctl --unit flower-supernode --output cat | grep -c 'Receiving: train message' || true"
    return {name: int(walk.ssh(one["ansible_host"], count)) for name, one in walk.by_role("supernode").items()}


@pytest.mark.full
def test_a_reboot_of_the_superlinks_vm_costs_one_round_at_most_and_changes_no_figure(walk: Walk) -> None:
    rounds, before = 12, messages(walk)
    broken = started(walk, "rebooted", rounds)
    reach(walk, broken, 3)
    vm_action("reboot", next(int(values["one_vm_id"]) for values in walk.by_role("superlink").values()))
    end = ended(walk, broken, 400)
    assert end["state"] == "completed", end
    assert [one["ended"] for one in end["runs"]] == ["broken", "done"], end
    assert end["runs"][1]["from_round"] >= 3, end
    executed = {name: number - before[name] for name, number in messages(walk).items()}
    assert all(rounds <= number <= rounds + 1 for number in executed.values()), executed
    told = [tell(walk, f"run status --run-id {one['run_id']}")["rounds"] for one in end["runs"]]
    assert sum(map(len, told)) <= rounds + 1, told
    whole = started(walk, "whole", rounds)
    end = ended(walk, whole, 400)
    assert end["state"] == "completed" and len(end["runs"]) == 1, end
    figures = [[{**one, "seconds": 0} for one in curve(walk, name)] for name in (broken, whole)]
    assert figures[0] == figures[1]
    assert [one["round"] for one in figures[0]] == list(range(rounds + 1))
    assert all(one["results"] == 3 for one in figures[0][1:]), figures[0]


@pytest.mark.full
def test_a_node_that_dies_in_mid_round_costs_no_more_than_the_deadline(walk: Walk) -> None:
    name = the_training(walk)
    again(walk, name, num_server_rounds=ROUNDS + 6, round_timeout=30.0)
    reach(walk, name, ROUNDS + 1)
    victim = max(int(values["one_vm_id"]) for values in walk.by_role("supernode").values())
    vm_action("poweroff-hard", victim)
    try:
        end = ended(walk, name, 400)
        assert end["state"] == "completed", end
        late = [one for one in curve(walk, name) if one["round"] > ROUNDS]
        assert all(one["seconds"] < 40 for one in late), late
        # Whoever looks is told of what was missing.
        assert [one for one in late if one["failures"]] and "round" in end["reason"], end
    finally:
        vm_action("resume", victim)
    walk.wait("three nodes online", lambda: len(walk.online()) == 3, 240)


@pytest.mark.full
def test_a_full_disk_of_the_checkpoints_is_one_clear_error_and_no_torn_file(walk: Walk) -> None:
    """The disk is a file system in memory of 64 kB: a disk of its own is what a machine cannot have."""
    name = the_training(walk)
    number = max(one["round"] for one in curve(walk, name))
    folder, superlink = f"{CHECKPOINTS}/{name}", walk.superlink()
    walk.ssh(
        superlink,
        f"mkdir -p /run/aside && cp -a {folder}/. /run/aside && mount -t tmpfs -o size=64k,mode=0755 tmpfs {folder} "
        f"&& chown flower:flower {folder} && cp -a /run/aside/. {folder} && (cat /dev/zero > {folder}/full || true) "
        # In a container a service sees only what was mounted before it was started.
        "&& systemctl restart flower-superlink",
    )
    try:
        again(walk, name, num_server_rounds=number + 3)
        end = ended(walk, name)
        assert end["state"] == "failed", end
        assert "disk is full" in end["reason"], end

        def told() -> bool:
            found = published(walk)
            return found["FL_RUN_STATE"] == "failed" and "disk is full" in found["FL_RUN_REASON"]

        walk.wait("the reason in OneGate", told, 90)
        # What was there is whole, and nothing else is.
        test = "/opt/flower/venv/bin/python -m zipfile --test"
        left = walk.ssh(superlink, f"cd {folder} && rm full && ls && for one in *.npz; do {test} $one || exit 1; done")
        assert f"checkpoint_round_{number}.npz" in left and f"checkpoint_round_{number + 1}.npz" not in left
    finally:
        walk.ssh(superlink, f"umount {folder} && systemctl restart flower-superlink")
    again(walk, name, num_server_rounds=number + 3)
    assert ended(walk, name)["state"] == "completed"


def test_teardown_leaves_nothing(walk: Walk) -> None:
    assert walk.playbook("teardown").code == 0
    assert not walk.hosts()
