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
from flower_ops.training.rounds import Rounds
from flower_ops.training.settings import Settings
from flower_ops.training.strategies import build, mean
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from local_grid import LocalGrid


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


def test_what_a_node_names_its_arrays_is_one_line_of_the_log() -> None:
    made = ArrayRecord({"x\nERROR: all\x1b is lost": array(np.full((64, 10), np.nan)), "1": array(np.zeros(10))})
    named = RecordDict({"arrays": made, "metrics": MetricRecord({"num-examples": 5})})
    nodes = {node: faulty(lambda: named) for node in (1, 2)}
    settings = Settings(num_server_rounds=1)
    rounds: list[dict[str, Any]] = []
    Rounds(LocalGrid(nodes), build(settings), settings).run(record_of(new_model()), rounds)
    assert set(rounds[0]["failures"].values()) == {"its array x ERROR: all? is lost has values that are not finite"}


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
