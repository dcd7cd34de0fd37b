# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the bench computes and reads; what it measures is no matter of a test."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.boot import figures_of as boot_figures
from bench.boot import processor_time, properties
from bench.dummy import dummy_cloud
from bench.figures import Figure, number, table
from bench.inventory import figures_of as inventory_figures
from bench.modules import PAIRS, Pair, play_of, read
from bench.modules import figures_of as modules_figures
from bench.peers import peer_version
from bench.play import BenchError, parse_recap, play

RECAP = """\
PLAY RECAP *********************************************************************
localhost                  : ok=24   changed=0    unreachable=0    failed=0    skipped=1    rescued=0    ignored=0
bench-superlink-0          : ok=12   changed=3    unreachable=0    failed=0    skipped=1    rescued=0    ignored=0

""".splitlines()


def test_median_spread_and_goal() -> None:
    figure = Figure("a", "s", (30.0, 10.0, 50.0), goal=30)
    assert (figure.median, figure.met) == (30.0, True)
    assert figure.row() == ("a", "30 s", "10–50 (3x)", "≤ 30 s", "met")
    assert Figure("a", "s", (30.1,), goal=30).met is False
    assert Figure("a", "s", (30.1,)).met is None
    assert figure.as_dict()["max"] == 50.0


@pytest.mark.parametrize(("value", "text"), [(3.0, "3"), (1.0456, "1.05"), (12.34, "12.3"), (480.4, "480")])
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text


def test_table_lines_up_and_ends_with_notes() -> None:
    lines = table([Figure("first", "s", (1.5,), 2, "cached"), Figure("the second", "", (7,))]).splitlines()
    assert lines[0].split() == ["figure", "median", "spread", "goal"]
    assert len({line.index(word) for line, word in ((lines[2], "1.50 s"), (lines[3], "7"))}) == 1
    assert lines[-1] == "first: cached"


def test_recap_is_read_from_its_last_occurrence() -> None:
    lines = ["PLAY RECAP ***", "old : ok=1 changed=1", "TASK [x]", *RECAP, "not : a recap"]
    assert parse_recap(lines) == {
        "localhost": {"ok": 24, "changed": 0, "unreachable": 0, "failed": 0, "skipped": 1, "rescued": 0, "ignored": 0},
        "bench-superlink-0": {
            "ok": 12, "changed": 3, "unreachable": 0, "failed": 0, "skipped": 1, "rescued": 0, "ignored": 0,
        },
    }  # fmt: skip
    assert parse_recap(["nothing"]) == {}


def test_a_command_is_timed_logged_and_judged(tmp_path: Path) -> None:
    log = tmp_path / "log"
    played = play(["sh", "-c", "echo one; sleep 0.3; echo two"], tmp_path, log)
    assert log.read_text() == "one\ntwo\n"
    assert played.at("two") - played.at("one") > 0.2
    assert played.at("three") == played.seconds
    with pytest.raises(BenchError, match=str(log)):
        play(["sh", "-c", "exit 3"], tmp_path, log)


def test_both_collections_are_asked_for_the_same_thing_in_turn() -> None:
    tasks = play_of(PAIRS, 2)[0]["tasks"]
    names = [task["name"] for task in tasks]
    for pair in PAIRS:
        assert [name for name in names if name.split("|")[1:2] == [pair.name] and not name.startswith("calls")] == [
            f"{side}|{pair.name}|{turn}"
            for turn, side in (
                ("0", "ours"), ("0", "community.general"),
                *((turn, side) for turn in ("1", "2") for side in sides(names, pair.name, turn)),
            )
        ]  # fmt: skip
        first = {sides(names, pair.name, turn)[0] for turn in ("1", "2")}
        assert first == {"ours", "community.general"}, "who goes first does not alternate"
    assert sum(name == "ping|last" for name in names) == 2
    create = next(task for task in tasks if task["name"] == "ours|one_template, create|2")
    assert create["opennebula.flower.one_template"]["name"] == "own-2"


def sides(names: list[str], pair: str, turn: str) -> list[str]:
    """Whose task came first, and whose second."""
    return [name.split("|")[0] for name in names if name.endswith(f"|{pair}|{turn}")]


PAIR = Pair("look", "one_image", {"id": 1}, {"id": 1})


def said(name: str, seconds: float, changed: bool = False, **calls: int) -> str:
    """A line of the callback."""
    return json.dumps({"task": name, "seconds": seconds, "changed": changed, "calls": {"by_method": calls}})


def test_times_are_net_of_the_pings_of_their_round_and_calls_those_of_one_task() -> None:
    lines = [
        said("before", 1, reads=3), said("ours|look|0", 9, reads=3), said("calls|ours|look", 1, reads=4),
        said("before", 1, reads=4), said("community.general|look|0", 9),
        said("calls|community.general|look", 1, reads=6, writes=1),
        said("ping", 1), said("ours|look|1", 2), said("ping", 1), said("community.general|look|1", 4),
        said("ping|last", 1),
        said("ping", 2), said("community.general|look|2", 6), said("ping", 2), said("ours|look|2", 4),
        said("ping|last", 2),
    ]  # fmt: skip
    measured = read(lines, [PAIR])
    assert measured.net("ours", "look") == (1, 2)
    figures = {figure.name: figure for figure in modules_figures(measured, [PAIR])}
    ratio = figures["look, net of ping: ratio"]
    assert ratio.values == (1.5 / 3.5,) and ratio.goal == 0.7 and ratio.met
    assert figures["look, whole task: ours"].median == 3
    assert figures["look, calls per task: ours"].values == (1,)
    theirs = figures["look, calls per task: community.general"]
    assert theirs.values == (3,) and theirs.note == "2 reads, 1 writes"


def test_a_task_that_does_something_else_is_no_comparison() -> None:
    with pytest.raises(BenchError, match="changed=True"):
        read([said("ours|look|1", 1, changed=True)], [PAIR])


def test_inventories_are_compared_whole_and_net_of_an_empty_one() -> None:
    seconds = {"ours": [(1.0, 2.0), (1.0, 3.0)], "community.general": [(1.0, 5.0), (1.0, 5.0)]}
    figures = {figure.name: figure for figure in inventory_figures(500, seconds)}
    assert figures["inventory, 500 VMs, whole: ratio"].values == (0.4, 0.6)
    assert figures["inventory, 500 VMs, net of an empty one: ratio"].values == (0.25, 0.5)


def test_the_clouds_of_the_comparison_need_no_machine(tmp_path: Path) -> None:
    with dummy_cloud(tmp_path, tmp_path / "log") as cloud:
        template = cloud.call("one.template.allocate", 'NAME = "small"\nCPU = "0.1"\nMEMORY = "64"')
        cloud.vms(3, template)
        cloud.vms(3, template)
        assert cloud.call("one.vmpool.info", -2, -1, -1, -1).count("<VM>") == 3
        assert cloud.flow("/service") == {"DOCUMENT_POOL": {}}
        assert cloud.environment["ONE_URL"] == cloud.xmlrpc
        with pytest.raises(BenchError, match=r"one\.template\.allocate: .*"):
            cloud.call("one.template.allocate", 'NAME = "small"')
    assert peer_version()


def test_processor_time_that_nobody_counted_meets_no_goal() -> None:
    seconds = {"superlink": [11.0, 12.5], "supernode": [7.0, 9.0, 8.5, 7.5]}
    counted = boot_figures(seconds, {"superlink": [1.5, 1.7], "supernode": [1.0]})
    assert [(figure.median, figure.goal, figure.met) for figure in counted] == [
        (11.75, 12.0, True), (1.6, 2.0, True), (8.0, 8.0, True), (1.0, 2.0, True),
    ]  # fmt: skip
    not_counted = boot_figures(seconds, {"superlink": [], "supernode": []})
    assert [figure.name for figure in not_counted] == [figure.name for figure in counted if "READY" in figure.name]
    assert all("did not tell" in figure.note for figure in not_counted)
    assert properties("A=[not set]\nResult=success") == {"A": "[not set]", "Result": "success"}
    told = "[13/13] announce … done\nFlower is ready: this supernode took 9.1 s (0.43 s of processor time).\n"
    assert processor_time(told) == 0.43 and processor_time("waiting: OneGate\n") is None
