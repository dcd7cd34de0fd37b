# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Training and testing by PyTorch."""

from __future__ import annotations

import numpy as np
import torch
from flower_ops.training.client import proximal
from torch import nn
from torch.nn import functional

from image_classification.cnn import COLOURS, FLAT
from image_classification.work import Array, Arrays, Work, scaled

TEST_BATCH = 256


class Network(nn.Module):
    """The arrays of cnn.py, with their places in the order of its list."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(COLOURS, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1)
        self.fc1 = nn.Linear(FLAT, 128)
        self.fc2 = nn.Linear(128, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Scores (n, classes) of images (n, colours, height, width)."""
        images = functional.max_pool2d(functional.relu(self.conv1(images)), 2)
        images = functional.max_pool2d(functional.relu(self.conv2(images)), 2)
        scores: torch.Tensor = self.fc2(functional.relu(self.fc1(images.flatten(1))))
        return scores


def _place() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _network(arrays: Arrays) -> Network:
    network = Network(len(arrays[-1]))
    state = {name: torch.from_numpy(np.array(one)) for name, one in zip(network.state_dict(), arrays, strict=True)}
    network.load_state_dict(state)
    return network.to(_place())


def _tensors(images: Array, labels: Array) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(scaled(images).transpose(0, 3, 1, 2).copy()), torch.from_numpy(labels)


def fit(arrays: Arrays, images: Array, labels: Array, work: Work) -> tuple[Arrays, float]:
    """The model after some epochs, and its mean loss on the way, without FedProx's term."""
    torch.manual_seed(work.seed)
    network = _network(arrays)
    weights = list(network.parameters())
    anchors = [weight.detach().clone() for weight in weights]
    optimiser = torch.optim.SGD(weights, lr=work.rate, momentum=work.momentum)
    inputs, wanted = _tensors(images, labels)
    total, seen = 0.0, 0
    network.train()
    for batch in work.batches(len(labels)):
        chosen = torch.from_numpy(batch)
        optimiser.zero_grad()
        loss = functional.cross_entropy(network(inputs[chosen].to(_place())), wanted[chosen].to(_place()))
        (loss + proximal.penalty(weights, anchors, work.mu) if work.mu else loss).backward()
        optimiser.step()
        total, seen = total + float(loss.detach()) * len(batch), seen + len(batch)
    return [value.cpu().numpy() for value in network.state_dict().values()], total / seen


def test(arrays: Arrays, images: Array, labels: Array) -> tuple[float, float]:
    """Mean loss and share of right answers."""
    network = _network(arrays)
    inputs, wanted = _tensors(images, labels)
    loss, right = 0.0, 0
    network.eval()
    with torch.no_grad():
        for start in range(0, len(labels), TEST_BATCH):
            some = slice(start, start + TEST_BATCH)
            scores = network(inputs[some].to(_place())).cpu()
            loss += float(functional.cross_entropy(scores, wanted[some], reduction="sum"))
            right += int((scores.argmax(1) == wanted[some]).sum())
    return loss / len(labels), right / len(labels)
