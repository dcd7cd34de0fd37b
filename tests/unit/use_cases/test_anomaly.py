# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Anomaly detection from the survey to the final model, with scikit-learn on every node."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anomaly_detection import model as regression
from anomaly_detection.fit import Scale, fit
from anomaly_detection.model import chances, new
from federation import Case, plan_in
from flower_ops.training.data import own_table
from flower_ops.training.errors import NodesMissing
from sklearn.linear_model import LogisticRegression

CASE = "anomaly-detection"
SOON = {"node_wait_timeout": 0.2}


def own(folder: Path, nodes: int = 2, classes: tuple[str, ...] = ("ok", "odd"), features: int = 3) -> dict[int, Any]:
    """Configurations of nodes with tables of their own, without any partition."""
    dice = np.random.RandomState(3)
    configs = {}
    for node in range(1, nodes + 1):
        place = folder / f"data-{node}"
        place.mkdir()
        lines = []
        for number in range(60):
            kind = number % len(classes)
            values = dice.normal(4 * kind, 1, features)
            lines.append(",".join([*(f"{value:.3f}" for value in values), classes[kind]]))
        (place / "data.csv").write_text("\n".join(lines))
        configs[node] = {"data": str(place)}
    return configs


def test_iris_is_learned_and_each_round_needs_one_message(tmp_path: Path) -> None:
    result, grid = Case(CASE, nodes=4).run(num_server_rounds=10, output_dir=str(tmp_path), min_available_clients=4)
    assert grid.kinds() == ["query.survey"] * 4 + ["train"] * 40 + ["evaluate"] * 4
    assert result.degraded is None and [one["results"] for one in result.rounds[1:]] == [4] * 10
    assert result.rounds[1]["train"]["start-accuracy"] < 0.5
    assert result.metrics[10]["accuracy"] >= 0.9, result.metrics[10]
    assert result.metrics[10]["bundled-data"] == 1.0
    assert [array.shape for array in result.arrays] == [(3, 4), (3,)]
    with np.load(tmp_path / "model.npz") as model:
        assert sorted(model) == ["coef_", "intercept_"]
    plan = plan_in(tmp_path)
    assert plan["classes"] == ["setosa", "versicolor", "virginica"] and plan["source"] == "bundled"


def test_own_tables_of_other_form_and_two_classes(tmp_path: Path) -> None:
    result, _grid = Case(CASE, configs=own(tmp_path)).run(num_server_rounds=6, output_dir=str(tmp_path))
    # scikit-learn keeps one row for two classes.
    assert [array.shape for array in result.arrays] == [(1, 3), (1,)]
    assert result.metrics[6]["accuracy"] >= 0.95 and result.metrics[6]["bundled-data"] == 0.0
    assert plan_in(tmp_path)["classes"] == ["odd", "ok"]


def test_a_node_that_lacks_a_class_counts_like_the_others(tmp_path: Path) -> None:
    configs = own(tmp_path, classes=("a", "b", "c"))
    place = Path(configs[2]["data"]) / "data.csv"
    place.write_text("\n".join(line for line in place.read_text().splitlines() if not line.endswith("b")))
    result, _grid = Case(CASE, configs=configs).run(num_server_rounds=8)
    assert result.degraded is None and result.metrics[8]["accuracy"] >= 0.9


def test_numbers_as_labels_stand_for_themselves(tmp_path: Path) -> None:
    result, _grid = Case(CASE, configs=own(tmp_path, classes=("0", "2"))).run(num_server_rounds=2)
    assert result.arrays[0].shape == (3, 3)


def test_own_data_is_not_mixed_with_bundled_data(tmp_path: Path, log: list[str]) -> None:
    configs = {**own(tmp_path, nodes=1), 2: {"partition-id": 1, "num-partitions": 2}}
    with pytest.raises(
        NodesMissing, match=r"1 of 2 nodes that the run needs have data of their own \(node 1; not node"
    ):
        Case(CASE, configs=configs).run(**SOON)
    # Where one is enough, the other is left out and told.
    result, grid = Case(CASE, configs=configs).run(min_available_clients=1, min_fit_clients=1)
    assert {message.metadata.dst_node_id for message in grid.sent if message.metadata.message_type == "train"} == {1}
    assert any("Node 2 takes no part: it has no data of its own, only the bundled iris flowers." in one for one in log)
    # And the operator may say that all train on the bundled data.
    configs[1].update({"partition-id": 0, "num-partitions": 2})
    result, grid = Case(CASE, configs=configs).run(data_source="bundled", num_server_rounds=1)
    assert result.rounds[1]["results"] == 2 and result.rounds[1]["train"]["bundled-data"] == 1.0


def test_tables_of_different_width_are_not_averaged(tmp_path: Path, log: list[str]) -> None:
    configs = own(tmp_path, nodes=2)
    (tmp_path / "wide").mkdir()
    configs[3] = own(tmp_path / "wide", nodes=1, features=5)[1]
    result, _grid = Case(CASE, configs=configs).run(num_server_rounds=1)
    assert result.rounds[1]["nodes"] == 2
    assert any("Node 3 takes no part: it has 5 features a line, and the run trains on 3." in line for line in log)


def test_faults_of_data_reach_the_operator_with_their_node(tmp_path: Path) -> None:
    configs = own(tmp_path)
    (Path(configs[2]["data"]) / "data.csv").write_text("1,x,a\n2,3,b\n")
    with pytest.raises(NodesMissing, match="node 2 cannot take part: The table in .* column 2 of line 1"):
        Case(CASE, configs=configs).run(**SOON)
    with pytest.raises(NodesMissing, match="node 1 cannot take part: The node configuration has no partition-id"):
        Case(CASE, configs={1: {}, 2: {}}).run(**SOON)


def test_fedprox_stays_nearer_to_where_it_began() -> None:
    def apart(**config: Any) -> float:
        result, _grid = Case(CASE).run(num_server_rounds=1, **config)
        return float(sum(np.abs(array).sum() for array in result.arrays))

    alone = apart()
    assert apart(strategy="FedProx", proximal_mu=0.0) == pytest.approx(alone)
    assert apart(strategy="FedProx", proximal_mu=3.0) == pytest.approx(alone / 4)


def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    kept = {"training": "t", "checkpoint_enabled": True}
    whole, _grid = Case(CASE).run(num_server_rounds=4, checkpoint_path=str(tmp_path / "whole"), **kept)
    place = {"checkpoint_path": str(tmp_path / "parts"), **kept}
    Case(CASE).run(num_server_rounds=2, **place)
    rest, grid = Case(CASE).run(num_server_rounds=4, run_id=78, **place)
    assert rest.resumed_from == 2 and grid.kinds().count("train") == 4
    for one, other in zip(whole.arrays, rest.arrays, strict=True):
        np.testing.assert_array_equal(one, other)
    assert whole.metrics[4] == rest.metrics[4]


def test_a_resumed_training_keeps_its_data(tmp_path: Path) -> None:
    kept = {"training": "t", "checkpoint_enabled": True, "checkpoint_path": str(tmp_path / "kept")}
    Case(CASE).run(num_server_rounds=1, **kept)
    # Meanwhile somebody has put data of the same form on both nodes.
    configs = own(tmp_path, classes=("setosa", "versicolor", "virginica"), features=4)
    with pytest.raises(NodesMissing, match="node 1 has data of its own, and the run trains on the bundled iris"):
        Case(CASE, configs=configs).run(num_server_rounds=2, **SOON, **kept)


def test_chances_are_those_of_scikit_learn() -> None:
    dice = np.random.RandomState(0)
    samples = dice.normal(size=(50, 3))
    for classes in (2, 4):
        labels = np.arange(50) % classes
        model = LogisticRegression().fit(samples, labels)
        arrays = [model.coef_, model.intercept_]
        np.testing.assert_allclose(chances(arrays, samples), model.predict_proba(samples), atol=1e-12)
        assert regression.test(arrays, samples, labels)[1] == model.score(samples, labels)


def test_a_fit_goes_on_from_what_came() -> None:
    dice = np.random.RandomState(0)
    samples, labels = dice.normal(size=(60, 3)), np.arange(60) % 3
    samples[:, 0] += labels
    once = fit(new(3, 3), samples, labels, 3, 1, 0.0)
    twice = fit(once, samples, labels, 3, 1, 0.0)
    losses = [regression.test(arrays, samples, labels)[0] for arrays in (new(3, 3), once, twice)]
    assert losses[0] > losses[1] > losses[2]
    # A missing class is there without weight: its presence alone changes nothing of the other classes' order.
    few = labels != 1
    assert fit(new(3, 3), samples[few], labels[few], 3, 1, 0.0)[0].shape == (3, 3)


def test_scaling_changes_no_answer() -> None:
    dice = np.random.RandomState(0)
    samples = dice.normal(size=(20, 3)) * [1, 1000, 0.01] + [0, 5000, 7]
    samples[:, 2] = 7
    scale, arrays = Scale(samples), [dice.normal(size=(4, 3)), dice.normal(size=4)]
    np.testing.assert_allclose(chances(scale.inwards(arrays), scale.samples(samples)), chances(arrays, samples))
    for one, other in zip(scale.outwards(scale.inwards(arrays)), arrays, strict=True):
        np.testing.assert_allclose(one, other)


def test_columns_of_any_size_are_learned(tmp_path: Path) -> None:
    configs = own(tmp_path)
    for config in configs.values():
        place = Path(config["data"]) / "data.csv"
        rows = [line.split(",") for line in place.read_text().splitlines()]
        place.write_text("\n".join(f"{float(row[0]) * 1e6},{float(row[1]) / 1e6},{row[3]}" for row in rows))
    result, _grid = Case(CASE, configs=configs).run(num_server_rounds=5)
    assert result.metrics[5]["accuracy"] >= 0.95


def test_bundled_data_is_a_warning_unless_it_was_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    def told(**config: Any) -> list[int]:
        caplog.clear()
        with caplog.at_level("INFO", "flwr"):
            Case(CASE).run(num_server_rounds=1, **config)
        return [one.levelno for one in caplog.records if one.getMessage().startswith("All nodes train on the bundled")]

    assert told() == [logging.WARNING] and told(data_source="bundled") == [logging.INFO]


def test_tables_with_other_columns_are_not_averaged(tmp_path: Path, log: list[str]) -> None:
    configs = own(tmp_path, nodes=4)
    for node, header in {1: "a,b,c,kind", 2: "A,B,C,label", 3: "c,b,a,kind"}.items():
        place = Path(configs[node]["data"]) / "data.csv"
        place.write_text(f"{header}\n{place.read_text()}")
    # The fourth has no header, so nothing is known of its columns.
    result, _grid = Case(CASE, configs=configs).run(num_server_rounds=1)
    assert result.rounds[1]["nodes"] == 3
    assert any(line.startswith("Node 3 takes no part: it has a header with other names of columns") for line in log)


def test_labels_may_be_written_in_other_ways(tmp_path: Path) -> None:
    configs = own(tmp_path, classes=("0", "1"))
    place = Path(configs[2]["data"]) / "data.csv"
    place.write_text("\n".join(f"{line}.0" for line in place.read_text().splitlines()))
    result, _grid = Case(CASE, configs=configs).run(num_server_rounds=1, output_dir=str(tmp_path / "out"))
    assert plan_in(tmp_path / "out")["classes"] == ["0", "1"] and result.rounds[1]["results"] == 2


def test_files_of_another_kind_are_no_reason_for_bundled_data(tmp_path: Path) -> None:
    (tmp_path / "data.tsv").write_text("1\ta\n")
    configs = {node: {"partition-id": node - 1, "num-partitions": 2, "data": str(tmp_path)} for node in (1, 2)}
    with pytest.raises(NodesMissing, match=r"node 1 cannot take part: .* has files \(1 .tsv\), but no data.csv"):
        Case(CASE, configs=configs).run(**SOON)


def test_more_nodes_than_test_samples_are_found_before_the_first_round() -> None:
    configs = {node: {"partition-id": node - 1, "num-partitions": 31} for node in (1, 2)}
    with pytest.raises(NodesMissing, match="node 1 cannot take part: 30 samples cannot be cut into 31 partitions"):
        Case(CASE, configs=configs).run(**SOON)


@pytest.mark.parametrize("fault", ["data.csv", "data.parquet"])
def test_own_data_that_cannot_be_used_is_no_reason_for_bundled_data(tmp_path: Path, fault: str, log: list[str]) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / fault).write_text("1,x,a\n")
    configs = {node: {"partition-id": node - 1, "num-partitions": 3} for node in (1, 2, 3)}
    configs[3]["data"] = str(tmp_path / "bad")  # type: ignore[assignment]
    told = (
        r"not begin: the only nodes with data of their own cannot use it \(node 3 cannot take part: .*(no number|parq)"
    )
    with pytest.raises(NodesMissing, match=told) as caught:
        Case(CASE, configs=configs).run(**SOON)
    assert 'set data-source to "bundled" or "hub" to train on other data on purpose' in str(caught.value)
    assert not any("All nodes train" in line for line in log)
    result, _grid = Case(CASE, configs=configs).run(data_source="bundled", num_server_rounds=1)
    assert result.rounds[1]["results"] == 3
    # Beside enough own data that can be used it is left out.
    configs |= own(tmp_path)
    result, _grid = Case(CASE, configs=configs).run(num_server_rounds=1)
    assert result.rounds[1]["results"] == 2 and result.rounds[1]["train"]["bundled-data"] == 0.0


@pytest.mark.parametrize("labels", [("0.0", "1.0"), ("1.0", "2.0")])
def test_a_training_goes_on_whose_plan_has_labels_as_tables_wrote_them(
    tmp_path: Path, labels: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    configs = own(tmp_path, classes=labels)
    kept = {"training": "t", "checkpoint_enabled": True, "checkpoint_path": str(tmp_path / "kept")}
    with monkeypatch.context() as before:
        before.setattr(own_table, "label_of", str)
        first, _grid = Case(CASE, configs=configs).run(num_server_rounds=1, output_dir=str(tmp_path / "a"), **kept)
    assert plan_in(tmp_path / "a")["classes"] == list(labels)
    result, _grid = Case(CASE, configs=configs).run(num_server_rounds=4, **SOON, **kept)
    assert result.resumed_from == 1 and [one["results"] for one in result.rounds[2:]] == [2] * 3
    assert result.metrics[4]["accuracy"] >= 0.9


def test_classes_of_a_node_that_takes_no_part_are_none_of_the_models(tmp_path: Path) -> None:
    configs = own(tmp_path, nodes=3)
    for node, header in {1: "a,b,c,kind", 2: "a,b,c,kind", 3: "c,b,a,kind"}.items():
        place = Path(configs[node]["data"]) / "data.csv"
        text = place.read_text().replace("odd", "strange") if node == 3 else place.read_text()
        place.write_text(f"{header}\n{text}")
    result, _grid = Case(CASE, configs=configs).run(num_server_rounds=1, output_dir=str(tmp_path / "out"))
    assert plan_in(tmp_path / "out")["classes"] == ["odd", "ok"] and result.rounds[1]["results"] == 2
