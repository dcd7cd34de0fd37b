# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether this node can have the model that the run asks for, and where it lies then."""

from __future__ import annotations

import importlib
import os
from importlib import util
from pathlib import Path
from typing import Any

from flower_ops.training.data.reach import hub_answers

from llm_fine_tuning import room
from llm_fine_tuning.adapters import Form

QUANTIZATIONS = ("none", "4bit", "8bit")
OFFLINE = "HF_HUB_OFFLINE"
#: The same weights in forms that PyTorch does not read.
FOREIGN = ["*.h5", "*.msgpack", "*.gguf", "*.onnx", "*.tflite", "*.ot", "original/*", "onnx/*"]


def check_quantization(wanted: str) -> None:
    """ValueError, with what to do, when this node cannot load a model so."""
    if wanted not in QUANTIZATIONS:
        raise ValueError(f"quantization = {wanted!r}: expected one of {', '.join(QUANTIZATIONS)}")
    if wanted == "none":
        return
    missing = ["the package bitsandbytes"] if util.find_spec("bitsandbytes") is None else []
    if not importlib.import_module("torch").cuda.is_available():
        missing.append("a GPU")
    if missing:
        raise ValueError(
            f"quantization = {wanted!r} needs {' and '.join(missing)}, which this node has not; provide that or set"
            " quantization to none, for this node by ONEAPP_FL_NODE_CONFIG"
        )


def model(name: str, quantization: str = "none") -> tuple[Path | None, str]:
    """The folder of a model, which is a folder here or is fetched from the hub; or None and why, part of a sentence.

    Nothing is fetched, and no folder found, that this node has no room for.
    """
    if Path(name).is_dir():
        return _usable(Path(name), quantization)
    if name.startswith("/"):
        return None, f"there is no folder {name}"
    reachable = hub_answers(OFFLINE)
    if not reachable:
        # Read when the libraries are imported: only their cache is asked then, and no time is lost with retries.
        os.environ[OFFLINE] = "1"
    try:
        why, ignored = room.for_download(name, quantization, FOREIGN) if reachable else ("", FOREIGN)
        if why:
            return None, why
        fetch = importlib.import_module("huggingface_hub").snapshot_download
        return _usable(Path(fetch(name, ignore_patterns=ignored, local_files_only=not reachable)), quantization)
    # The library raises what it pleases, and whatever it is, the model is not there.
    except Exception as error:
        where = "" if reachable else "the Hugging Face Hub does not answer, and "
        return None, f"{where}{name} could not be fetched ({_first_line(error)})"


def _usable(folder: Path, quantization: str) -> tuple[Path | None, str]:
    try:
        tokenizer(folder)
        form(folder)
        why = room.of_folder(folder, quantization)
    except Exception as error:
        why = f"what lies in {folder} cannot be used ({_first_line(error)})"
    return (None, why) if why else (folder, "")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def tokenizer(folder: Path) -> Any:
    """The model's own."""
    return importlib.import_module("transformers").AutoTokenizer.from_pretrained(folder, local_files_only=True)


def form(folder: Path) -> Form:
    """Of the model's configuration; AttributeError when it is no Llama-type one."""
    found = importlib.import_module("transformers").AutoConfig.from_pretrained(folder, local_files_only=True)
    heads = found.num_attention_heads
    length = getattr(found, "head_dim", None) or found.hidden_size // heads
    groups = getattr(found, "num_key_value_heads", None) or heads
    return Form(found.num_hidden_layers, found.hidden_size, heads * length, groups * length)
