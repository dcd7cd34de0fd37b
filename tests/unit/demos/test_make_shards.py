# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shards of the demo's data: complete, disjoint, stratified, and the same on every machine."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[3] / "demos/sklearn/make_shards.py"


@pytest.fixture(scope="module")
def shards() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_shards", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_shards"] = module
    spec.loader.exec_module(module)
    return module


def read(path: Path) -> list[bytes]:
    """Images with their label as a last byte."""
    with zipfile.ZipFile(path) as archive:
        raw = {name: archive.read(name) for name in archive.namelist()}
    arrays = {}
    for name, content in raw.items():
        assert content[:8] == b"\x93NUMPY\x01\x00"
        length = int.from_bytes(content[8:10], "little")
        header = content[10 : 10 + length].decode("latin-1")
        assert (10 + length) % 64 == 0 and header.endswith("\n") and "'descr': '|u1'" in header
        arrays[name] = io.BytesIO(content[10 + length :]).getvalue()
    labels = arrays["labels.npy"]
    return [arrays["images.npy"][64 * n : 64 * (n + 1)] + labels[n : n + 1] for n in range(len(labels))]


def test_data_set_is_the_known_one() -> None:
    digest = hashlib.sha256((SCRIPT.parent / "data/digits.csv.gz").read_bytes()).hexdigest()
    assert digest == "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22"


@pytest.mark.parametrize("count", [1, 3, 7])
def test_every_image_is_in_exactly_one_file(shards: ModuleType, tmp_path: Path, count: int) -> None:
    assert shards.main(["--out", str(tmp_path), "--shards", str(count)]) == 0
    parts = [read(path) for path in sorted(tmp_path.glob("*.npz"))]
    assert len(parts) == count + 1
    together = sorted(image for part in parts for image in part)
    assert together == sorted(pixels + bytes([digit]) for pixels, digit in shards.read_digits())
    assert len(together) == 1797


def test_every_digit_is_spread_evenly(shards: ModuleType, tmp_path: Path) -> None:
    shards.main(["--out", str(tmp_path), "--shards", "3"])
    for digit in range(10):
        counts = [sum(image[-1] == digit for image in read(tmp_path / f"shard-{k}.npz")) for k in range(3)]
        assert max(counts) - min(counts) <= 1 and min(counts) > 40


def test_same_bytes_again_and_other_seeds_differ(shards: ModuleType, tmp_path: Path) -> None:
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        shards.main(["--out", str(tmp_path / name), "--shards", "2", "--seed", seed])
    first, again, other = ((tmp_path / name / "shard-0.npz").read_bytes() for name in "abc")
    assert first == again != other


@pytest.mark.parametrize("words", [["--shards", "0"], ["--shards", "101"], ["--test-share", "0.9"]])
def test_wrong_numbers(
    shards: ModuleType, tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        shards.main(["--out", str(tmp_path), *words])
    assert words[0] in capsys.readouterr().err
