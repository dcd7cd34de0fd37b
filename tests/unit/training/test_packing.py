# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Models travel as one array where both ends read them so, and nobody else notices."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from digits import apps, new_model
from flower_ops.training.client import messages
from flower_ops.training.client.parcels import parcels_mod
from flower_ops.training.flower import Arrays, arrays_of, record_of
from flower_ops.training.packing import FORM, LARGE, LONGEST, MOST, NAME, OFFER, PARCEL, is_packed, packed, unpacked
from flower_ops.training.rounds import Rounds
from flower_ops.training.settings import Settings
from flower_ops.training.strategies import build
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.mod import LocalDpMod
from local_grid import LocalGrid


def plain_app() -> ClientApp:
    """One that knows Flower's names only."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        arrays = next(iter(message.content.array_records.values())).to_numpy_ndarrays()
        content = {"arrays": record_of([one + 1 for one in arrays]), "metrics": MetricRecord({"num-examples": 1})}
        return Message(RecordDict(content), reply_to=message)

    return app


def whole_app(tasks: list[messages.Task], *mods: Any) -> ClientApp:
    """One that opens parcels, and has other mods inside."""
    app = ClientApp(mods=[parcels_mod, *mods])

    @app.train()
    def train(message: Message, context: Context) -> Message:
        tasks.append(messages.task_of(message))
        return messages.trained(message, [one + 1 for one in tasks[-1].arrays], 1)

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        # Read by Flower's own names: whoever has the mod may do so.
        first = next(iter(message.content.array_records.values())).to_numpy_ndarrays()[0]
        return messages.evaluated(message, 1, {"mean": float(first.mean())})

    return app


def quiet_app() -> ClientApp:
    """One without the mod that answers without a model when it cannot read the one it got."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        try:
            arrays = next(iter(message.content.array_records.values())).to_numpy_ndarrays()
        except TypeError:
            return messages.evaluated(message, 1, {"sorry": 1.0})
        return messages.trained(message, [one + 1 for one in arrays], 1)

    return app


def run(grid: LocalGrid, **settings: Any) -> tuple[Arrays, list[dict[str, Any]]]:
    chosen = Settings(min_available_clients=len(grid.nodes), num_server_rounds=3, **settings)
    rounds: list[dict[str, Any]] = []
    start = [np.zeros((2, 3), np.float32), np.zeros(4, np.float32)]
    return arrays_of(Rounds(grid, build(chosen), chosen).run(record_of(start), rounds)), rounds


def forms(sent: list[Message], kind: str = "train") -> list[tuple[int, int, bool]]:
    """Of messages with a model: round, node, whether packed."""
    found = []
    for one in sent:
        if one.metadata.message_type == kind and one.has_content() and one.content.array_records:
            config = next(iter(one.content.config_records.values()), {})
            node = int(one.metadata.dst_node_id)
            (record,) = one.content.array_records.values()
            found.append((int(config.get("server-round", 0)), node, is_packed(record)))
    return found


@pytest.mark.parametrize("kind", ["float16", ">f8", "int64", "bool"])
def test_arrays_come_out_as_they_went_in(kind: str) -> None:
    rng = np.random.default_rng(1)
    arrays = [(100 * rng.normal(size=shape)).astype(kind) for shape in ((3, 4), (0,), (2, 1, 2))]
    arrays += [np.asfortranarray(arrays[0]), np.array(7).astype(kind)]
    record = ArrayRecord({f"läyer.{place}": one for place, one in enumerate(record_of(arrays).values())})
    again = unpacked(packed(record))
    assert list(again) == list(record)
    for name in record:
        for part in ("dtype", "shape", "stype", "data"):
            assert getattr(again[name], part) == getattr(record[name], part)
    assert unpacked(record) is record


def sized(*lengths: int) -> ArrayRecord:
    return ArrayRecord(
        {f"a{place}": Array("x", (length,), "x", bytes([place % 251]) * length) for place, length in enumerate(lengths)}
    )


@pytest.mark.parametrize(
    ("lengths", "objects"),
    [
        ((), []),
        ((9,), ["a0"]),
        ((9, 9), ["a0+"]),
        ((LARGE, LARGE), ["a0", "a1"]),
        ((9, LARGE, 9, 9, LARGE, 9), ["a0", "a1", "a2+", "a4", "a5"]),
        ((0, LARGE - 1, LARGE), ["a0+", "a2"]),
        ((LARGE // 2,) * 19, ["a0+", "a7+", "a14+"]),
        ((PARCEL + 1, 0, 9), ["a0", "a1+"]),
        ((9,) * (MOST + 2), ["a0+", f"a{MOST}+"]),
    ],
)
def test_small_arrays_share_parcels_and_large_ones_travel_alone(lengths: tuple[int, ...], objects: list[str]) -> None:
    record = sized(*lengths)
    sent = packed(record)
    assert [f"{name.removeprefix(NAME)}+" if name.startswith(NAME) else name for name in sent] == objects
    assert all(len(one.data) <= PARCEL + 1000 for one in sent.values() if one.stype == FORM)
    again = unpacked(sent)
    assert [(name, one.data) for name, one in again.items()] == [(name, one.data) for name, one in record.items()]


@pytest.mark.parametrize("name", [NAME + "0", "n" * (LONGEST + 1), "half a letter \ud800"])
def test_a_model_with_names_that_do_not_fit_is_left_alone(name: str) -> None:
    record = ArrayRecord({name: Array("x", (1,), "x", b"a"), "0": Array("x", (1,), "x", b"b")})
    assert packed(record) is record


def test_a_model_is_packed_from_the_second_round_on() -> None:
    tasks: list[messages.Task] = []
    grid = LocalGrid({1: whole_app(tasks), 2: whole_app(tasks)})
    arrays, rounds = run(grid, fraction_evaluate=1.0, min_evaluate_clients=2)
    assert sorted(forms(grid.sent)) == [(number, node, number > 1) for number in (1, 2, 3) for node in (1, 2)]
    assert all(packed for _round, _node, packed in forms(grid.sent, "evaluate"))
    assert all(is_packed(record) for one in grid.answered for record in one.content.array_records.values())
    assert all((one == 3).all() for one in arrays) and [one["results"] for one in rounds] == [2, 2, 2]
    assert rounds[-1]["evaluate"]["mean"] == 3 and not any(OFFER in task.told for task in tasks)


def test_apps_that_read_flowers_form_get_it_beside_others_that_do_not() -> None:
    grid = LocalGrid({1: plain_app(), 2: whole_app([])})
    arrays, rounds = run(grid)
    assert [packed for _round, node, packed in forms(grid.sent) if node == 1] == [False] * 3
    assert [packed for _round, node, packed in forms(grid.sent) if node == 2] == [False, True, True]
    assert all((one == 3).all() for one in arrays) and [one["results"] for one in rounds] == [2, 2, 2]


def test_mods_of_flower_see_arrays_as_always() -> None:
    """One that compares the names of arrays before and after training."""
    noise = LocalDpMod(clipping_norm=1e6, sensitivity=1e-9, epsilon=1e9, delta=0.5)
    grid = LocalGrid({1: whole_app([], noise), 2: whole_app([], noise)})
    arrays, rounds = run(grid)
    assert [one["results"] for one in rounds] == [2, 2, 2]
    assert sorted(forms(grid.sent))[-1] == (3, 2, True)
    for one in arrays:
        np.testing.assert_allclose(one, 3, atol=1e-3)


@pytest.mark.parametrize("other", [plain_app, quiet_app])
def test_a_node_that_came_back_with_another_app_is_lost_for_one_round_only(other: Any) -> None:
    grid = LocalGrid({1: whole_app([]), 2: whole_app([])})

    def before(number: int) -> None:
        if number == 2:
            grid.nodes[2] = other()

    grid.before_round = before
    _arrays, rounds = run(grid)
    assert [one["results"] for one in rounds] == [2, 1, 2]


def test_a_node_that_opens_parcels_in_training_only_evaluates_all_the_same() -> None:
    def half_app() -> ClientApp:
        app = ClientApp()

        @app.train(mods=[parcels_mod])
        def train(message: Message, context: Context) -> Message:
            return messages.trained(message, [one + 1 for one in messages.task_of(message).arrays], 1)

        @app.evaluate()
        def evaluate(message: Message, context: Context) -> Message:
            first = next(iter(message.content.array_records.values())).to_numpy_ndarrays()[0]
            return messages.evaluated(message, 1, {"mean": float(first.mean())})

        return app

    grid = LocalGrid({1: half_app(), 2: whole_app([])})
    _arrays, rounds = run(grid, fraction_evaluate=1.0, min_evaluate_clients=2)
    assert [(number, packed) for number, node, packed in forms(grid.sent) if node == 1] == [
        (1, False),
        (2, True),
        (3, True),
    ]
    assert [packed for _round, node, packed in forms(grid.sent, "evaluate") if node == 1] == [True, False, False]
    assert [packed for _round, node, packed in forms(grid.sent, "evaluate") if node == 2] == [True] * 3
    assert [one["evaluate"]["mean"] for one in rounds] == [1, 2, 3]


def test_the_loop_of_flower_gets_what_it_always_got() -> None:
    asked = Message(RecordDict({"arrays": record_of(new_model()), "config": ConfigRecord({})}), 1, "train")
    context = Context(run_id=1, node_id=1, node_config={}, state=RecordDict(), run_config={})
    (record,) = whole_app([])(asked, context).content.array_records.values()
    assert not is_packed(record)


def test_the_model_is_the_same_as_without() -> None:
    settings = Settings(min_available_clients=4, num_server_rounds=3)
    models = []
    for wanted in (True, False):
        grid = LocalGrid(apps(4, parcels=wanted))
        models.append(arrays_of(Rounds(grid, build(settings), settings).run(record_of(new_model()), [])))
        assert any(packed for _round, _node, packed in forms(grid.sent)) == wanted
    for left, right in zip(*models, strict=True):
        np.testing.assert_array_equal(left, right)


def forged(listed: object, rest: bytes = b"") -> ArrayRecord:
    head = json.dumps(listed).encode()
    return raw(len(head).to_bytes(8, "little") + head + rest)


def raw(data: bytes) -> ArrayRecord:
    return ArrayRecord({NAME: Array("uint8", (len(data),), FORM, data)})


BAD = {
    "empty": raw(b""),
    "no list": raw((3).to_bytes(8, "little") + b"{]"),
    "a list that is longer than all": raw((1 << 60).to_bytes(8, "little") + b"[]"),
    "a number": forged(5),
    "no lists in it": forged([5]),
    "a parcel in a parcel": forged([["0", "uint8", [4], FORM, 4]], b"1234"),
    "too deep": raw((100_000).to_bytes(8, "little") + b"[" * 100_000),
    "a length below zero": forged([["0", "float32", [1], "numpy.ndarray", -4]], b"1234"),
    "a length as text": forged([["0", "float32", [1], "numpy.ndarray", "4"]], b"1234"),
    "more than there is": forged([["0", "float32", [1], "numpy.ndarray", 1 << 40]], b"1234"),
    "less than there is": forged([["0", "float32", [1], "numpy.ndarray", 3]], b"1234"),
    "twice": forged([["0", "float32", [1], "numpy.ndarray", 2]] * 2, b"1234"),
    "a shape that is none": forged([["0", "float32", 7, "numpy.ndarray", 4]], b"1234"),
    "a type that is none": forged([["0", None, [1], "numpy.ndarray", 4]], b"1234"),
    "a name that is none": forged([[7, "float32", [1], "numpy.ndarray", 4]], b"1234"),
}


def test_a_list_that_takes_much_memory_is_not_read() -> None:
    with pytest.raises(ValueError, match=r"the list of arrays has [0-9]{7} bytes"):
        unpacked(forged([{}] * 400_000))


@pytest.mark.parametrize("name", BAD)
def test_forged_arrays_are_their_nodes_failure(name: str) -> None:
    with pytest.raises(ValueError, match="packed arrays cannot be read"):
        unpacked(BAD[name])
    hostile = ClientApp()

    @hostile.train()
    def train(message: Message, context: Context) -> Message:
        content = {"arrays": BAD[name], "metrics": MetricRecord({"num-examples": 1})}
        return Message(RecordDict(content), reply_to=message)

    grid = LocalGrid({1: whole_app([]), 2: hostile, 3: whole_app([])})
    arrays, rounds = run(grid)
    assert all((one == 3).all() for one in arrays)
    assert [(one["results"], list(one["failures"])) for one in rounds] == [(2, ["2"])] * 3
