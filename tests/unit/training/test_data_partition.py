# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each sample is in exactly one part, no part is empty, and every node comes to the same cut."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from flower_ops.training.data import DataError, Share, by_file, by_label, dirichlet, iid
from flower_ops.training.data.share import held_back
from hypothesis import given, settings
from hypothesis import strategies as st

LABELS = st.lists(st.integers(0, 4), min_size=1, max_size=60)
PARTS = st.integers(1, 9)
SEEDS = st.integers(0, 2**32 - 1)


def cut(scheme: str, labels: list[int], parts: int, seed: int, alpha: float) -> list[Any]:
    if scheme == "iid":
        return iid(len(labels), parts, seed)
    if scheme == "dirichlet":
        return dirichlet(np.array(labels), parts, alpha, seed)
    if scheme == "by-label":
        return by_label(np.array(labels), parts, seed)
    return by_file([f"file {label}" for label in labels], parts, seed)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(["iid", "dirichlet", "by-label", "by-file"]), LABELS, PARTS, SEEDS, st.floats(1e-4, 1e4))
def test_a_cut_is_a_partition_or_a_clear_error(
    scheme: str, labels: list[int], parts: int, seed: int, alpha: float
) -> None:
    try:
        found = cut(scheme, labels, parts, seed, alpha)
    except DataError as error:
        assert str(error).endswith(".") and "\n" not in str(error)
        sizes = np.bincount(labels)
        possible = {
            "iid": parts <= len(labels),
            "dirichlet": parts == 1,
            "by-label": parts <= len(labels),
            "by-file": parts <= np.count_nonzero(sizes),
        }
        assert not possible[scheme]
        return
    assert len(found) == parts
    assert all(len(part) for part in found)
    assert sorted(np.concatenate(found).tolist()) == list(range(len(labels)))
    again = cut(scheme, labels, parts, seed, alpha)
    assert all(np.array_equal(one, other) for one, other in zip(found, again, strict=True))


def digest(parts: list[Any]) -> str:
    return hashlib.sha256(b"|".join(part.astype("<i8").tobytes() for part in parts)).hexdigest()[:16]


def test_cuts_are_the_same_with_every_release_of_numpy() -> None:
    """Nodes of one federation may have different ones, and each cuts for itself: these values may never change."""
    labels = np.arange(200) % 7
    files = [f"file {number % 23}" for number in range(200)]
    cuts = [iid(200, 3, 5), dirichlet(labels, 4, 0.3, 5), by_label(labels, 3, 5), by_label(labels, 9, 5)]
    assert [digest(one) for one in [*cuts, by_file(files, 4, 5), [held_back(200, "test")]]] == [
        "794338d1ec786190",
        "0ff64d5ca042d3ed",
        "f78416af62443228",
        "8fa1be90c0d4d4ed",
        "40303f66934a97a7",
        "6614409ffd9c3bf2",
    ]


def test_iid_parts_differ_by_one_sample_at_most_and_hold_all_labels() -> None:
    labels = np.arange(1000) % 10
    parts = iid(1000, 3, 1)
    assert sorted(map(len, parts)) == [333, 333, 334]
    assert all(set(labels[part]) == set(range(10)) for part in parts)


def test_another_seed_is_another_cut() -> None:
    labels = np.arange(100) % 5
    files = [f"file {number // 4}" for number in range(100)]
    for scheme in (lambda seed: iid(100, 4, seed), lambda seed: dirichlet(labels, 4, 1.0, seed)):
        assert digest(scheme(1)) != digest(scheme(2))
    assert digest(by_label(labels, 3, 1)) != digest(by_label(labels, 3, 2))
    assert digest(by_file(files, 3, 1)) != digest(by_file(files, 3, 2))


def test_a_smaller_alpha_makes_parts_less_alike() -> None:
    labels = np.arange(2000) % 10

    def unlike(alpha: float) -> float:
        """Mean total variation distance of the parts' labels from all labels'."""
        shares = [np.bincount(labels[part], minlength=10) / len(part) for part in dirichlet(labels, 5, alpha, 3)]
        return float(np.mean([np.abs(share - 0.1).sum() / 2 for share in shares]))

    assert unlike(1000) < 0.05 < unlike(1) < unlike(0.1)
    assert unlike(0.1) > 0.5


@pytest.mark.parametrize("parts", [2, 5, 7])
def test_labels_stay_together(parts: int) -> None:
    labels = np.arange(700) % 7
    found = by_label(labels, parts, 1)
    assert sum(len(set(labels[part])) for part in found) == 7


def test_more_parts_than_labels_share_labels() -> None:
    labels = np.arange(90) % 3
    found = by_label(labels, 7, 1)
    assert all(len(set(labels[part])) == 1 for part in found)
    assert sorted(map(len, found)) == [10, 10, 10, 15, 15, 15, 15]


def test_a_rare_label_is_not_shared_by_more_parts_than_it_has_samples() -> None:
    labels = np.array([0] * 1 + [1] * 2 + [2] * 17)
    found = by_label(labels, 20, 1)
    assert [len(part) for part in found] == [1] * 20


def test_files_stay_together_and_parts_are_of_like_size() -> None:
    sizes = [50, 3, 20, 20, 9, 1, 1, 40]
    files = [f"{number}.csv" for number, size in enumerate(sizes) for _line in range(size)]
    found = by_file(files, 3, 1)
    owners = [{files[at] for at in part} for part in found]
    assert sum(map(len, owners)) == len(sizes)
    assert max(map(len, found)) - min(map(len, found)) <= 10


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda: iid(3, 4), "3 samples cannot be cut into 4 partitions that all have some"),
        (lambda: iid(3, 0), "number of partitions is 0"),
        (lambda: dirichlet(np.zeros(9), 3, 0.0), "alpha of the Dirichlet distribution is 0.0"),
        (lambda: dirichlet(np.zeros(9), 3, float("nan")), "alpha of the Dirichlet distribution is nan"),
        (lambda: dirichlet(np.zeros(9), 9, 1e-9), "take a greater alpha or fewer partitions"),
        (lambda: by_file(["a", "a", "b"], 3), "2 files cannot be dealt to 3 partitions"),
        (lambda: Share(2, 2), "partition 2 is none of the 2, which count from 0"),
        (
            lambda: Share(-1, 0, "x", -1, -1),
            "not a whole number from 1; 'x' is none of .*; alpha is -1, .*; the seed is -1",
        ),
        (lambda: Share(0, 2, "by-label").of(4, np.zeros(0), []), "cut by-label, because its samples have no labels"),
        (lambda: Share(0, 2, "by-file").of(4, np.zeros(4), []), "cut by-file, because it does not come in files"),
        (lambda: held_back(1, "train"), "1 samples has none to spare for testing"),
    ],
)
def test_what_cannot_be_is_said(wrong: Any, told: str) -> None:
    with pytest.raises(DataError, match=told):
        wrong()


@pytest.mark.parametrize("scheme", ["iid", "dirichlet", "by-label", "by-file"])
def test_shares_together_are_all_of_it(scheme: str) -> None:
    labels = np.arange(100) % 5
    files = [f"file {number // 10}" for number in range(100)]
    shares = [Share(number, 4, scheme, seed=3).of(100, labels, files) for number in range(4)]
    assert sorted(np.concatenate(shares).tolist()) == list(range(100))


@pytest.mark.parametrize("total", [2, 3, 10, 1797])
def test_what_is_held_back_is_never_trained_on(total: int) -> None:
    train, test = held_back(total, "train"), held_back(total, "test")
    assert sorted([*train, *test]) == list(range(total)) == held_back(total, "all").tolist()
    assert len(train) and len(test) == max(1, round(total / 5))
