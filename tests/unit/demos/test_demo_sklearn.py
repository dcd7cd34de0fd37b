# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scikit-learn demo: its ServerApp and its ClientApps with real data, in one process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from digits_app import client_app, server_app
from digits_app.fit import fit
from digits_app.model import MODELS, chosen
from flower_ops.training.data import images
from flower_ops.training.flower import record_of
from flower_ops.training.settings import STRATEGIES
from flwr.app import ConfigRecord, Context, Message, RecordDict
from simulated import DEMOS, Nodes, config_of, context

NODES = 3


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    script = DEMOS / "sklearn/make_shards.py"
    subprocess.run([sys.executable, script, "--out", folder, "--shards", str(NODES)], check=True, capture_output=True)
    return folder


def run(shards: Path, folder: Path, grid: Nodes | None = None, **config: Any) -> dict[str, Any]:
    """metrics.json of a run, and the arrays of its model."""
    asked = config_of(
        "sklearn", test_data=f"{shards}/test.npz", output_dir=str(folder), min_available_clients=NODES, **config
    )
    server_app.main(grid or Nodes(client_app.app, NODES, asked, data=f"{shards}/shard-{{}}.npz"), context(asked))
    with np.load(folder / "model.npz") as model:
        arrays = [model[name] for name in model.files]
    return {**json.loads((folder / "metrics.json").read_text()), "arrays": arrays}


def accuracies(told: dict[str, Any]) -> list[float]:
    return [one["central"]["accuracy"] for one in told["rounds"]]


# Three nodes of honest data; FedAdam's first steps are short.
LEAST = {**dict.fromkeys(STRATEGIES, 0.93), "FedAdam": 0.90}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_three_rounds_learn_the_digits_with_every_strategy(strategy: str, shards: Path, tmp_path: Path) -> None:
    told = run(shards, tmp_path, strategy=strategy)
    assert told["strategy"] == strategy and told["parameters"] == 3_610 and told["degraded"] is None
    assert [(one["nodes"], one["results"]) for one in told["rounds"]] == [(0, 0), (3, 3), (3, 3), (3, 3)]
    found = accuracies(told)
    assert found[0] < 0.2 and found[3] >= LEAST[strategy], found


def test_a_resumed_run_equals_one_that_was_not_interrupted(shards: Path, tmp_path: Path) -> None:
    more = {"strategy": "FedAdam", "training": "digits", "local_epochs": 1}
    whole = run(shards, tmp_path / "whole", num_server_rounds=3, **more)
    place = {"checkpoint_path": str(tmp_path / "checkpoints"), **more}
    run(shards, tmp_path / "first", num_server_rounds=2, **place)
    second = run(shards, tmp_path / "second", num_server_rounds=3, **place)
    assert second["resumed_from"] == 2 and accuracies(second) == accuracies(whole)
    for one, other in zip(second["arrays"], whole["arrays"], strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_proximal_term_keeps_a_node_near_the_global_model(shards: Path) -> None:
    with np.load(shards / "shard-0.npz") as content:
        pixels, labels = content["images"] / 16.0, content["labels"].astype(np.int64)
    start = MODELS["digits"].start()

    def distance(mu: float) -> float:
        trained = fit(MODELS["digits"], start, pixels, labels, epochs=2, batch=16, learning_rate=0.003, proximal_mu=mu)
        return float(sum(((one - other) ** 2).sum() for one, other in zip(trained, start, strict=True)))

    free, loose, tight = distance(0.0), distance(1.0), distance(100.0)
    assert tight < loose < free


def test_the_large_network_is_scikit_learns_and_learns_from_images_in_colour(tmp_path: Path) -> None:
    """One node with a sixth of the images: the whole would take a minute."""
    asked = config_of(
        "sklearn",
        model="cifar10",
        data_source="bundled",
        output_dir=str(tmp_path),
        num_server_rounds=1,
        local_epochs=2,
        checkpoint_enabled=False,
    )
    grid = Nodes(client_app.app, 6, asked)
    grid.away = {3, 4, 5, 6}
    server_app.main(grid, context(asked))
    told = json.loads((tmp_path / "metrics.json").read_text())
    assert told["parameters"] == 1_578_506
    assert told["rounds"][1]["central"]["loss"] < told["rounds"][0]["central"]["loss"]
    assert told["rounds"][1]["central"]["accuracy"] > 0.4, told["rounds"]
    told_of_data = {message.content["config"]["data-source"] for message in grid.sent}  # type: ignore[index, call-overload]
    assert told_of_data == {"bundled"}


def test_each_network_has_a_training_of_its_own() -> None:
    small, large = (chosen(config_of("sklearn", model=name)) for name in ("digits", "cifar10"))
    assert (small.hidden, small.epochs, small.batch, small.learning_rate) == (48, 3, 16, 0.003)
    assert (large.hidden, large.epochs, large.batch, large.learning_rate) == (512, 1, 32, 0.001)
    other = chosen(
        config_of("sklearn", model="cifar10", hidden_units=8, local_epochs=2, batch_size=4, learning_rate=0.5)
    )
    assert (other.hidden, other.epochs, other.batch, other.learning_rate) == (8, 2, 4, 0.5)


def test_nodes_without_a_partition_draw_numbers_of_their_own(shards: Path) -> None:
    """And the same ones again when a round is repeated; the images here are the same, too."""
    asked = config_of("sklearn", local_epochs=1)

    def weights(node: int) -> np.ndarray[Any, Any]:
        place = Context(77, node, {"data": f"{shards}/shard-0.npz"}, RecordDict(), asked)
        content = RecordDict(
            {"arrays": record_of(MODELS["digits"].start()), "config": ConfigRecord({"server-round": 1})}
        )
        (record,) = client_app.app(Message(content, node, "train"), place).content.array_records.values()
        return record.to_numpy_ndarrays()[0]

    np.testing.assert_array_equal(weights(5), weights(5))
    assert not np.array_equal(weights(5), weights(6))


def test_what_the_nodes_send_is_float32_for_the_large_network() -> None:
    found = images(source="bundled")
    pixels = found.samples[:64].reshape(64, -1).astype(np.float32) / np.float32(255)
    model = MODELS["cifar10"]
    trained = fit(model, model.start(), pixels, found.labels[:64], epochs=1, batch=32, learning_rate=0.001)
    assert [one.shape for one in trained] == [one.shape for one in model.start()]
    assert {one.dtype for one in trained} == {np.dtype("float32")}


def test_a_node_without_its_shard_is_told_and_the_others_go_on(shards: Path, tmp_path: Path) -> None:
    asked = config_of("sklearn", test_data=f"{shards}/test.npz", output_dir=str(tmp_path), num_server_rounds=1)
    grid = Nodes(client_app.app, 4, asked, data=f"{shards}/shard-{{}}.npz")
    server_app.main(grid, context(asked))
    told = json.loads((tmp_path / "metrics.json").read_text())
    assert told["degraded"].startswith("round 1: 3 of 4 results") and "no digits at" in told["degraded"]


def test_nodes_evaluate_when_they_are_asked(shards: Path, tmp_path: Path) -> None:
    told = run(shards, tmp_path, num_server_rounds=1, fraction_evaluate=1.0)
    assert 0.5 < told["rounds"][1]["evaluate"]["accuracy"] <= 1.0


@pytest.mark.parametrize("node", [0, 1])
def test_a_node_evaluates_on_images_that_nobody_trains_on(node: int) -> None:
    asked = config_of("sklearn", model="cifar10", data_source="bundled")
    place = Context(77, 1, {"partition-id": node, "num-partitions": 2}, RecordDict(), asked)
    content = RecordDict({"arrays": record_of(MODELS["cifar10"].start()), "config": ConfigRecord({})})
    answer = client_app.app(Message(content, 1, "evaluate"), place)
    (told,) = answer.content.metric_records.values()
    # Half of the fifth that is held back of 1,797.
    assert told["num-examples"] == 180 - node
