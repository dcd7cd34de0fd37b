# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bundled digits on several nodes, and a ClientApp that trains softmax regression on them with NumPy."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from flower_ops.training.client import proximal
from flower_ops.training.client.describe import answer as describe
from flower_ops.training.client.messages import evaluated, task_of, trained
from flower_ops.training.client.parcels import parcels_mod
from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[3]
LEARNING_RATE = 0.5
STEPS = 12
BATCH = 32

Arrays = list[NDArray[Any]]
Data = tuple[NDArray[np.float64], NDArray[np.int64]]


@functools.cache
def all_digits() -> Data:
    """Images (1797, 64) from 0 to 1, and their digits."""
    place = ROOT / "demos/sklearn/make_shards.py"
    spec = importlib.util.spec_from_file_location("make_shards", place)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    rows = module.read_digits()
    return np.array([list(row[0]) for row in rows]) / 16.0, np.array([row[1] for row in rows])


def shard(node: int, nodes: int, by_label: bool = False) -> Data:
    """The part of a node, 1 to `nodes`: of different sizes, so that weights matter; by label each has few digits."""
    images, labels = all_digits()
    order = np.argsort(labels, kind="stable") if by_label else np.random.default_rng(7).permutation(len(labels))
    bounds = np.cumsum([0, *(np.arange(1, nodes + 1) + nodes)])
    places = (bounds * len(labels)) // bounds[-1]
    mine = order[places[node - 1] : places[node]]
    return images[mine], labels[mine]


def new_model(kind: str = "float64") -> Arrays:
    """Weights (64, 10) and biases (10,), small and not zero."""
    rng = np.random.default_rng(1)
    return [rng.normal(0, 0.1, (64, 10)).astype(kind), rng.normal(0, 0.1, 10).astype(kind)]


def slopes(model: Arrays, images: NDArray[Any], labels: NDArray[Any]) -> Arrays:
    """Gradient of the mean cross-entropy."""
    scores = images @ model[0] + model[1]
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    wrong = powers / powers.sum(axis=1, keepdims=True)
    wrong[np.arange(len(labels)), labels] -= 1
    return [images.T @ wrong / len(labels), wrong.mean(axis=0)]


def accuracy(model: Arrays, data: Data) -> float:
    """Share of right answers."""
    return float(((data[0] @ model[0] + model[1]).argmax(axis=1) == data[1]).mean())


def fit(arrays: Arrays, data: Data, seed: int, mu: float) -> Arrays:
    """Some steps of gradient descent on mini-batches; in the type of the arrays."""
    rng = np.random.default_rng(seed)
    model = [array.copy() for array in arrays]
    images, labels = data[0].astype(model[0].dtype), data[1]
    for _step in range(STEPS):
        batch = rng.integers(0, len(labels), BATCH)
        step = slopes(model, images[batch], labels[batch])
        pulls = proximal.gradient(model, arrays, mu)
        for array, slope, pull in zip(model, step, pulls, strict=True):
            array -= LEARNING_RATE * (slope + pull)
    return model


def app(node: int, nodes: int, by_label: bool = False, poison: float = 0.0, parcels: bool = True) -> ClientApp:
    """A node's app; with `poison` it sends its model turned round and that many times as large."""
    client = ClientApp(mods=[parcels_mod] if parcels else [])
    data = shard(node, nodes, by_label)

    @client.train()
    def train(message: Message, context: Context) -> Message:
        task = task_of(message)
        model = fit(task.arrays, data, 1000 * task.round + node, task.proximal_mu)
        if poison:
            model = [-poison * array for array in model]
        return trained(message, model, len(data[1]), {"train-accuracy": accuracy(model, data)})

    @client.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        return evaluated(message, len(data[1]), {"accuracy": accuracy(task_of(message).arrays, data)})

    @client.query("describe")
    def query(message: Message, context: Context) -> Message:
        return describe(message, context)

    return client


def apps(nodes: int, by_label: bool = False, poisoned: int | None = None, parcels: bool = True) -> dict[int, ClientApp]:
    """Apps of nodes 1 to `nodes`, one of them poisoned."""
    return {
        node: app(node, nodes, by_label, 20.0 if node == poisoned else 0.0, parcels) for node in range(1, nodes + 1)
    }
