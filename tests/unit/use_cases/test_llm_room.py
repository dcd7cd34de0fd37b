# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No download that a node has no room for. The hub is a fake, as are the sizes of disk and memory."""

from __future__ import annotations

import fnmatch
import json
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from llm_fine_tuning import find, room

GB = 10**9
NAME = "openlm-research/open_llama_3b"
#: As the default model's: half precision, 3.4 billion parameters, no safetensors.
FILES: dict[str, int | None] = {"config.json": 500, "tokenizer.model": 500_000, "pytorch_model.bin": 6_900_000_000}


class Hub:
    """A fake of huggingface_hub: files by name and size, those that are in the cache, and what was fetched."""

    def __init__(self, place: Path) -> None:
        self.files, self.cached, self.place = dict(FILES), set[str](), place
        self.config: dict[str, Any] = {"torch_dtype": "float16"}
        self.fetched: list[list[str]] = []
        self.errors: list[Exception] = []

    def info(self, name: str, **more: Any) -> SimpleNamespace:
        for error in self.errors:
            raise error
        return SimpleNamespace(
            sha="abc", siblings=[SimpleNamespace(rfilename=x, size=y) for x, y in self.files.items()]
        )

    def one(self, name: str, file: str, **more: Any) -> str:
        (self.place / file).write_text(json.dumps(self.config))
        return str(self.place / file)

    def snapshot(self, name: str, ignore_patterns: list[str], **more: Any) -> str:
        self.fetched.append(sorted(self.filtered(self.files, ignore_patterns=ignore_patterns)))
        raise OSError("the line broke")

    @staticmethod
    def filtered(items: Iterable[str], ignore_patterns: list[str]) -> list[str]:
        return [one for one in items if not any(fnmatch.fnmatch(one, pattern) for pattern in ignore_patterns)]

    def modules(self) -> dict[str, Any]:
        main, utils = ModuleType("huggingface_hub"), ModuleType("huggingface_hub.utils")
        main.__dict__.update(
            HfApi=lambda: SimpleNamespace(model_info=self.info),
            hf_hub_download=self.one,
            snapshot_download=self.snapshot,
            try_to_load_from_cache=lambda name, file, revision: "here" if file in self.cached else None,
            constants=SimpleNamespace(HF_HUB_CACHE=str(self.place / "not/there/yet")),
        )
        utils.__dict__["filter_repo_objects"] = self.filtered
        return {"huggingface_hub": main, "huggingface_hub.utils": utils}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub that answers, and a node with 100 GB of disk and 16 GB of memory."""
    found = Hub(tmp_path)
    for name, module in found.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(find, "hub_answers", lambda *variables: True)
    node(monkeypatch, disk=100, memory=16)
    return found


def node(monkeypatch: pytest.MonkeyPatch, disk: float, memory: float | None, kind: str = "memory") -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=int(disk * GB)))
    monkeypatch.setattr(room, "free_memory", lambda: (None if memory is None else int(memory * GB), kind))


def why(quantization: str = "none") -> str:
    folder, told = find.model(NAME, quantization)
    assert folder is None
    return told


def test_a_model_that_fits_is_fetched(hub: Hub) -> None:
    assert why() == f"{NAME} could not be fetched (the line broke)" and hub.fetched == [sorted(FILES)]


def test_no_download_to_a_disk_that_is_too_small(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    node(monkeypatch, disk=6.7, memory=16)
    place = hub.place / "not/there/yet"
    assert why() == f"its download has 6.9 GB, and the disk of {place} has 6.7 GB free; give it more"
    assert hub.fetched == []
    # What is there already needs no room.
    hub.cached = {"pytorch_model.bin"}
    assert "could not be fetched" in why() and hub.fetched


def test_no_download_of_what_memory_cannot_hold(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half precision in files, single precision on a node without a GPU."""
    node(monkeypatch, disk=100, memory=3.1)
    assert why() == (
        "its weights take 13.8 GB of memory, of which this node has 3.1 GB free; give it more or take a smaller model"
    )
    assert hub.fetched == []
    node(monkeypatch, disk=100, memory=3.1, kind="GPU memory")
    assert "its weights take 6.9 GB of GPU memory, of which this node has 3.1 GB" in why()
    assert "could not be fetched" in why("4bit")


@pytest.mark.parametrize("unknown", ["size", "number format", "memory", "everything"])
def test_what_is_not_known_refuses_nothing(hub: Hub, unknown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    node(monkeypatch, disk=100, memory=None if unknown == "memory" else 3)
    if unknown == "size":
        hub.files["pytorch_model.bin"] = None
    elif unknown == "number format":
        hub.config = {}
    elif unknown == "everything":
        hub.errors.append(TimeoutError())
    assert "could not be fetched" in why() and hub.fetched


def test_weights_are_fetched_and_counted_once(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.files["model.safetensors"] = 6_900_000_000
    node(monkeypatch, disk=7, memory=16)
    assert "could not be fetched" in why()
    assert hub.fetched == [["config.json", "model.safetensors", "tokenizer.model"]]


def test_a_folder_that_memory_cannot_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node(monkeypatch, disk=1, memory=1e-6)
    (tmp_path / "config.json").write_text('{"dtype": "bfloat16"}')
    (tmp_path / "model.safetensors").write_bytes(b"0" * 600)
    assert "its weights take 0.0 GB of memory" in room.of_folder(tmp_path, "none")
    node(monkeypatch, disk=1, memory=2e-6)
    assert room.of_folder(tmp_path, "none") == ""
