# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One node's fault is that node's failure: the others' results are used, and the log says why one is missing."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from digits import apps, new_model
from flower_ops.training.flower import array, look, record_of
from flower_ops.training.replies import out_of_range
from flower_ops.training.result import degraded
from flower_ops.training.rounds import Rounds
from flower_ops.training.settings import STRATEGIES, Settings
from flower_ops.training.strategies import build, mean
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from local_grid import LocalGrid
from run_support import read


def content(arrays: Any = None, **metrics: Any) -> RecordDict:
    figures = {name.replace("_", "-"): value for name, value in metrics.items()}
    return RecordDict(
        {"arrays": record_of(new_model() if arrays is None else arrays), "metrics": MetricRecord(figures)}
    )


def spoilt(value: float) -> list[np.ndarray[Any, Any]]:
    arrays = new_model()
    arrays[0][3, 4] = value
    return arrays


def raw(data: bytes, shape: tuple[int, ...] = (64, 10)) -> RecordDict:
    """A model whose first array is these bytes."""
    made = content(train_accuracy=1.0, num_examples=5)
    made["arrays"]["0"] = Array("float64", shape, "numpy.ndarray", data)  # type: ignore[index]
    return made


def npy(values: np.ndarray[Any, Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values, allow_pickle=True)
    return stream.getvalue()


FAULTS: dict[str, tuple[Callable[[], RecordDict], str]] = {
    "nan": (
        lambda: content(spoilt(np.nan), train_accuracy=1.0, num_examples=5),
        "array 0 has values that are not finite",
    ),
    "inf": (lambda: content(spoilt(-np.inf), train_accuracy=1.0, num_examples=5), "not finite"),
    "shape": (
        lambda: content([np.zeros(3)], train_accuracy=1.0, num_examples=5),
        "the shapes (3,) instead of (64, 10)",
    ),
    "text": (
        lambda: content([np.full((64, 10), "x"), np.zeros(10)], train_accuracy=1.0, num_examples=5),
        "not numbers",
    ),
    "no npy": (lambda: raw(b"MZ" * 99), "array 0 cannot be read: ValueError"),
    "empty": (lambda: raw(b""), "array 0 cannot be read"),
    "cut off": (lambda: raw(npy(np.zeros((64, 10)))[:-5]), "array 0 cannot be read"),
    "too long": (lambda: raw(npy(np.zeros((64, 10))) + b"\0" * 8), "array 0 cannot be read"),
    "objects": (lambda: raw(npy(np.full((64, 10), None))), "array 0 cannot be read"),
    "not the shape": (lambda: raw(npy(np.zeros(7))), "has the shape (7,) and not (64, 10), as it says"),
    "no weight": (lambda: content(train_accuracy=1.0), "num-examples is None, not a number above 0"),
    "zero": (lambda: content(train_accuracy=1.0, num_examples=0), "num-examples is 0"),
    "negative": (lambda: content(train_accuracy=1.0, num_examples=-7), "num-examples is -7"),
    "too many": (lambda: content(train_accuracy=1.0, num_examples=1e308), "num-examples is 1e+308"),
    "as many as none": (lambda: content(train_accuracy=1.0, num_examples=float("nan")), "num-examples is nan"),
    "list": (lambda: content(train_accuracy=1.0, num_examples=[1, 2]), "num-examples is [1, 2]"),
    "a list for a number": (
        lambda: content(train_accuracy=[1.0, 0.5], num_examples=5),
        "other names or forms than those of most nodes",
    ),
    "other metrics": (lambda: content(loss=1.0, num_examples=5), "other names or forms than those of most nodes"),
    "no metrics": (lambda: RecordDict({"arrays": record_of(new_model())}), "0 records of metrics"),
    "no arrays": (lambda: RecordDict({"m": MetricRecord({"num-examples": 1})}), "0 records of arrays"),
    "two models": (
        lambda: RecordDict({"a": ArrayRecord(), "b": ArrayRecord(), "m": MetricRecord({"num-examples": 1})}),
        "2 records of arrays",
    ),
}


def faulty(make: Callable[[], RecordDict]) -> ClientApp:
    client = ClientApp()

    @client.train()
    def train(message: Message, context: Context) -> Message:
        return Message(make(), reply_to=message)

    return client


@pytest.mark.parametrize("strategy", ["FedAvg", "Bulyan", "FedMedian"])
@pytest.mark.parametrize("fault", FAULTS)
def test_the_run_goes_on_without_a_node_whose_answer_is_of_no_use(strategy: str, fault: str) -> None:
    make, why = FAULTS[fault]
    nodes = apps(8)
    settings = Settings(strategy=strategy, num_malicious=1, min_available_clients=8, num_server_rounds=2)

    def run(grid: LocalGrid) -> tuple[list[Any], list[dict[str, Any]]]:
        rounds: list[dict[str, Any]] = []
        arrays = Rounds(grid, build(settings), settings).run(record_of(new_model()), rounds)
        return arrays.to_numpy_ndarrays(), rounds

    arrays, rounds = run(LocalGrid({**nodes, 5: faulty(make)}))
    without = LocalGrid(nodes)
    without.lost = {5}
    expected, _rounds = run(without)
    for left, right in zip(arrays, expected, strict=True):
        np.testing.assert_array_equal(left, right)
    for one in rounds:
        assert (one["nodes"], one["results"], list(one["failures"])) == (8, 7, ["5"])
        assert why in one["failures"]["5"]


@pytest.mark.parametrize("strategy", ["FedAvg", "Bulyan", "FedMedian"])
@pytest.mark.parametrize(
    ("kind", "far"),
    [
        ("float32", np.float64(1e300)),
        ("float32", np.float64(-1e39)),
        ("float16", np.float32(7e4)),
        ("int32", np.float64(2.0**31)),
        ("int32", np.float32(2.0**31)),
        ("int64", np.float64(2.0**63)),
        ("uint64", np.float64(2.0**64)),
        ("uint8", np.int64(-1)),
        ("int16", np.float16(32768)),
    ],
)
def test_a_value_that_the_model_cannot_hold_is_its_nodes_failure(strategy: str, kind: str, far: np.generic) -> None:
    nodes = {
        node: faulty(lambda value=value: content([np.full(4, value)], num_examples=5))  # type: ignore[misc]
        for node, value in enumerate([far.dtype.type(1)] * 2 + [far] + [far.dtype.type(1)] * 5, start=1)
    }
    settings = Settings(strategy=strategy, num_malicious=1, min_available_clients=8, num_server_rounds=1)
    rounds: list[dict[str, Any]] = []
    found = Rounds(LocalGrid(nodes), build(settings), settings).run(record_of([np.zeros(4, kind)]), rounds)
    np.testing.assert_array_equal(found.to_numpy_ndarrays()[0], np.ones(4, kind))
    assert rounds[0]["failures"] == {"3": f"its array 0 has values that {kind} does not hold"}


@pytest.mark.parametrize("sent", ["bool", "uint8", "int64", ">f8", "float16", "longdouble"])
@pytest.mark.parametrize("kind", ["bool", "uint64", "int8", "float16", "float32", "complex64"])
def test_small_numbers_of_any_type_fit_into_any_other(sent: str, kind: str) -> None:
    found = Message(content([np.ones(4, sent)], num_examples=5), reply_to=Message(RecordDict(), 1, "train"))
    assert out_of_range(found, [np.dtype(kind)]) is None


def test_one_far_value_of_little_weight_is_found_too() -> None:
    """Behind a mean that is within the range of the model, in another type than the first answer's."""
    ones, far = np.ones(4, np.float32), np.full(4, 1e40)
    nodes = {
        1: faulty(lambda: content([ones], num_examples=1_000_000)),
        2: faulty(lambda: content([far], num_examples=1)),
    }
    settings = Settings(num_server_rounds=1)
    rounds: list[dict[str, Any]] = []
    found = Rounds(LocalGrid(nodes), build(settings), settings).run(record_of([ones]), rounds)
    np.testing.assert_array_equal(found.to_numpy_ndarrays()[0], ones)
    assert list(rounds[0]["failures"]) == ["2"]


def test_a_model_with_integers_is_averaged_once_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    means: list[str] = []
    usual = mean.weighted_mean
    monkeypatch.setattr(mean, "weighted_mean", lambda *given: means.append("") or usual(*given))  # type: ignore[func-returns-value]
    arrays = [np.ones(4, np.float32), np.array([7], np.int64)]
    nodes = {node: faulty(lambda: content(arrays, num_examples=5)) for node in (1, 2)}
    settings = Settings(num_server_rounds=3)
    Rounds(LocalGrid(nodes), build(settings), settings).run(record_of(arrays), [])
    assert len(means) == 3


def test_what_a_node_names_its_arrays_never_reaches_the_log() -> None:
    made = ArrayRecord({"x\nERROR: all\x1b is lost": array(np.full((64, 10), np.nan)), "1": array(np.zeros(10))})
    named = RecordDict({"arrays": made, "metrics": MetricRecord({"num-examples": 5})})
    nodes = {node: faulty(lambda: named) for node in (1, 2)}
    settings = Settings(num_server_rounds=1)
    rounds: list[dict[str, Any]] = []
    Rounds(LocalGrid(nodes), build(settings), settings).run(record_of(new_model()), rounds)
    assert set(rounds[0]["failures"].values()) == {"its array 0 has values that are not finite"}


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("names", [("w", "n"), ("1", "0")])
def test_nodes_may_name_what_they_trained_as_they_like(strategy: str, names: tuple[str, str]) -> None:
    """By place; and by name where these are the model's own in another order."""
    arrays = [np.ones((6, 2)), np.array(3, np.int64)]
    named = dict(zip(names, arrays if names == ("w", "n") else arrays[::-1], strict=True))

    def made() -> RecordDict:
        record = ArrayRecord({name: array(values) for name, values in named.items()})
        return RecordDict({"arrays": record, "metrics": MetricRecord({"num-examples": 5})})

    settings = Settings(strategy=strategy, num_malicious=1, min_available_clients=7, num_server_rounds=3, server_lr=1)
    rounds: list[dict[str, Any]] = []
    grid = LocalGrid({node: faulty(made) for node in range(1, 8)})
    found = Rounds(grid, build(settings), settings).run(record_of([np.zeros((6, 2)), np.array(3, np.int64)]), rounds)
    assert [one["results"] for one in rounds] == [7, 7, 7]
    assert list(found) == ["0", "1"]
    weights, count = (one.numpy() for one in found.values())
    assert weights.shape == (6, 2) and weights.min() > 0.1
    assert (count.dtype, count.tolist()) == (np.int64, 3)


@pytest.mark.parametrize("strategy", ["FedAdam", "FedTrimmedAvg", "FedMedian", "Krum", "FaultTolerantFedAvg"])
@pytest.mark.parametrize("header", ["(-1, 10)", "(64, -1)", "subarray"])
def test_arrays_that_flower_refuses_are_refused_before(strategy: str, header: str) -> None:
    """A header that leaves a size open, or packs numbers in pairs."""
    plain = npy(np.zeros((64, 10), np.float32))
    head = plain[10:128].decode()
    changed = head.replace("'<f4'", "'2<f4'").replace("(64, 10)", "(64, 5)") if header == "subarray" else head
    changed = changed.replace("(64, 10)", header) if header != "subarray" else changed
    data = plain[:10] + changed.rstrip().ljust(117).encode() + b"\n" + plain[128:]
    nodes = {**apps(7), 5: faulty(lambda: raw(data))}
    settings = Settings(strategy=strategy, num_malicious=1, min_available_clients=7, num_server_rounds=1)
    rounds: list[dict[str, Any]] = []
    Rounds(LocalGrid(nodes), build(settings), settings).run(record_of(new_model("float32")), rounds)
    assert rounds[0]["results"] == 6 and list(rounds[0]["failures"]) == ["5"]


def test_the_mean_has_room_for_all_nodes_values() -> None:
    """Whichever type the node with the lowest id answers in."""
    half, full = np.ones(4, np.float16), np.full(4, 2e5, np.float32)
    nodes = {node: faulty(lambda one=one: content([one], num_examples=1)) for node, one in ((1, half), (2, full))}  # type: ignore[misc]
    settings = Settings(num_server_rounds=1)
    for model, expected in ((np.zeros(4, np.float32), 100000.5), (np.zeros(4, np.int64), 100000)):
        found = Rounds(LocalGrid(nodes), build(settings), settings).run(record_of([model]), [])
        np.testing.assert_array_equal(found["0"].numpy(), np.full(4, expected, model.dtype))


def test_one_far_value_does_not_freeze_adam_for_good() -> None:
    """Its square is beyond float32: the round is void, and later ones learn."""
    far = iter([1e25, 1.0, 1.0, 1.0])
    nodes = {
        1: faulty(lambda: content([np.full(4, next(far), np.float32)], num_examples=1)),
        2: faulty(lambda: content([np.ones(4, np.float32)], num_examples=1)),
    }
    settings = Settings(strategy="FedAdam", num_server_rounds=4)
    rounds: list[dict[str, Any]] = []
    found = Rounds(LocalGrid(nodes), build(settings), settings).run(record_of([np.zeros(4, np.float32)]), rounds)
    assert [one["aggregated"] for one in rounds] == [False, True, True, True]
    assert found["0"].numpy().min() > 0.1


def test_trimming_that_would_trim_nothing_is_no_round() -> None:
    """One of five lies and another one is away: the mean of the four others would be the liar's."""
    nodes = {node: faulty(lambda: content([np.zeros(4)], num_examples=1)) for node in (1, 2, 3, 4)}
    nodes[5] = faulty(lambda: content([np.full(4, 1e6)], num_examples=1))
    settings = Settings(strategy="FedTrimmedAvg", trim_beta=0.2, min_available_clients=5, num_server_rounds=2)
    grid = LocalGrid(nodes)
    rounds: list[dict[str, Any]] = []
    grid.before_round = lambda number: grid.lost.update({4} if number == 2 else set())
    found = Rounds(grid, build(settings), settings).run(record_of([np.full(4, 7.0)]), rounds)
    np.testing.assert_array_equal(found["0"].numpy(), np.zeros(4))
    assert [one["aggregated"] for one in rounds] == [True, False]
    assert (degraded(rounds) or "").startswith("round 2: 4 of 5 results, none of them used")


def test_overflow_of_finite_answers_leaves_the_model_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    great = np.full(4, 3.4e38, np.float32)
    nodes = {node: faulty(lambda: content([great], num_examples=1)) for node in range(1, 6)}
    settings = Settings(strategy="FedTrimmedAvg", trim_beta=0.2, min_available_clients=5, num_server_rounds=1)
    rounds: list[dict[str, Any]] = []
    found = Rounds(LocalGrid(nodes), build(settings), settings).run(record_of([np.zeros(4, np.float32)]), rounds)
    np.testing.assert_array_equal(found["0"].numpy(), np.zeros(4))
    assert not rounds[0]["aggregated"] and "would not be finite" in caplog.text


def test_missing_evaluations_are_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    nodes = {**apps(2), 3: faulty(lambda: content(train_accuracy=1.0, num_examples=5))}
    settings = Settings(num_server_rounds=1, fraction_evaluate=1.0, min_available_clients=3)
    rounds: list[dict[str, Any]] = []
    Rounds(LocalGrid(nodes), build(settings), settings).run(record_of(new_model()), rounds)
    assert (rounds[0]["results"], rounds[0]["evaluating"]["results"]) == (3, 2)
    assert (degraded(rounds) or "").startswith("round 1: 2 of 3 evaluations (node 3: ")
    log = [f"{record.levelname} :      {record.getMessage()}" for record in caplog.records]
    assert (read(log)[1] or "").startswith("round 1: 2 of 3 evaluations; first error: node 3")


def test_an_evaluation_that_is_left_out_is_told_to_all(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    grid = LocalGrid(apps(2))
    settings = Settings(num_server_rounds=1, fraction_evaluate=1.0)
    strategy = build(settings)
    usual = strategy.aggregate_train
    # One goes between training and evaluation.
    strategy.aggregate_train = lambda *given: grid.away.add(2) or usual(*given)  # type: ignore[func-returns-value,method-assign]
    rounds: list[dict[str, Any]] = []
    Rounds(grid, strategy, settings).run(record_of(new_model()), rounds)
    assert degraded(rounds) == "round 1: 0 of 2 evaluations"
    log = [f"{record.levelname} :      {record.getMessage()}" for record in caplog.records]
    assert (read(log)[1] or "").startswith("round 1: 0 of 2 evaluations")


def test_great_numbers_whose_sum_is_too_great_are_numbers_all_the_same() -> None:
    great = [np.full((64, 10), 3e38, np.float32), np.zeros(10, np.float32)]
    nodes = {node: faulty(lambda: content(great, num_examples=1)) for node in (1, 2, 3)}
    settings = Settings(num_server_rounds=1, strategy="FedMedian")
    rounds: list[dict[str, Any]] = []
    start = record_of([np.zeros((64, 10), np.float32), np.zeros(10, np.float32)])
    Rounds(LocalGrid(nodes), build(settings), settings).run(start, rounds)
    assert rounds[0]["results"] == 3


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", ["float16", "float32", ">f8", "int64", "bool", "uint8"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 4), (2, 3, 4)])
def test_a_look_sees_what_flower_reads(shape: tuple[int, ...], kind: str, order: Any) -> None:
    values = np.asarray(np.random.default_rng(2).integers(0, 2, shape), kind, order)
    one = Array(values)
    np.testing.assert_array_equal(look(one), one.numpy())
    assert look(one).dtype == one.numpy().dtype and look(one).shape == shape
    # And what is written is what Flower writes.
    ours = array(values)
    assert (ours.dtype, tuple(ours.shape), ours.stype, ours.data) == (one.dtype, shape, one.stype, one.data)
