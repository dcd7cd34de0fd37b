# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A privacy audit as one HTML file: verdict, nodes, their peers, the disks, and what it cannot see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.opennebula.flower.plugins.module_utils.flower.audit_verdict import (
    CLEAN,
    LEAK,
    MOST_CONNECTIONS,
    UNPROVEN,
    WIRE_PER_CONNECTION,
    WIRE_PER_SECOND,
    WIRE_SHARE,
    WIRE_SUM,
)
from ansible_collections.opennebula.flower.plugins.module_utils.flower.figures import duration, page_text, size
from ansible_collections.opennebula.flower.plugins.module_utils.flower.report_style import STYLE

WORDS = {
    CLEAN: ("good", "No sample left its node"),
    LEAK: ("bad", "Samples left their node"),
    UNPROVEN: ("warn", "Not proven"),
}
LIMITS = (
    "What is encrypted on its way is not read: the bytes that a node sent beyond its messages bound what could hide "
    "there, and the messages themselves were looked into on the SuperLink.",
    "Samples are recognised as stored, as numbers of every usual type, scaled to 0..1 and -1..1, as text, in base64, "
    "and in streams packed by zlib, gzip and zip. An app that encrypts or alters samples, or makes tokens of texts, is "
    "bounded by bytes alone.",
    "What a model has learned may tell of the samples it was trained on; that is no matter of packets and files.",
)


def render(audit: Mapping[str, Any], judged: Mapping[str, Any], title: str) -> str:
    """The whole page, for what was measured and what audit_verdict.judge() said of it."""
    tone, words = WORDS[judged["verdict"]]
    run = audit["run"]
    app = run.get("app") or {}
    over = f"{app.get('name', 'no app')} {app.get('version', '')} · run {run.get('run_id') or 'none'}"
    limits = "".join(f"<li>{page_text(one)}</li>" for one in LIMITS)
    body = [
        f'<header><p class="over">{page_text(over)}</p><h1>{page_text(title)}</h1>'
        f'<p><span class="pill {tone}">{page_text(words)}</span></p></header>',
        *(f'<p class="notice {_tone(one)}" role="note">{page_text(one["text"])}</p>' for one in judged["failures"]),
        _nodes(judged["nodes"]),
        *(_peers(node) for node in audit["nodes"]),
        _disks(audit),
        f"<section><h2>What this cannot show</h2><ul>{limits}</ul></section>",
    ]
    head = (
        '<meta charset="utf-8"/>\n<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        f"<title>{page_text(title)}</title>\n<style>{page_text(STYLE)}</style>"
    )
    content = "\n".join(body)
    page = f"<head>\n{head}\n</head>\n<body>\n<main>\n{content}\n</main>\n</body>"
    return f'<!DOCTYPE html>\n<html lang="en">\n{page}\n</html>\n'


def _tone(failure: Mapping[str, Any]) -> str:
    return WORDS[failure["kind"]][0]


def _nodes(rows: Sequence[Mapping[str, Any]]) -> str:
    heads = (
        "Node",
        "Samples",
        "Looked for",
        "Data",
        "Same on another node",
        "To the SuperLink",
        "Of it messages",
        "Surplus",
        "Allowed",
        "TLS",
        "To others",
    )
    lines = [
        (
            row["name"],
            row["samples"],
            _looked_for(row),
            size(row["data_bytes"]),
            f"{row['shared']:.1%}",
            size(row["to_superlink"]),
            size(row["messages"]),
            _signed(row["surplus"]),
            size(row["surplus_allowed"]),
            f"yes, {row['handshakes']} handshakes" if row["encrypted"] else "no",
            size(row["to_others"]),
            f"{row['found_elsewhere']} samples" if row["found_elsewhere"] else "none",
        )
        for row in rows
    ]
    note = (
        "Bytes to the SuperLink are what TCP carried; messages are the bytes that Flower counted for the run, divided "
        f"by its nodes. Allowed beside them: {WIRE_SHARE:.0%} of the messages, {size(WIRE_SUM)}, "
        f"{size(WIRE_PER_CONNECTION)} for each of {MOST_CONNECTIONS} connections at most, {size(WIRE_PER_SECOND)} a "
        "second. Where that is more than a node's data, bytes alone prove little; what was looked for in the messages "
        "does. Rows of few numbers are recognised as numbers only where so many lie one after the other; one alone may "
        "go unseen."
    )
    return _section("Nodes", "nodes", (*heads, "Found elsewhere"), lines, note)


def _looked_for(row: Mapping[str, Any]) -> str:
    """How many samples, and what of them has to lie together to be recognised."""
    together = row["rows_together"]
    return str(row["looked_for"]) if together == 1 else f"{row['looked_for']}, as numbers by {together} rows in a row"


def _peers(node: Mapping[str, Any]) -> str:
    network = node["network"]
    lines = [
        (
            row["name"] or "unknown",
            row["address"] or "–",
            f"{row['port'] or '–'}/{row['protocol']}",
            row["opened_by"],
            row["connections"],
            size(row["bytes_out"]),
            size(row["bytes_in"]),
            "judged by the run" if row["limit"] < 0 else size(row["limit"]),
            "yes" if row["allowed"] else "no",
        )
        for row in network["peers"]
    ]
    heads = ("Peer", "Address", "Port", "Opened by", "Connections", "Sent", "Received", "May be sent", "Allowed")
    kept = "" if not network["not_kept_bytes"] else f" {size(network['not_kept_bytes'])} were counted and not kept."
    note = (
        f"{network['packets']} packets in {duration(float(network['seconds']))}, {network['dropped']} missed."
        f"{kept} Bytes with IP headers."
    )
    return _section(f"Whom {node['name']} talked to", f"peers-{node['name']}", heads, lines, note)


def _disks(audit: Mapping[str, Any]) -> str:
    lines = []
    for machine in [audit["superlink"], *audit["nodes"]]:
        disk = machine["disk"]
        control = disk["control"]
        lines.append(
            (
                machine["name"],
                disk["files"],
                disk["changed_files"],
                size(disk["bytes"]),
                size(disk["unpacked_bytes"]),
                disk["fingerprints"],
                f"{control['planted'] - len(control['missed'])} of {control['planted']}"
                if not control["missed"]
                else f"missed: {', '.join(control['missed'])}",
                len(disk["findings"]),
                disk["unreadable"],
            )
        )
    heads = (
        "Machine",
        "Files",
        "Changed since",
        "Bytes",
        "Unpacked",
        "Fingerprints",
        "Control found",
        "Findings",
        "Not read",
    )
    note = "The SuperLink's database kept every message of the run for the search, also those that Flower deleted."
    return _section("Disks", "disks", heads, lines, note)


def _section(title: str, anchor: str, heads: Iterable[str], lines: Iterable[Sequence[Any]], note: str) -> str:
    head = "".join(f'<th scope="col">{page_text(text)}</th>' for text in heads)
    rows = []
    for line in lines:
        cells = "".join(f'<td class="num">{page_text(str(cell))}</td>' for cell in line[1:])
        rows.append(f'<tr><th scope="row">{page_text(str(line[0]))}</th>{cells}</tr>')
    identity = "".join(char if char.isalnum() else "-" for char in anchor)
    return (
        f'<section><h2 id="{identity}">{page_text(title)}</h2>'
        f'<div class="wide" role="region" aria-labelledby="{identity}" tabindex="0">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
        f'<p class="note">{page_text(note)}</p></section>'
    )


def _signed(value: int) -> str:
    return size(value) if value >= 0 else f"−{size(-value)}"
