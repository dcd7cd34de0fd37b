# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node does in a round: train the global model on its own shard and send back the result."""

from __future__ import annotations

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from sklearn.neural_network import MLPClassifier

from digits_app.model import DIGITS, evaluate, load_images

DEFAULT_SHARD = "/opt/flower/data/shard.npz"

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Improve the received parameters on this node's images; the images stay here."""
    config = context.run_config
    images, labels = load_images(str(context.node_config.get("data", DEFAULT_SHARD)))
    received = message.content["arrays"].to_numpy_ndarrays()  # type: ignore[union-attr]
    server_round = int(message.content["config"]["server-round"])  # type: ignore[index, call-overload, arg-type]

    network = MLPClassifier(
        hidden_layer_sizes=(int(config["hidden-units"]),),
        batch_size=min(int(config["batch-size"]), len(labels)),
        learning_rate_init=float(config["learning-rate"]),
        random_state=1000 * server_round + int(context.node_config.get("partition-id", 0)),
    )
    # scikit-learn allocates its parameters on the first fit: one throw-away step, then the received ones go in.
    network.partial_fit(images[:1], labels[:1], classes=np.arange(DIGITS))
    network.coefs_, network.intercepts_ = list(received[:2]), list(received[2:])
    for _turn in range(int(config["local-epochs"])):
        network.partial_fit(images, labels)

    trained = [*network.coefs_, *network.intercepts_]
    loss, accuracy = evaluate(trained, images, labels)
    metrics = MetricRecord({"train-loss": loss, "train-accuracy": accuracy, "num-examples": len(labels)})
    return Message(content=RecordDict({"arrays": ArrayRecord(trained), "metrics": metrics}), reply_to=message)
