# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo with real transformers and PEFT: sizes of the published model without its weights, training of the small."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from flower_ops.training.data import instructions
from llm_app import client_app, server_app
from llm_app.base import config_of as config_of_model
from llm_app.base import language, published, small, with_adapters
from llm_app.fit import fit
from llm_app.model import BASES, QWEN, SMALL
from simulated import Nodes, config_of, context
from transformers import Qwen2ForCausalLM

# Threads that wait for each other cost more than they bring where other tests run.
torch.set_num_threads(1)
SIZES = {"steps": 4, "size": 4, "learning_rate": 1e-2, "longest": 256}


def adapters_of(net: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(one.shape) for name, one in net.named_parameters() if one.requires_grad}


def test_the_adapters_of_the_published_model() -> None:
    """Its configuration as it is published, on a device that holds no values: half a billion weights stay unmade."""
    config = config_of_model(BASES[QWEN], vocab_size=151_936, intermediate_size=4864, tie_word_embeddings=True)
    with torch.device("meta"):
        net = with_adapters(Qwen2ForCausalLM(config))
    assert sum(one.numel() for one in net.parameters()) == 494_032_768 + 1_081_344
    assert list(adapters_of(net).values()) == list(BASES[QWEN].shapes.values())
    assert sum(one.numel() for one in net.parameters() if one.requires_grad) == 1_081_344


def test_the_adapters_of_the_small_model_in_their_order() -> None:
    found = adapters_of(small().net)
    assert list(found.values()) == list(BASES[SMALL].shapes.values())
    for theirs, ours in zip(found, BASES[SMALL].shapes, strict=True):
        _layers, layer, projection, matrix = ours.split(".")
        assert f".layers.{layer}." in theirs and f".{projection}.lora_{matrix}." in theirs


def test_all_nodes_have_the_same_small_model_and_new_adapters_change_nothing() -> None:
    one, other = small(), small()
    assert all(torch.equal(a, b) for a, b in zip(one.net.parameters(), other.net.parameters(), strict=True))
    tokens = torch.tensor([[72, 105, 32, 256]])
    one.net.eval()
    with torch.no_grad(), one.net.disable_adapter():
        bare = one.net(input_ids=tokens).logits
    from llm_app.fit import load

    load(one, BASES[SMALL].start())
    with torch.no_grad():
        assert torch.equal(one.net(input_ids=tokens).logits, bare)


def test_training_repeats_itself_and_the_proximal_term_keeps_it_near() -> None:
    rows, start = instructions(source="bundled").samples, BASES[SMALL].start()

    def distance(mu: float) -> float:
        trained, _loss = fit(small(), start, rows, **SIZES, proximal_mu=mu)
        return float(sum(((a - b) ** 2).sum() for a, b in zip(trained, start, strict=True)))

    assert distance(1000.0) < distance(0.0)
    first, second = (fit(small(), start, rows, **SIZES, seed=4)[0] for _time in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_adapters_of_another_model_are_refused() -> None:
    rows = instructions(source="bundled").samples
    with pytest.raises(ValueError, match="are for another model than this node's"):
        fit(small(), BASES[QWEN].start()[:8], rows, **SIZES)


def test_a_node_without_the_published_model_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"This node has no Qwen/Qwen2-0.5B-Instruct .* model-path"):
        published(QWEN, str(tmp_path))


def test_a_model_is_read_from_a_folder(tmp_path: Path) -> None:
    """In the published form, with random weights and a tokenizer of three words; the real one is 1 GB."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast, Qwen2Config

    words = {"[PAD]": 0, "<end>": 1, "Add": 2}
    raw = Tokenizer(WordLevel(words, unk_token="[PAD]"))
    PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<end>", pad_token="[PAD]").save_pretrained(tmp_path)
    config = Qwen2Config(
        vocab_size=8, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1,
    )  # fmt: skip
    Qwen2ForCausalLM(config).save_pretrained(tmp_path)
    found = language(QWEN, str(tmp_path))
    assert (found.end, found.padding) == (1, 0) and isinstance(found.encode("Add"), list)
    assert [tuple(one.shape) for one in found.adapters()] == [(16, 32), (32, 16), (16, 32), (16, 16)]


def test_three_rounds_learn(tmp_path: Path) -> None:
    asked = config_of("llm", data_source="bundled", output_dir=str(tmp_path), num_server_rounds=4)
    grid = Nodes(client_app.app, 2, asked)
    server_app.main(grid, context(asked))
    told = json.loads((tmp_path / "metrics.json").read_text())
    losses = [one["train"]["train-loss"] for one in told["rounds"]]
    assert told["parameters"] == BASES[SMALL].parameters == 7_168 and told["degraded"] is None and len(grid.sent) == 8
    assert losses[-1] < 0.95 * losses[0], losses
