# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The model below the adapters, in PyTorch: the one that was asked for, or a small one in its stead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM

from llm_fine_tuning import find
from llm_fine_tuning.adapters import STAND_IN
from llm_fine_tuning.texts import Bytes, Tokenizer

#: Every node builds the same stand-in.
SEED = 20_231
HEAD = 16


class Own:
    """The tokenizer of a model as texts.py uses it."""

    def __init__(self, folder: Path) -> None:
        self._real = find.tokenizer(folder)
        if self._real.eos_token_id is None:
            raise ValueError(f"the tokenizer in {folder} knows no token for the end of a text")
        self.end = int(self._real.eos_token_id)

    def encode(self, text: str, first: bool) -> list[int]:
        """Tokens."""
        return list(map(int, self._real(text, add_special_tokens=first).input_ids))


def stand_in() -> Any:
    """A Llama of STAND_IN's form with random weights, drawn by NumPy: the same on every node and with every PyTorch."""
    config = LlamaConfig(
        vocab_size=Bytes.size,
        hidden_size=STAND_IN.hidden,
        intermediate_size=2 * STAND_IN.hidden,
        num_hidden_layers=STAND_IN.layers,
        num_attention_heads=STAND_IN.queries // HEAD,
        num_key_value_heads=STAND_IN.values // HEAD,
        max_position_embeddings=4096,
        pad_token_id=Bytes.pad,
        bos_token_id=Bytes.start,
        eos_token_id=Bytes.end,
    )
    model = LlamaForCausalLM(config)
    dice = np.random.RandomState(SEED)
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            if weight.dim() == 1:
                weight.fill_(1.0)
                continue
            # Embeddings of length 1 a value, and layers that keep lengths: random adapters find something to turn.
            scale = 1.0 if "embed" in name else weight.shape[1] ** -0.5
            weight.copy_(torch.from_numpy(scale * dice.standard_normal(tuple(weight.shape))))
    return model


def load(folder: Path | None, quantization: str) -> tuple[Any, Tokenizer]:
    """Model and tokenizer of a folder, or the stand-in."""
    if folder is None:
        return stand_in().to(place()), Bytes()
    return _given(folder, quantization), Own(folder)


def _given(folder: Path, quantization: str) -> Any:
    options: dict[str, Any] = {"local_files_only": True}
    if quantization == "none":
        # A processor is slow with halves; a GPU's memory is dear.
        options["dtype"] = torch.bfloat16 if torch.cuda.is_available() else torch.float32
        return AutoModelForCausalLM.from_pretrained(folder, **options).to(place())
    options["dtype"] = torch.bfloat16
    options["device_map"] = {"": 0}
    options["quantization_config"] = (
        BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16)
        if quantization == "4bit"
        else BitsAndBytesConfig(load_in_8bit=True)
    )
    return prepare_model_for_kbit_training(AutoModelForCausalLM.from_pretrained(folder, **options))


def place() -> torch.device:
    """Where training happens."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def adapted(model: Any, rank: int, alpha: int, dropout: float) -> Any:
    """The model with adapters; nothing else of it learns."""
    config = LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"
    )
    return get_peft_model(model, config)
