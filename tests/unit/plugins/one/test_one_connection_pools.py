# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pools in pages, while others create and delete, and with servers that do not keep to the range."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.opennebula.flower.plugins.module_utils.one import errors
from ansible_collections.opennebula.flower.plugins.module_utils.one.api.settings import Settings
from ansible_collections.opennebula.flower.plugins.module_utils.one.core import pools


class Cloud:
    """Stands for a connection: a pool in the order of a list, and something that happens between two calls."""

    settings = Settings("http://one.example.org:2633/RPC2", "alice", "secret")

    def __init__(self, ids: list[int], between: Callable[[list[int], int], None] = lambda ids, call: None) -> None:
        self.ids, self.between = ids, between
        self.asked: list[tuple[Any, ...]] = []

    def call(self, method: str, *args: Any) -> str:
        self.asked.append(args)
        if len(self.asked) > 20:
            raise AssertionError("the pool is read without end")
        self.between(self.ids, len(self.asked))
        return self.answer(*args)

    def answer(self, who: int, start: int, end: int, *extra: Any) -> str:
        assert start >= 0 and end < 0, "a page is (offset, -size)"
        return _pool(self.ids[start : start - end])


class Lying(Cloud):
    """Ignores the range."""

    def answer(self, who: int, start: int, end: int, *extra: Any) -> str:
        return _pool(self.ids)


def _pool(ids: list[int]) -> str:
    return "<VM_POOL>" + "".join(f"<VM><ID>{number}</ID></VM>" for number in ids) + "</VM_POOL>"


def read(cloud: Any, **more: Any) -> list[int]:
    return [int(body["ID"]) for body in pools.read_pool(cloud, "one.vmpool.info", "VM", -1, **more)]


@pytest.mark.parametrize(
    ("size", "calls"), [(0, 1), (1, 1), (499, 1), (500, 2), (501, 2), (999, 2), (1000, 3), (1001, 3), (1499, 3)]
)
@pytest.mark.parametrize("order", [1, -1])
def test_t9_one_call_per_500_objects(size: int, calls: int, order: int) -> None:
    cloud = Cloud(list(range(size))[::order])
    assert read(cloud) == list(range(size))
    assert len(cloud.asked) == calls
    assert cloud.asked[0] == (-2, 0, -500, -1)


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("gone", [0, 3, 9, 10, 11, 19])
def test_an_object_deleted_between_two_pages_hides_no_other(order: int, gone: int) -> None:
    def delete(ids: list[int], call: int) -> None:
        if call == 2:
            ids.remove(gone)

    cloud = Cloud(list(range(30))[::order], delete)
    found = read(cloud, page=10)
    assert len(found) == len(set(found))
    assert set(range(30)) - {gone} <= set(found)


@pytest.mark.parametrize("order", [1, -1])
def test_an_object_created_between_two_pages_doubles_no_other(order: int) -> None:
    def create(ids: list[int], call: int) -> None:
        if call == 2:
            ids.insert(0 if order < 0 else len(ids), 30)

    found = read(Cloud(list(range(30))[::order], create), page=10)
    assert found in (list(range(30)), list(range(31)))


def test_a_pool_that_never_rests_is_read_to_an_end() -> None:
    def churn(ids: list[int], call: int) -> None:
        ids[:] = range(call * 100, call * 100 + 30)

    assert len(read(Cloud(list(range(30)), churn), page=10)) >= 10


@pytest.mark.parametrize("size", [3, 10, 11, 25])
def test_a_server_that_ignores_the_range_is_no_endless_loop(size: int) -> None:
    cloud = Lying(list(range(size)))
    assert read(cloud, page=10) == list(range(size))
    assert len(cloud.asked) <= 2


def test_pools_without_pages_are_asked_without_a_range() -> None:
    asked = []

    class Users:
        settings = Cloud.settings

        def call(self, method: str, *args: Any) -> str:
            asked.append((method, *args))
            return "<USER_POOL><USER><ID>3</ID><NAME>bob</NAME></USER></USER_POOL>"

    assert pools.user_id(Users(), "bob") == 3  # type: ignore[arg-type]
    assert asked == [("one.userpool.info",)]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("<VM_POOL><VM>", "no well-formed XML"),
        ("<html></html>", "no pool but <html>"),
        (7, "no XML but 7"),
        ("", "no well"),
    ],
)
def test_what_is_no_pool_is_said_with_the_call(answer: Any, words: str) -> None:
    class Broken(Cloud):
        def answer(self, *args: Any) -> str:
            return answer

    with pytest.raises(errors.OneInternalError, match=words) as caught:
        read(Broken([]))
    assert "one.vmpool.info" in str(caught.value) and "one.example.org" in str(caught.value)
    with pytest.raises(errors.OneInternalError, match="one.vm.info"):
        pools.read_one(Broken([]), "one.vm.info", 0)  # type: ignore[arg-type]
