# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a node has room for a model: a full disk and a process killed for memory tell nobody what was wrong.

Where a size or a number format is not known, nothing is refused. The sentences are parts: "cannot have it: ...".
"""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

#: Weights, the better form first: where both are there, only one is loaded.
WEIGHTS = (".safetensors", ".bin")
#: Bytes of a parameter as files have it, and as a node holds it. base.py loads float32 without a GPU.
STORED = {"float32": 4.0, "float16": 2.0, "bfloat16": 2.0}
HELD = {"4bit": 0.5, "8bit": 1.0}
ASK_S = 10.0


def for_download(name: str, quantization: str, ignored: list[str]) -> tuple[str, list[str]]:
    """Why a download from the hub would be in vain, or nothing; and patterns of all files that are not needed."""
    hub = importlib.import_module("huggingface_hub")
    try:
        info = hub.HfApi().model_info(name, files_metadata=True, timeout=ASK_S)
        every = {str(one.rfilename): one.size for one in info.siblings or ()}
        if any(file.endswith(WEIGHTS[0]) for file in every):
            ignored = [*ignored, f"*{WEIGHTS[1]}"]
        wanted = list(
            importlib.import_module("huggingface_hub.utils").filter_repo_objects(every, ignore_patterns=ignored)
        )
        absent = [
            file for file in wanted if not isinstance(hub.try_to_load_from_cache(name, file, revision=info.sha), str)
        ]
        if not absent:
            return "", ignored
        place = Path(hub.constants.HF_HUB_CACHE)
        why = on_disk(sum(every[file] or 0 for file in absent), place)
        if not why and "config.json" in every:
            config = json.loads(Path(hub.hf_hub_download(name, "config.json", revision=info.sha)).read_text("utf-8"))
            why = in_memory(weights((file, every[file]) for file in wanted), config, quantization)
        return why, ignored
    # The libraries raise what they please; what is really wrong, the download itself says best.
    except Exception:
        return "", ignored


def of_folder(folder: Path, quantization: str) -> str:
    """Why the model in this folder cannot be loaded, or nothing."""
    config = json.loads((folder / "config.json").read_text("utf-8"))
    return in_memory(weights((one.name, one.stat().st_size) for one in folder.iterdir()), config, quantization)


def weights(files: Iterable[tuple[str, int | None]]) -> int:
    """Bytes of the weights that are loaded, of files by name and size."""
    known = {file: size or 0 for file, size in files if "/" not in file}
    found = (sum(size for file, size in known.items() if file.endswith(form)) for form in WEIGHTS)
    return next((size for size in found if size), 0)


def on_disk(needed: int, place: Path) -> str:
    """Why so many bytes have no room in a folder, which need not be there yet; or nothing."""
    there = next(one for one in (place, *place.parents) if one.is_dir())
    free = shutil.disk_usage(there).free
    if needed <= free:
        return ""
    return f"its download has {gigabytes(needed)}, and the disk of {place} has {gigabytes(free)} free; give it more"


def in_memory(stored: int, config: Mapping[str, Any], quantization: str) -> str:
    """Why weights of so many bytes in files cannot be held, or nothing; `config` is that of the model."""
    # Transformers 5 writes dtype.
    size = STORED.get(str(config.get("dtype") or config.get("torch_dtype")).removeprefix("torch."))
    free, kind = free_memory()
    if size is None or free is None:
        return ""
    held = HELD.get(quantization, 2.0 if kind == "GPU memory" else 4.0)
    needed = int(stored / size * held)
    if needed <= free:
        return ""
    return (
        f"its weights take {gigabytes(needed)} of {kind}, of which this node has {gigabytes(free)} free; give it more"
        " or take a smaller model"
    )


def free_memory() -> tuple[int | None, str]:
    """Free bytes where a model would be loaded to (None: not known), and what kind of memory that is."""
    cuda = importlib.import_module("torch").cuda
    if cuda.is_available():
        return int(cuda.mem_get_info()[0]), "GPU memory"
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    except OSError:
        lines = []
    found = next((line.split()[1] for line in lines if line.startswith("MemAvailable:")), None)
    return (None if found is None else int(found) * 1024), "memory"


def gigabytes(size: int) -> str:
    """As people read it."""
    return f"{size / 1e9:.1f} GB"
