# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an audit says of figures: nothing left, something did, or it is not known. And the page, and the modules."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from ansible_collections.opennebula.flower.plugins.module_utils.flower.audit_page import render
from ansible_collections.opennebula.flower.plugins.module_utils.flower.audit_verdict import (
    MOST_CONNECTIONS,
    judge,
    table,
    wire_bound,
)
from audits import MODEL, clean_audit, peer
from module_runner import run_module


@pytest.fixture
def audit() -> dict[str, Any]:
    return clean_audit()


def finding(path: str = "/opt/flower/state/state.db-wal") -> dict[str, Any]:
    named = [{"file": 1, "row": 4}, {"file": 1, "row": 9}]
    return {
        "node": "a", "path": path, "offset": 4096, "changed": True, "samples": 12, "forms": ["64-bit floats"],
        "named": named,
    }  # fmt: skip


def texts(audit: dict[str, Any], verdict: str) -> str:
    judged = judge(audit)
    assert judged["verdict"] == verdict, judged["failures"]
    assert json.loads(json.dumps(judged)) == judged
    return " ".join(one["text"] for one in judged["failures"])


def test_a_clean_audit(audit: dict[str, Any]) -> None:
    assert texts(audit, "clean") == ""
    first = judge(audit)["nodes"][0]
    assert first["surplus"] == 3550 and first["surplus"] < first["surplus_allowed"] and first["found_elsewhere"] == 0
    lines = table(judge(audit)["nodes"])
    assert len(lines) == 3 and len({len(line) for line in lines}) == 1


def test_samples_on_the_superlink_are_told_by_node_form_and_place(audit: dict[str, Any]) -> None:
    audit["superlink"]["disk"]["findings"] = [finding()]
    assert texts(audit, "leak") == (
        "12 samples of a (file 1: 4, 9 and more) as 64-bit floats lie on the SuperLink in "
        "/opt/flower/state/state.db-wal (byte 4096)."
    )
    assert [one["found_elsewhere"] for one in judge(audit)["nodes"]] == [12, 0]


def test_samples_on_another_node(audit: dict[str, Any]) -> None:
    audit["nodes"][1]["disk"]["findings"] = [{**finding("/tmp/x"), "changed": False}]
    assert "lie on the SuperNode b in /tmp/x (byte 4096); the file is older than this audit." in texts(audit, "leak")


def test_places_that_the_operator_knows(audit: dict[str, Any]) -> None:
    audit["superlink"]["disk"]["findings"] = [finding("/opt/flower/data/test.npz")]
    audit["known_places"] = ["/opt/flower/data"]
    assert texts(audit, "clean") == ""


def change(audit: dict[str, Any], path: str, value: Any) -> None:
    *way, last = path.split(".")
    place: Any = audit
    for step in way:
        place = place[int(step)] if step.isdecimal() else place[step]
    place[int(last) if last.isdecimal() else last] = value


FLEET = "nodes.0.network.peers.0"


@pytest.mark.parametrize(
    ("path", "value", "verdict", "words"),
    [
        ("run.status", "finished:failed", "unproven", "The run ended as finished:failed"),
        ("run", {"msg": "There is no app."}, "unproven", "not submitted: There is no app."),
        ("run.degraded", True, "unproven", "not every node trained"),
        ("run.degraded", None, "unproven", "Nobody knows what the rounds of the run brought"),
        ("run.bytes_recv", 5 * MODEL, "leak", "Replies of the nodes weigh 145 kB"),
        ("run.bytes_recv", None, "unproven", "counted no bytes"),
        ("run.bytes_recv", 0, "unproven", "No SuperNode sent a message in this run"),
        ("run.rounds", [{"round": 1, "nodes": 3}], "unproven", "3 SuperNodes trained in a round, and 2 were watched"),
        ("run.rounds", [{"round": 1, "nodes": 2}, {"round": 2, "nodes": 1}], "unproven", "1 and 2 SuperNodes trained"),
        ("superlink.disk.control.missed", ["a deleted row of a database"], "unproven", "did not find its own control"),
        ("superlink.disk.files", 0, "unproven", "nothing to look for, or nowhere to look"),
        ("nodes.1.disk.control.missed", ["32-bit floats"], "unproven", "on the SuperNode b did not find"),
        ("nodes.1.disk.unreadable", 2, "unproven", "2 files of the SuperNode b could not be read"),
        ("superlink.disk.journal", False, "unproven", "The journal of the SuperLink could not be read"),
        ("nodes.0.samples.fingerprints", 0, "unproven", "a has no samples of its own"),
        ("nodes.0.samples.blank", 701, "unproven", "701 samples of a tell too little to be recognised"),
        ("nodes.0.samples.unreadable", 1, "unproven", "1 files of a could not be read as samples"),
        ("nodes.0.network.opened", 0, "unproven", "Nobody opened the samples of a during the run"),
        ("nodes.0.network.not_kept_bytes", 5000, "unproven", "raise privacy_audit_capture_bytes"),
        ("nodes.0.network.dropped", 3, "unproven", "3 packets of a could not be captured"),
        (
            f"{FLEET}.payload_out",
            MODEL * 4,
            "leak",
            "a sent 116 kB to the SuperLink, though its messages weigh 29.4 kB",
        ),
        (f"{FLEET}.payload_out", 0, "unproven", "a sent nothing to the SuperLink"),
        (f"{FLEET}.tls.encrypted", False, "unproven", "is not all TLS"),
        (f"{FLEET}.tls.gaps", 1, "unproven", "were not captured"),
        (f"{FLEET}.tls.handshakes", 0, "unproven", "No TLS handshake of a"),
        (f"{FLEET}.tls.opened_before", 0, "unproven", "1 of 2 connections of a to the SuperLink had no TLS handshake."),
        ("nodes.0.network.broken", "No space left on device", "unproven", "The capture of a broke off (No space left"),
    ],
)
def test_every_figure_that_speaks_against_it(
    audit: dict[str, Any], path: str, value: Any, verdict: str, words: str
) -> None:
    change(audit, path, value)
    assert words in texts(audit, verdict)
    assert words.split(":")[0] in "".join(page(audit).itertext())


def test_without_a_restart_no_handshake_is_asked_for(audit: dict[str, Any]) -> None:
    audit["restarted"] = False
    change(audit, f"{FLEET}.tls.handshakes", 0)
    change(audit, f"{FLEET}.tls.opened_before", 2)
    assert texts(audit, "clean") == ""


def test_strangers_and_those_that_got_too_much(audit: dict[str, Any]) -> None:
    peers = audit["nodes"][0]["network"]["peers"]
    peers.append(peer("", 900, 0, False, address="198.51.100.7", port=443))
    peers += [peer("DNS", 40000, allowed=False, port=53), peer("DNS", 40000, allowed=False, port=53)]
    # An answer of the kernel to somebody who knocks carries nothing.
    peers.append(peer("", 0, 0, False, address="198.51.100.8"))
    said = texts(audit, "leak")
    assert "a sent 1.3 kB to 198.51.100.7 port 443/tcp, which is none of its peers." in said
    assert said.count("as DNS, more than 65.5 kB") == 1 and "198.51.100.8" not in said


def test_samples_in_plain_on_the_wire(audit: dict[str, Any]) -> None:
    audit["nodes"][0]["network"]["plain"] = [
        {
            "protocol": "tcp", "address": "10.0.0.1", "port": 9092, "samples": 3, "forms": ["64-bit floats"],
            "named": [{"file": 1, "row": row} for row in (4, 5, 9)],
        }
    ]  # fmt: skip
    said = "3 samples of a (file 1: 4, 5, 9) as 64-bit floats left it without encryption, to 10.0.0.1 port 9092/tcp."
    assert said in texts(audit, "leak")


def test_the_same_data_from_the_start(audit: dict[str, Any]) -> None:
    audit["nodes"][0]["disk"]["shared"] = [
        {"node": "a", "other": "b", "share": 1.0}, {"node": "b", "other": "a", "share": 1.0},
    ]  # fmt: skip
    assert "a and b had the same data from the start (100%)" in texts(audit, "unproven")


def test_many_connections_leave_no_more_room_than_a_few(audit: dict[str, Any]) -> None:
    """A sample in every handshake: each is small, and together they may not be more than those of an honest node."""
    node = audit["nodes"][0]
    tls = node["network"]["peers"][0]["tls"]

    def bound(connections: int) -> int:
        tls.update(connections=connections, handshakes=connections, opened_before=0)
        return wire_bound(audit, node)

    assert bound(1) < bound(2) < bound(MOST_CONNECTIONS) == bound(MOST_CONNECTIONS + 1) == bound(5000)
    assert texts(audit, "unproven").startswith("a connected to the SuperLink 5000 times, and each handshake has room")
    bound(MOST_CONNECTIONS)
    assert texts(audit, "clean") == ""
    change(audit, f"{FLEET}.payload_out", bound(5000) + 1)
    assert "no more than" in texts(audit, "leak")


@pytest.mark.parametrize("share", [0.0002, 0.02, 0.49, 1.0])
def test_what_another_node_has_is_a_finding_however_little_it_is(audit: dict[str, Any], share: float) -> None:
    """Samples that two nodes have among their own: the search has found them in the folder of the other's data."""
    audit["nodes"][1]["disk"]["shared"] = audit["nodes"][0]["disk"]["shared"] = [
        {"node": "a", "other": "b", "share": share}, {"node": "b", "other": "a", "share": share},
    ]  # fmt: skip
    audit["nodes"][1]["disk"]["findings"] = [{**finding("/opt/flower/data/x.npz"), "changed": False}]
    said = texts(audit, "leak")
    assert (
        "12 samples of a (file 1: 4, 9 and more) as 64-bit floats lie on the SuperNode b in /opt/flower/data/x" in said
    )
    assert judge(audit)["nodes"][0]["shared"] == share
    audit["known_places"] = ["/opt/flower/data/"]
    texts(audit, "unproven" if share >= 0.5 else "clean")


def page(audit: dict[str, Any]) -> ElementTree.Element:
    text = render(audit, judge(audit), "Audit of <test>")
    assert text.startswith("<!DOCTYPE html>\n") and "http" not in text and "<script" not in text
    return ElementTree.fromstring(text.split("\n", 1)[1])


def test_the_page_shows_verdict_nodes_peers_and_disks(audit: dict[str, Any]) -> None:
    audit["nodes"][0]["network"]["peers"].append(peer("DNS <&>", 300, port=53))
    text = " ".join("".join(page(audit).itertext()).split())
    for part in ("No sample left its node", "Audit of <test>", "Whom a talked to", "DNS <&>", "36 of 36", "3.5 kB"):
        assert part in text


def test_the_page_says_how_many_rows_have_to_lie_together(audit: dict[str, Any]) -> None:
    audit["nodes"][1]["samples"]["together"] = 12
    text = " ".join("".join(page(audit).itertext()).split())
    assert text.count("700, as numbers by 12 rows in a row") == 1
    assert [one["rows_together"] for one in judge(audit)["nodes"]] == [1, 12]


def test_the_report_module_judges_writes_and_refuses_half_an_audit(audit: dict[str, Any], tmp_path: Path) -> None:
    given = {**audit, "dest": str(tmp_path / "new" / "index.html")}
    result = run_module("flower_audit_report", copy.deepcopy(given))
    assert result.ok and result["verdict"] == "clean" and Path(result["path"]).is_file() and len(result["lines"]) == 3
    assert run_module("flower_audit_report", {**given, "dest": str(tmp_path / "x")}, check=True).ok
    assert not (tmp_path / "x").exists()
    del given["nodes"][1]["network"]
    refused = run_module("flower_audit_report", given)
    assert not refused.ok and "b lacks network" in refused["msg"]


def agent(folder: Path, answer: dict[str, Any], code: int = 0) -> str:
    """A fake of flower-ops: it keeps its request and gives the answer."""
    program = folder / "flower-ops"
    program.write_text(
        f"#!/bin/sh\ncat > {folder}/request\necho '{json.dumps(answer)}'\nexit {code}\n", encoding="utf-8"
    )
    program.chmod(0o755)
    return str(program)


def test_a_fake_agent_gets_the_request_and_its_answer_comes_back(tmp_path: Path) -> None:
    binary = agent(tmp_path, {"rows": 5, "changed": False})
    salt = "ab" * 32
    result = run_module("flower_audit", {"step": "fingerprint", "node": "a", "salt": salt, "binary": binary})
    assert result.ok and result["audit"]["rows"] == 5 and not result["changed"]
    request = json.loads((tmp_path / "request").read_text(encoding="utf-8"))
    assert (request["node"], request["salt"], request["data"]) == ("a", salt, ["/opt/flower/data"])
    assert salt not in json.dumps(result)


def test_a_fake_agent_that_refuses_is_told_in_its_words(tmp_path: Path) -> None:
    binary = agent(tmp_path, {"message": "Run 7 is active; wait."}, 1)
    result = run_module("flower_audit", {"step": "start", "role": "superlink", "binary": binary})
    assert not result.ok and result["msg"] == "Run 7 is active; wait."


def test_steps_need_their_arguments_and_check_mode_takes_none(tmp_path: Path) -> None:
    assert not run_module("flower_audit", {"step": "start"}).ok
    assert not run_module("flower_audit", {"step": "search", "node": "a"}).ok
    assert "node" in run_module("flower_audit", {"step": "search", "salt": "ab" * 16})["msg"]
    assert run_module("flower_audit", {"step": "clean", "binary": str(tmp_path / "none")}, check=True).ok
