# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the SuperLink does: average the nodes' parameters and test the result on images that no node has seen."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from digits_app.model import evaluate, load_images, new_parameters

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run federated averaging; write model.npz and metrics.json when `output-dir` is set."""
    config = context.run_config
    nodes = int(config["min-nodes"])
    images, labels = load_images(str(config["test-data"]))
    curve: list[dict[str, float]] = []

    def test(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        loss, accuracy = evaluate(arrays.to_numpy_ndarrays(), images, labels)
        curve.append({"round": server_round, "loss": loss, "accuracy": accuracy})
        return MetricRecord({"loss": loss, "accuracy": accuracy})

    # Testing happens here, centrally: asking the nodes as well would cost a second message to each in every round.
    strategy = FedAvg(
        fraction_train=1.0,
        fraction_evaluate=0.0,
        min_train_nodes=nodes,
        min_evaluate_nodes=0,
        min_available_nodes=nodes,
    )
    result = strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord(new_parameters(int(config["hidden-units"]))),
        num_rounds=int(config["num-server-rounds"]),
        timeout=float(config["round-timeout"]),
        evaluate_fn=test,
    )
    # Flower calls a run "completed" even when every reply of every round was an error.
    if len(result.arrays) == 0:
        raise RuntimeError("no node returned a trained model in any round; see the errors above")
    if config["output-dir"]:
        write_results(Path(str(config["output-dir"])), result.arrays.to_numpy_ndarrays(), curve, len(labels))


def write_results(folder: Path, parameters: list[np.ndarray], curve: list[dict[str, float]], tested: int) -> None:
    """The global model as plain NumPy arrays, and its figures per round (round 0 is the untrained start)."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ("hidden_weights", "output_weights", "hidden_biases", "output_biases")
    np.savez_compressed(folder / "model.npz", **dict(zip(names, parameters, strict=True)))
    summary = {"rounds": curve, "test_images": tested, "parameters": sum(array.size for array in parameters)}
    (folder / "metrics.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
