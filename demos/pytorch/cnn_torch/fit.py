# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Training on one node, with PyTorch."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import torch
from flower_ops.training.client.proximal import penalty
from torch import nn

from cnn_torch.model import Array, scaled


def network() -> nn.Sequential:
    """Two convolutions, two dense layers: 1 238 986 parameters."""
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(3, 32, 5, padding=1),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(32, 64, 5, padding=1),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flat=nn.Flatten(),
            fc1=nn.Linear(2304, 512),
            relu3=nn.ReLU(),
            fc2=nn.Linear(512, 10),
        )
    )


def load(net: nn.Module, arrays: list[Array]) -> None:
    """Put the received arrays in; PyTorch's own order of parameters is theirs."""
    for parameter, values in zip(net.parameters(), arrays, strict=True):
        parameter.data.copy_(torch.from_numpy(np.array(values)))


def fit(
    received: list[Array],
    images: Array,
    labels: Array,
    *,
    epochs: int,
    batch: int,
    learning_rate: float,
    momentum: float,
    proximal_mu: float = 0.0,
    seed: int = 0,
) -> tuple[list[Array], float]:
    """(arrays, mean loss of the last pass) after passes over bytes (n, 32, 32, 3), whose order the seed gives."""
    net = network()
    load(net, received)
    anchors = [parameter.detach().clone() for parameter in net.parameters()]
    optimiser = torch.optim.SGD(net.parameters(), lr=learning_rate, momentum=momentum)
    inputs, targets = torch.from_numpy(scaled(images)), torch.from_numpy(np.asarray(labels, np.int64))
    rng = np.random.default_rng(seed)
    loss = 0.0
    for _turn in range(epochs):
        order, loss = torch.from_numpy(rng.permutation(len(labels))), 0.0
        for mine in order.split(batch):
            optimiser.zero_grad()
            wrong = nn.functional.cross_entropy(net(inputs[mine]), targets[mine])
            loss += wrong.item() * len(mine) / len(labels)
            if proximal_mu:
                wrong = wrong + penalty(net.parameters(), anchors, proximal_mu)
            wrong.backward()
            optimiser.step()
    return [parameter.detach().numpy().copy() for parameter in net.parameters()], loss
