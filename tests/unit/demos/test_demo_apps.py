# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all demos have in common: settings, sizes, and ServerApps that need nothing but NumPy."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import cnn_keras.model
import cnn_torch.model
import digits_app.model
import llm_app.model
import numpy as np
import pytest
from digits_app import client_app
from flower_ops.training import checks
from flower_ops.training.client.messages import Task
from flower_ops.training.data import Choice, DataError, images
from flower_ops.training.errors import NodesMissing
from flower_ops.training.settings import FORMS, Settings
from flwr.app import Context, RecordDict
from local_grid import LocalGrid
from simulated import config_of

DEMOS = {"sklearn": "digits_app", "pytorch": "cnn_torch", "tensorflow": "cnn_keras", "llm": "llm_app"}
# It has nothing to evaluate at nodes.
LEFT_OUT = {"llm": {"fraction-evaluate", "min-evaluate-clients"}}


@pytest.mark.parametrize("demo", DEMOS)
def test_every_setting_can_be_given_and_the_defaults_are_good(demo: str) -> None:
    config = config_of(demo)
    assert set(FORMS) - set(config) == LEFT_OUT.get(demo, set())
    assert Settings.read(config).notes() == []
    assert Settings.read(config).num_server_rounds == 3 and Settings.read(config).fraction_evaluate == 0
    assert Choice.read(config) == Choice()


@pytest.mark.parametrize("demo", DEMOS)
def test_the_serverapp_needs_no_framework(demo: str) -> None:
    """Only flwr and NumPy are on a SuperLink."""
    program = f"import sys, {DEMOS[demo]}.server_app; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}; {program}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    loaded = set(done.stdout.split())
    assert f"{DEMOS[demo]}.server_app" in loaded
    assert not loaded & {"torch", "tensorflow", "keras", "sklearn", "transformers", "peft", "flwr_datasets"}


def test_numbers_of_parameters() -> None:
    bases, models = llm_app.model.BASES, digits_app.model.MODELS
    assert sum(array.size for array in models["digits"].start()) == models["digits"].parameters == 3_610
    assert sum(array.size for array in models["cifar10"].start()) == models["cifar10"].parameters == 1_578_506
    for module, size in ((cnn_torch.model, 1_238_986), (cnn_keras.model, 2_156_490)):
        started = module.start()
        assert sum(array.size for array in started) == module.PARAMETERS == size
        assert [array.shape for array in started] == list(module.SHAPES.values())
        assert {array.dtype for array in started} == {np.dtype("float32")}
    qwen = bases[llm_app.model.QWEN]
    assert sum(array.size for array in qwen.start()) == qwen.parameters == 1_081_344


@pytest.mark.parametrize("module", [cnn_torch.model, cnn_keras.model], ids=["pytorch", "tensorflow"])
def test_the_central_test_counts_all_images_once(module: object) -> None:
    found = images(split="test", source="bundled")
    arrays = module.start()  # type: ignore[attr-defined]
    many = module.evaluate(arrays, found.samples[:130], found.labels[:130])  # type: ignore[attr-defined]
    parts = [
        module.evaluate(arrays, found.samples[at], found.labels[at])  # type: ignore[attr-defined]
        for at in (slice(0, 50), slice(50, 130))
    ]
    for key in ("loss", "accuracy"):
        assert many[key] == pytest.approx((parts[0][key] * 50 + parts[1][key] * 80) / 130)
    assert 2.2 < many["loss"] < 2.5


def test_a_convolution_is_one() -> None:
    """Both layouts against the sum that defines them, at a few places."""
    rng = np.random.default_rng(3)
    planes = rng.normal(size=(2, 3, 7, 8))
    kernel, bias = rng.normal(size=(4, 3, 5, 5)), rng.normal(size=4)
    torch_like = cnn_torch.model.convolved(planes, kernel, bias)
    keras_like = cnn_keras.model.convolved(planes.transpose(0, 2, 3, 1), kernel.transpose(2, 3, 1, 0), bias)
    assert torch_like.shape == (2, 4, 5, 6) and keras_like.shape == (2, 7, 8, 4)
    wide = np.pad(planes, ((0, 0), (0, 0), (2, 2), (2, 2)))
    for place in ((0, 0, 0, 0), (1, 3, 4, 5), (0, 2, 2, 3)):
        n, out, y, x = place
        # Two pixels of border here, one there.
        assert torch_like[place] == pytest.approx(
            (wide[n, :, y + 1 : y + 6, x + 1 : x + 6] * kernel[out]).sum() + bias[out]
        )
        assert keras_like[n, y, x, out] == pytest.approx(
            (wide[n, :, y : y + 5, x : x + 5] * kernel[out]).sum() + bias[out]
        )
    small = np.arange(15.0).reshape(1, 1, 3, 5)
    np.testing.assert_array_equal(cnn_torch.model.pooled(small), [[[[6.0, 8.0]]]])


def test_wrong_choices_are_told_before_a_node_is_asked() -> None:
    with pytest.raises(ValueError, match="model = 'mnist': expected one of digits, cifar10"):
        digits_app.model.chosen(config_of("sklearn", model="mnist"))
    with pytest.raises(ValueError, match="hidden-units = -1"):
        digits_app.model.chosen(config_of("sklearn", hidden_units=-1))
    with pytest.raises(ValueError, match="model = 'gpt': expected one of auto, Qwen"):
        llm_app.model.base_of("gpt", "hub")
    with pytest.raises(DataError, match="'sorted' is none of the ways to cut"):
        Choice.read(config_of("pytorch", partitioner="sorted")).whole()


@pytest.mark.parametrize("demo", DEMOS)
def test_every_key_is_checked_before_a_node_is_asked(demo: str) -> None:
    server = importlib.import_module(f"{DEMOS[demo]}.server_app")
    config = config_of(demo)
    assert set(config) == {*FORMS, *checks.DATA, *server.FORMS} - LEFT_OUT.get(demo, set())
    odd = dict.fromkeys({*server.FORMS, "partitioner", "data-source"}, -1)
    with pytest.raises(ValueError, match=f"has {len(odd)} faults") as caught:
        server.app(None, Context(1, 1, {}, RecordDict(), {**config, **odd}))
    assert all(f"{key} = -1: expected " in str(caught.value) for key in odd)


def own_images(folder: Path, *classes: str) -> Path:
    for name in classes:
        (folder / name).mkdir(parents=True)
        for number in range(4):
            np.save(folder / name / f"{number}.npy", np.zeros((32, 32, 3), np.uint8))
    return folder


@pytest.mark.parametrize("demo", ["sklearn", "pytorch", "tensorflow"])
def test_own_classes_are_numbers_that_mean_the_same_on_every_node(demo: str, tmp_path: Path) -> None:
    """With cat and dog here, cat and horse there, the second class were another."""
    server = importlib.import_module(f"{DEMOS[demo]}.server_app")

    def begin(folder: Path) -> None:
        more = {"model": "cifar10"} if demo == "sklearn" else {}
        asked = config_of(demo, data_dir=str(folder), data_source="own", node_wait_timeout=0.1, **more)
        server.app(LocalGrid({}), Context(1, 1, {}, RecordDict(), {**asked, "checkpoint-enabled": False}))

    with pytest.raises(DataError, match="classes with names, and this model takes numbers .*; give it folders named 0"):
        begin(own_images(tmp_path / "names", "cat", "horse"))
    with pytest.raises(DataError, match="The data has 11 classes, this model has 10; give it folders named 0 to 9"):
        begin(own_images(tmp_path / "many", "0", "10"))
    with pytest.raises(NodesMissing):
        begin(own_images(tmp_path / "good", "0", "9"))


def test_a_node_with_classes_of_other_names_says_so(tmp_path: Path) -> None:
    asked = config_of("sklearn", model="cifar10", data_dir=str(own_images(tmp_path, "cat", "horse")))
    with pytest.raises(DataError, match="give it folders named 0 to 9, which mean the same on every node"):
        client_app.images_of(
            Context(1, 1, {}, RecordDict(), asked), Task([], 1, 3, told={"data-source": "own"}), "train"
        )


@pytest.mark.parametrize("scheme", ["iid", "dirichlet", "by-label"])
def test_nodes_share_the_data_as_the_run_says(scheme: str) -> None:
    """Together they have every training image once; by label each has few digits."""
    asked = config_of("sklearn", model="cifar10", data_source="auto", partitioner=scheme, partition_alpha=0.1)
    task = Task([], 1, 3, told={"data-source": "bundled"})
    parts = []
    for number in range(5):
        node = Context(1, number, {"partition-id": number, "num-partitions": 5}, RecordDict(), asked)
        parts.append(client_app.images_of(node, task, "train"))
    together = np.sort(np.concatenate([pixels.sum(axis=1) for pixels, _labels in parts]))
    whole = images(source="bundled")
    expected = np.sort(whole.samples.reshape(len(whole), -1).astype(np.float32).sum(axis=1) / 255)
    np.testing.assert_allclose(together, expected, rtol=1e-5)
    digits = [len(set(labels.tolist())) for _pixels, labels in parts]
    assert digits == [10] * 5 if scheme == "iid" else min(digits) < 10


def test_names_of_classes_mean_the_same_in_a_folder_that_all_see(tmp_path: Path) -> None:
    folder = str(own_images(tmp_path, "cat", "horse"))
    asked = config_of("sklearn", model="cifar10", data_dir=folder, data_shared=True)
    context = Context(1, 1, {"partition-id": 0, "num-partitions": 2}, RecordDict(), asked)
    task = Task([], 1, 3, told={"data-source": "own"})
    assert len(client_app.images_of(context, task, "train")[0]) == 3
