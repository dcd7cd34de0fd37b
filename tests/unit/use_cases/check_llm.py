# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fine-tuning with PyTorch, Transformers and PEFT: the adapters of the ServerApp are PEFT's, and they learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece
import torch
from federation import Case, plan_in
from flower_ops.training.errors import NodesMissing
from llm_fine_tuning import base, find, tuning
from llm_fine_tuning.adapters import STAND_IN, new, shapes
from llm_fine_tuning.plan import DEFAULT
from peft import get_peft_model_state_dict
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

CASE = "llm-fine-tuning"
#: Enough to see something learned; the defaults are made for a large model.
SHORT = {"max_steps": 6, "learning_rate": 0.01, "batch_size": 8, "test_samples": 16, "model_name": "small"}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A model with a tokenizer of its own, as a folder from the hub is."""
    place = tmp_path / "model"
    base.stand_in().save_pretrained(place)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    letters = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator([], trainers.BpeTrainer(special_tokens=["<s>", "</s>"], initial_alphabet=letters))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>").save_pretrained(place)
    return place


def test_names_and_shapes_are_those_of_peft() -> None:
    model = base.adapted(base.stand_in(), 16, 32, 0.05)
    theirs = {name: tuple(value.shape) for name, value in get_peft_model_state_dict(model).items()}
    assert theirs == shapes(STAND_IN, 16)
    assert [tuple(one.shape) for one in tuning.adapters(model, list(theirs))] == list(theirs.values())
    with pytest.raises(ValueError, match="adapters of this node's model are not those of the run: .*layers.2"):
        tuning.adapters(model, list(shapes(STAND_IN._replace(layers=3), 16)))


def test_start_values_are_drawn_as_peft_draws_them() -> None:
    torch.manual_seed(0)
    model = base.adapted(base.stand_in(), 16, 32, 0.05)
    theirs = tuning.adapters(model, list(shapes(STAND_IN, 16)))
    for ours, one in zip(new(STAND_IN, 16), theirs, strict=True):
        assert ours.std() == pytest.approx(float(one.detach().std()), rel=0.15)
        assert np.abs(ours).max() == pytest.approx(float(one.detach().abs().max()), rel=0.05)


def test_every_node_builds_the_same_stand_in() -> None:
    torch.manual_seed(1)
    one = base.stand_in().state_dict()
    torch.manual_seed(2)
    for left, right in zip(one.values(), base.stand_in().state_dict().values(), strict=True):
        assert torch.equal(left, right)


def test_the_stand_in_learns_and_says_what_it_is(tmp_path: Path, log: list[str]) -> None:
    result, grid = Case(CASE).run(num_server_rounds=3, output_dir=str(tmp_path), **{**SHORT, "model_name": "auto"})
    assert grid.kinds() == ["query.survey"] * 2 + ["train"] * 6 + ["evaluate"] * 2
    assert result.degraded is None and result.metrics[3]["stand-in-model"] == 1.0
    assert result.metrics[3]["loss"] < result.rounds[1]["train"]["start-loss"] - 0.05, result.metrics
    assert any("a small model with random weights stands in" in line and DEFAULT in line for line in log)
    assert "The model is a small one with random weights, good for nothing but trying out." in log
    assert plan_in(tmp_path)["model"] == "stand-in"
    with np.load(tmp_path / "model.npz") as model:
        assert sorted(model) == sorted(shapes(STAND_IN, 16))


def test_a_model_that_was_asked_for_is_trained_or_nothing_is() -> None:
    with pytest.raises(NodesMissing, match="the model /no/such, .*node 1: there is no folder /no/such; node 2"):
        Case(CASE).run(node_wait_timeout=0.2, **{**SHORT, "model_name": "/no/such"})
    case = Case(CASE)
    case.configs[1]["model-name"] = "/gone"
    with pytest.raises(NodesMissing, match="the model /gone, .*node 1: there is no folder /gone; node 2: its config"):
        case.run(node_wait_timeout=0.2, **{**SHORT, "model_name": "auto"})


def test_the_default_models_kind_of_tokenizer_can_be_read(tmp_path: Path) -> None:
    """It comes as tokenizer.model alone, which takes sentencepiece, and one that Flower's protobuf can load."""
    (tmp_path / "texts").write_text("add the two numbers\nwrite the word backwards\n" * 20)
    options = {"vocab_size": 300, "model_type": "bpe", "byte_fallback": True, "hard_vocab_limit": False}
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "texts"), model_prefix=str(tmp_path / "tokenizer"), minloglevel=2, **options
    )
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "LlamaTokenizer"}')
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    found = find.tokenizer(tmp_path)
    assert found.eos_token_id == 2 and found.decode(found("add the words").input_ids) == "add the words"


def test_a_given_model_is_trained_with_its_own_tokenizer(saved: Path, tmp_path: Path) -> None:
    assert find.model(str(saved)) == (saved, "") and find.form(saved) == STAND_IN
    out = tmp_path / "out"
    result, _grid = Case(CASE).run(num_server_rounds=1, output_dir=str(out), **{**SHORT, "model_name": str(saved)})
    assert result.metrics[1]["stand-in-model"] == 0.0 and plan_in(out)["model"] == str(saved)
    assert result.degraded is None


def test_a_node_may_have_the_model_elsewhere(saved: Path, log: list[str]) -> None:
    case = Case(CASE)
    case.configs[1]["model-name"] = case.configs[2]["model-name"] = str(saved)
    result, _grid = case.run(num_server_rounds=1, **{**SHORT, "model_name": "some/model"})
    assert result.metrics[1]["stand-in-model"] == 0.0 and "The model is some/model." in log


@pytest.mark.parametrize("wanted", ["4bit", "8bit"])
def test_quantization_that_a_node_cannot_do_is_told(wanted: str) -> None:
    lacks = "the package bitsandbytes" if not torch.cuda.is_available() else "x"
    with pytest.raises(NodesMissing, match=f"node 1 cannot take part: quantization = '{wanted}' needs {lacks}"):
        Case(CASE).run(node_wait_timeout=0.2, **{**SHORT, "quantization": wanted})


def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    def run(place: str, rounds: int, run_id: int = 77) -> Any:
        kept = {"training": "t", "checkpoint_enabled": True, "checkpoint_path": str(tmp_path / place)}
        more = {**SHORT, "max_steps": 2, "batch_size": 2, "test_samples": 4, "strategy": "FedProx"}
        return Case(CASE).run(num_server_rounds=rounds, run_id=run_id, **kept, **more)[0]

    whole = run("whole", 3)
    run("parts", 1)
    rest = run("parts", 3, 78)
    assert rest.resumed_from == 1
    for one, other in zip(whole.arrays, rest.arrays, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_proximal_term_holds_the_adapters_back() -> None:
    def apart(**more: Any) -> float:
        result, _grid = Case(CASE).run(num_server_rounds=1, **SHORT, **more)
        pairs = zip(result.arrays, new(STAND_IN, 16), strict=True)
        return float(np.sqrt(sum(((left - right) ** 2).sum() for left, right in pairs)))

    assert apart(strategy="FedProx", proximal_mu=50.0) < apart()
