# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The model of a node with its adapters: PyTorch, transformers and PEFT."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

from llm_app.model import ALPHA, BASES, DROPOUT, PROJECTIONS, RANK, SMALL, Base
from llm_app.text import ByteTokenizer, Encode

# All nodes must have the same random weights in the small model.
BASE_SEED = 20_240
LONGEST = 512


@dataclass(frozen=True)
class Language:
    """A model with adapters, how text becomes tokens for it, and two tokens: a text's end, and filling."""

    net: Any
    encode: Encode
    end: int
    padding: int

    def adapters(self) -> list[Any]:
        """What is trained, in the order of model.py."""
        return [parameter for parameter in self.net.parameters() if parameter.requires_grad]


def with_adapters(net: Any) -> Any:
    """The model with LoRA's adapters, all else frozen."""
    lora = LoraConfig(
        r=RANK,
        lora_alpha=ALPHA,
        lora_dropout=DROPOUT,
        target_modules=list(PROJECTIONS),
        bias="none",
        task_type="CAUSAL_LM",
    )
    return get_peft_model(net, lora)


def config_of(base: Base, **more: Any) -> Qwen2Config:
    """The configuration of a model of this kind and size."""
    return Qwen2Config(
        hidden_size=base.width,
        num_hidden_layers=base.layers,
        num_attention_heads=base.heads,
        num_key_value_heads=base.value_heads,
        **more,
    )


def small() -> Language:
    """The model with random weights: it shows that everything works, and learns next to no language."""
    tokens = ByteTokenizer()
    torch.manual_seed(BASE_SEED)
    config = config_of(
        BASES[SMALL],
        vocab_size=tokens.size,
        intermediate_size=128,
        max_position_embeddings=LONGEST,
        # Nothing but the adapters learns: with the usual, smaller weights they could hardly change an answer.
        initializer_range=0.1,
        eos_token_id=tokens.end,
        pad_token_id=tokens.padding,
    )
    return Language(with_adapters(Qwen2ForCausalLM(config)), tokens.encode, tokens.end, tokens.padding)


def published(name: str, folder: str = "") -> Language:
    """The published model from a folder, else from the cache or the hub. RuntimeError when it is nowhere."""
    place = folder or name
    # A node without a way out shall say so at once.
    os.environ.setdefault("HF_HUB_DOWNLOAD_TIMEOUT", "30")
    try:
        tokenizer = AutoTokenizer.from_pretrained(place)
        net = AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32)
    except (OSError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise RuntimeError(
            f"This node has no {name} ({reason}); put it into a folder and name that as model-path in its node "
            'configuration, or train with model = "small".'
        ) from error
    end = int(tokenizer.eos_token_id)
    padding = end if tokenizer.pad_token_id is None else int(tokenizer.pad_token_id)
    return Language(with_adapters(net), lambda text: list(tokenizer.encode(text)), end, padding)


def language(name: str, folder: str = "") -> Language:
    """The model of that name."""
    return small() if name == SMALL else published(name, folder)
