# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Image classification as far as NumPy goes: start values, the plan, which nodes can follow it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from federation import Case, config_of
from flower_ops.training.data import DataError, own_images
from flower_ops.training.errors import NodesMissing
from flower_ops.training.flower import record_of
from flower_ops.training.survey.plan import Undecided, values_of
from flwr.app import ConfigRecord, Context, Message, RecordDict
from image_classification import client_app, cnn, mobilenet, plan
from image_classification.arrays import new
from image_classification.work import Work, scaled


def node(frameworks: str = "pytorch", source: str = "bundled", classes: str = "0 1 2", **more: Any) -> dict[str, Any]:
    origin = {"own": "own images in /data", "hub": "uoft-cs/cifar10", "bundled": "the bundled digits"}[source]
    return {"frameworks": frameworks, "source": source, "origin": origin, "classes": classes.split(), **more}


def test_sizes_of_the_models() -> None:
    assert sum(array.size for array in new(cnn.pieces(10))) == 545_098
    # As Keras counts MobileNetV2: 2,257,984 without its last layer, 1,281 for each class.
    assert sum(array.size for array in new(mobilenet.pieces(10))) == 2_257_984 + 12_810
    assert len(mobilenet.pieces(10)) == 262


@pytest.mark.parametrize("pieces", [cnn.pieces(7), mobilenet.pieces(7)])
def test_start_values(pieces: list[Any]) -> None:
    arrays = new(pieces)
    assert [array.shape for array in arrays] == [piece.shape for piece in pieces]
    assert {array.dtype for array in arrays} == {np.dtype("float32")}
    for piece, array in zip(pieces, arrays, strict=True):
        if isinstance(piece.start, float):
            assert 0.9 * piece.start < np.abs(array).max() <= piece.start or array.size < 60
            assert abs(array.mean()) < piece.start / 2
    for one, other in zip(arrays, new(pieces), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_framework_that_most_nodes_have() -> None:
    def chosen(*has: str, needed: int = 2, wanted: str = "auto") -> str:
        return str(plan.decide({number: node(one) for number, one in enumerate(has)}, needed, wanted)["framework"])

    assert chosen("pytorch", "tensorflow", "tensorflow") == "tensorflow"
    assert chosen("pytorch,sklearn", "tensorflow", "pytorch", "tensorflow") == "pytorch"
    assert chosen("pytorch,tensorflow", "pytorch,tensorflow", wanted="tensorflow") == "tensorflow"
    with pytest.raises(Undecided, match=r"1 of 2 nodes .* have pytorch or tensorflow \(node 0 has sklearn; node 1 has"):
        chosen("sklearn", "pytorch")
    with pytest.raises(Undecided, match="0 of 2 nodes that the run needs have tensorflow .* ONEAPP_FL_FRAMEWORK tens"):
        chosen("pytorch", "pytorch", wanted="tensorflow")


def test_own_data_decides_before_the_framework() -> None:
    """That most nodes have another framework is no reason to train on other data."""
    own, others = node("tensorflow", "own"), {3: node(), 4: node(), 5: node()}
    found = plan.decide({1: own, 2: own, **others}, 2)
    assert (found["framework"], found["source"]) == ("tensorflow", "own")
    assert plan.fits(others[3], found) == "has pytorch, and the run trains with tensorflow"
    with pytest.raises(Undecided, match=r"^1 of 2 nodes that the run needs have data of their own \(node 1; not nodes"):
        plan.decide({1: own, **others}, 2)
    with pytest.raises(Undecided, match="^1 of 2 nodes that the run needs with data of their own have pytorch or tens"):
        plan.decide({1: own, 2: node("pytorch", "own"), **others}, 2)


def test_only_nodes_with_the_framework_decide_between_the_other_sources() -> None:
    answers = {1: node("tensorflow"), 2: node(source="hub"), 3: node(source="hub")}
    found = plan.decide(answers, 2)
    assert (found["framework"], found["source"]) == ("pytorch", "hub")
    assert plan.fits(answers[1], found) == "has tensorflow, and the run trains with pytorch"
    assert plan.fits(answers[2], found) == ""


def test_one_source_for_all() -> None:
    assert plan.decide({1: node(source="hub"), 2: node(source="hub")}, 2)["origin"] == "uoft-cs/cifar10"
    mixed = plan.decide({1: node(source="hub"), 2: node(), 3: node(source="hub")}, 2)
    assert mixed["source"] == "bundled" and plan.fits(node(source="hub"), mixed) == ""
    assert plan.fits(node(source="own"), mixed) == "has data of its own, and the run trains on the bundled digits"
    with pytest.raises(Undecided, match="1 of 2 nodes that the run needs have data of their own"):
        plan.decide({1: node(source="own"), 2: node()}, 2)
    own = plan.decide({1: node(source="own"), 2: node(), 3: node(source="own")}, 2)
    assert own["source"] == "own" and plan.fits(node(), own).startswith("has no data of its own, only")
    hub = plan.decide({1: node(source="hub"), 2: node(source="hub")}, 2)
    assert plan.fits(node(), hub) == "cannot have uoft-cs/cifar10"


def test_classes_of_all_nodes_together() -> None:
    def classes(*of: str) -> list[str]:
        answers = {number: node(source="own", classes=one) for number, one in enumerate(of)}
        return list(plan.decide(answers, 2)["classes"])

    assert classes("dog", "cat dog") == ["cat", "dog"]
    assert classes("0 1", "0 1 2 3 4 5 6 7 8 9 10") == [str(number) for number in range(11)]
    with pytest.raises(Undecided, match=r"the classes \['cat'\], and at least two"):
        classes("cat", "cat")
    known = plan.decide({1: node(source="own", classes="cat dog"), 2: node(source="own", classes="dog")}, 2)
    late = node(source="own", classes="cat emu")
    assert plan.fits(late, known) == "has data of classes that the run does not know: emu"
    assert sum(array.size for array in new(plan.pieces(known))) == 545_098 - 8 * 129


def test_a_federation_without_a_framework_is_told_so() -> None:
    """In this environment there is neither PyTorch nor TensorFlow: a real survey, and its end."""
    with pytest.raises(NodesMissing, match=r"0 of 2 nodes .* have pytorch or tensorflow \(node 1 has sklearn;"):
        Case("image-classification").run(node_wait_timeout=0.2)


def test_batches_depend_on_nothing_but_the_seed() -> None:
    work = Work(seed=5, rate=0.1, momentum=0.9, batch=4, epochs=2, mu=0.0)
    first, second = list(work.batches(10)), list(work.batches(10))
    assert [len(batch) for batch in first] == [4, 4, 2] * 2
    assert [list(batch) for batch in first] == [list(batch) for batch in second]
    assert sorted(np.concatenate(first[:3])) == list(range(10))
    assert list(np.concatenate(first[:3])) != list(np.concatenate(first[3:]))


def test_pixels() -> None:
    np.testing.assert_array_equal(scaled(np.array([0, 255], np.uint8)), np.array([-1, 1], np.float32))


def images_in(folder: Path, *damaged: str) -> None:
    for name in ("cat/1.npy", "cat/2.npy", "dog/1.npy", "dog/2.npy"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(folder / name, np.zeros((32, 32, 3), np.uint8))
    for name in damaged:
        (folder / name).write_bytes(b"")


def test_a_survey_reads_one_image_of_each_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that answers late is waited for only seconds."""
    images_in(tmp_path)
    read: list[str] = []
    inner = own_images._image
    monkeypatch.setattr(own_images, "_image", lambda file, *more: read.append(file.parent.name) or inner(file, *more))
    context = Context(1, 1, {"data": str(tmp_path)}, RecordDict(), config_of("image-classification"))
    answer = values_of(client_app.app(Message(RecordDict(), 1, "query.survey"), context))
    assert (answer["examples"], answer["classes"], answer["source"]) == (3, ["cat", "dog"], "own")
    assert sorted(read) == ["cat", "dog"]


def test_a_damaged_image_is_one_clear_sentence_in_training(tmp_path: Path) -> None:
    images_in(tmp_path, "cat/1.npy", "cat/2.npy", "dog/1.npy", "dog/2.npy")
    told = {"plan": json.dumps({"classes": ["cat", "dog"], "source": "own", "framework": "pytorch"})}
    content = RecordDict({"arrays": record_of([np.zeros(1)]), "config": ConfigRecord({"server-round": 1, **told})})
    context = Context(1, 1, {"data": str(tmp_path)}, RecordDict(), config_of("image-classification"))
    with pytest.raises(DataError, match="^Images in .* cannot be read: image . of .* is damaged .*; repair or remove"):
        client_app.train(Message(content, 1, "train"), context)
