# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the figures of a privacy audit prove: nothing left, something did, or it is not known.

A leak is something seen. Anything that would have let a leak go unseen (a packet that was not captured, a search that
missed its own control) makes the audit unproven, which is no better for whoever relies on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.opennebula.flower.plugins.module_utils.flower.figures import size

CLEAN, LEAK, UNPROVEN = "clean", "leak", "unproven"
#: What a SuperNode may send to the SuperLink beside the bytes that Flower counts as messages: a share of them for the
#: frames of TLS and HTTP, a sum for joining, what a handshake costs, and what asking for work costs in a second.
WIRE_SHARE, WIRE_SUM, WIRE_PER_CONNECTION, WIRE_PER_SECOND = 0.05, 16384, 2048, 1024
#: Connections to the SuperLink that count: that from before the audit, the new one, and some that broke. No number of
#: connections allows more bytes than these, and more of them are a finding of their own: a handshake has room, too.
MOST_CONNECTIONS = 8
#: What replies may weigh beside the model that was sent out: a share of it, and metrics of a node in a round.
REPLY_SHARE, REPLY_SUM = 0.05, 8192
#: Nothing passes because it is less than this: a sample of its own that another node has is found there, be it one.
#: A node that shares as much of its data has too little of its own for an audit of it.
SAME_DATA = 0.5


def judge(audit: Mapping[str, Any]) -> dict[str, Any]:
    """`verdict`, `failures` (kind, node, text) and one row of figures per node.

    `audit`: `run` as flower_run returns it, `superlink` and `nodes` with `name` and the answers of the steps
    (`samples`, `network`, `disk`), `restarted`, `known_places` (paths on any machine where samples may lie).
    """
    failures = [*_of_run(audit), *_of_superlink(audit)]
    for node in audit["nodes"]:
        failures += [*_of_samples(node), *_of_network(audit, node), *_of_disk(audit, node)]
    kinds = {one["kind"] for one in failures}
    verdict = LEAK if LEAK in kinds else UNPROVEN if kinds else CLEAN
    return {"verdict": verdict, "failures": failures, "nodes": [_row(audit, node) for node in audit["nodes"]]}


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The figures of the nodes as lines of text, bytes in full."""
    heads = ("samples", "to SuperLink", "messages", "surplus", "to others", "found elsewhere")
    keys = ("samples", "to_superlink", "messages", "surplus", "to_others", "found_elsewhere")
    width = max([4, *(len(row["name"]) for row in rows)])
    lines = ["  ".join(["node".ljust(width), *heads])]
    for row in rows:
        cells = (str(row[key]).rjust(len(head)) for key, head in zip(keys, heads, strict=True))
        lines.append("  ".join([row["name"].ljust(width), *cells]))
    return lines


def share_of(audit: Mapping[str, Any]) -> float:
    """Bytes of messages that each node sent in the run, as Flower counts them, divided evenly."""
    return float(audit["run"].get("bytes_recv") or 0) / max(1, len(audit["nodes"]))


def fleet_rows(node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Rows of the connection to the SuperLink."""
    return [row for row in node["network"]["peers"] if row["limit"] < 0]


def wire_bound(audit: Mapping[str, Any], node: Mapping[str, Any]) -> int:
    """Bytes that a node may send to the SuperLink."""
    connecting = WIRE_SUM + WIRE_PER_CONNECTION * min(_connections(node), MOST_CONNECTIONS)
    return int(share_of(audit) * (1 + WIRE_SHARE) + connecting + WIRE_PER_SECOND * node["network"]["seconds"])


def _connections(node: Mapping[str, Any]) -> int:
    """Connections to the SuperLink that carried anything."""
    return sum(int(row["tls"]["connections"]) for row in fleet_rows(node))


def reply_bound(audit: Mapping[str, Any]) -> int:
    """Bytes that all replies of the run may have."""
    run = audit["run"]
    messages = len(audit["nodes"]) * max(1, len(run.get("rounds") or []))
    return int((run.get("bytes_sent") or 0) * (1 + REPLY_SHARE) + REPLY_SUM * messages)


def _fault(kind: str, node: str, text: str) -> dict[str, str]:
    return {"kind": kind, "node": node, "text": text}


def _of_run(audit: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    run = audit["run"]
    if run.get("status") != "finished:completed":
        why = run.get("reason") or run.get("msg") or "no reason is known"
        yield _fault(UNPROVEN, "", f"The run ended as {run.get('status') or 'not submitted'}: {why}")
        return
    if run.get("degraded"):
        yield _fault(UNPROVEN, "", f"The run lacks results, so not every node trained: {run.get('reason')}")
    elif "degraded" in run and run["degraded"] is None:
        yield _fault(UNPROVEN, "", "Nobody knows what the rounds of the run brought; audit again.")
    watched = len(audit["nodes"])
    chosen = {one["nodes"] for one in run.get("rounds") or [] if one.get("nodes") is not None}
    if chosen - {watched}:
        # More: somebody trained whose samples nobody looked for. Fewer: somebody was watched who had nothing to send.
        counts = " and ".join(map(str, sorted(chosen)))
        yield _fault(
            UNPROVEN, "", f"{counts} SuperNodes trained in a round, and {watched} were watched; audit all that train."
        )
    received, bound = run.get("bytes_recv"), reply_bound(audit)
    if received is None:
        yield _fault(UNPROVEN, "", "Flower has counted no bytes of this run, so nothing says what messages weigh.")
    elif not received:
        yield _fault(UNPROVEN, "", "No SuperNode sent a message in this run, so there was nothing to watch.")
    elif received > bound:
        yield _fault(
            LEAK,
            "",
            f"Replies of the nodes weigh {size(received)}, though the model that was sent to them weighs "
            f"{size(run.get('bytes_sent') or 0)}; no more than {size(bound)} was to be expected.",
        )


def _of_superlink(audit: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    yield from _of_disk(audit, audit["superlink"], "the SuperLink")


def _of_disk(audit: Mapping[str, Any], machine: Mapping[str, Any], called: str = "") -> Iterator[dict[str, str]]:
    disk, name = machine["disk"], called or f"the SuperNode {machine['name']}"
    known = tuple(audit.get("known_places") or ())
    for one in disk["findings"]:
        if known and one["path"].startswith(known):
            continue
        when = "" if one["changed"] else "; the file is older than this audit"
        yield _fault(LEAK, one["node"], f"{_samples(one)} lie on {name} in {one['path']} (byte {one['offset']}){when}.")
    if disk["control"]["missed"]:
        yield _fault(
            UNPROVEN,
            machine["name"],
            f"The search on {name} did not find its own control ({', '.join(disk['control']['missed'])}), so it proves "
            "nothing.",
        )
    if disk["unreadable"]:
        text = f"{disk['unreadable']} files of {name} could not be read, so nobody knows what is in them."
        yield _fault(UNPROVEN, machine["name"], text)
    if not disk.get("journal", True):
        yield _fault(UNPROVEN, machine["name"], f"The journal of {name} could not be read; see that journalctl works.")
    if not disk["files"] or not disk["fingerprints"]:
        yield _fault(UNPROVEN, machine["name"], f"The search on {name} had nothing to look for, or nowhere to look.")


def _samples(one: Mapping[str, Any]) -> str:
    """`At least 3 samples of node-1 (file 1: 4, 7, 9) as 64-bit floats`."""
    rows: dict[int, list[str]] = {}
    for named in one.get("named") or []:
        rows.setdefault(named["file"], []).append(str(named["row"]))
    where = "; ".join(f"file {file}: {', '.join(numbers)}" for file, numbers in rows.items())
    more = " and more" if one["samples"] > sum(map(len, rows.values())) else ""
    return (
        f"{one['samples']} {'sample' if one['samples'] == 1 else 'samples'} of {one['node']}"
        f"{f' ({where}{more})' if where else ''} as {', '.join(one['forms'])}"
    )


def _of_samples(node: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    samples = node["samples"]
    if not samples["fingerprints"]:
        yield _fault(
            UNPROVEN,
            node["name"],
            f"{node['name']} has no samples of its own that could be recognised ({samples['files']} files), so nothing "
            "was looked for; give it data, or let the audit make some (privacy_audit_canary).",
        )
    elif samples["blank"] > samples["taken"]:
        yield _fault(
            UNPROVEN,
            node["name"],
            f"{samples['blank']} samples of {node['name']} tell too little to be recognised, and only "
            f"{samples['taken']} were looked for.",
        )
    if samples.get("unreadable"):
        text = f"{samples['unreadable']} files of {node['name']} could not be read as samples and were not looked for."
        yield _fault(UNPROVEN, node["name"], text)
    for one in node["disk"]["shared"]:
        if one["node"] == node["name"] and one["share"] >= SAME_DATA:
            yield _fault(
                UNPROVEN,
                node["name"],
                f"{node['name']} and {one['other']} had the same data from the start ({one['share']:.0%}), so finding "
                "it elsewhere would say nothing; audit with data of each node's own, or with privacy_audit_canary.",
            )


def _of_network(audit: Mapping[str, Any], node: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    network, name = node["network"], node["name"]
    for one in network["plain"]:
        peer = f"{one['address']} port {one['port']}/{one['protocol']}"
        yield _fault(LEAK, name, f"{_samples({**one, 'node': name})} left it without encryption, to {peer}.")
    told: set[str] = set()
    for row in network["peers"]:
        if row["allowed"] or (row["name"] and row["name"] in told) or not row["payload_out"]:
            continue
        peer = f"{row['address'] or 'the link'} port {row['port']}/{row['protocol']}"
        if not row["name"]:
            yield _fault(LEAK, name, f"{name} sent {size(row['bytes_out'])} to {peer}, which is none of its peers.")
        else:
            told.add(row["name"])
            total = sum(other["bytes_out"] for other in network["peers"] if other["name"] == row["name"])
            text = f"{name} sent {size(total)} as {row['name']}, more than {size(row['limit'])}."
            yield _fault(LEAK, name, text)
    if network.get("opened") == 0:
        yield _fault(
            UNPROVEN,
            name,
            f"Nobody opened the samples of {name} during the run, so the app trained on something else; give it the "
            "data that is audited (privacy_audit_data, or the app's own source of data).",
        )
    if network.get("broken"):
        yield _fault(
            UNPROVEN, name, f"The capture of {name} broke off ({network['broken']}), so not all that it sent was seen."
        )
    if network["dropped"]:
        yield _fault(UNPROVEN, name, f"{network['dropped']} packets of {name} could not be captured.")
    if network["not_kept_bytes"]:
        text = (
            f"{size(network['not_kept_bytes'])} that {name} sent or got were not kept, so not all that went in plain "
            "was searched; raise privacy_audit_capture_bytes."
        )
        yield _fault(UNPROVEN, name, text)
    yield from _of_fleet(audit, node)


def _of_fleet(audit: Mapping[str, Any], node: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    name, rows = node["name"], fleet_rows(node)
    sent = sum(row["payload_out"] for row in rows)
    if not sent:
        yield _fault(UNPROVEN, name, f"{name} sent nothing to the SuperLink while it was watched.")
        return
    if audit["run"].get("bytes_recv") is not None and sent > wire_bound(audit, node):
        yield _fault(
            LEAK,
            name,
            f"{name} sent {size(sent)} to the SuperLink, though its messages weigh {size(int(share_of(audit)))}; no "
            f"more than {size(wire_bound(audit, node))} was to be expected.",
        )
    for row in rows:
        tls = row["tls"]
        if not tls["encrypted"]:
            text = (
                f"The connection of {name} to the SuperLink is not all TLS: {size(tls['plain_bytes'])} were in plain."
            )
            yield _fault(UNPROVEN, name, text)
        elif tls["gaps"]:
            yield _fault(UNPROVEN, name, f"Parts of the connection of {name} to the SuperLink were not captured.")
        elif audit.get("restarted") and not tls["handshakes"]:
            text = f"No TLS handshake of {name} with the SuperLink was seen, though its connection began anew."
            yield _fault(UNPROVEN, name, text)
        elif (bare := tls["connections"] - tls["opened_before"] - tls["handshakes"]) > 0:
            # What looks like records of TLS is none without it.
            text = f"{bare} of {tls['connections']} connections of {name} to the SuperLink had no TLS handshake."
            yield _fault(UNPROVEN, name, text)
    if (count := _connections(node)) > MOST_CONNECTIONS:
        yield _fault(
            UNPROVEN,
            name,
            f"{name} connected to the SuperLink {count} times, and each handshake has room for what nobody reads; no "
            f"more than {MOST_CONNECTIONS} were to be expected.",
        )


def _row(audit: Mapping[str, Any], node: Mapping[str, Any]) -> dict[str, Any]:
    rows: Sequence[Mapping[str, Any]] = fleet_rows(node)
    network = node["network"]
    sent = sum(row["payload_out"] for row in rows)
    return {
        "name": node["name"],
        "samples": node["samples"]["rows"],
        "looked_for": node["samples"]["taken"],
        "rows_together": node["samples"].get("together", 1),
        "data_bytes": node["samples"]["bytes"],
        "to_superlink": sent,
        "messages": int(share_of(audit)),
        "surplus": sent - int(share_of(audit)),
        "surplus_allowed": wire_bound(audit, node) - int(share_of(audit)),
        "to_others": network["bytes_out"] - sum(row["bytes_out"] for row in rows),
        "handshakes": sum(row["tls"]["handshakes"] for row in rows),
        "encrypted": bool(rows) and all(row["tls"]["encrypted"] for row in rows),
        "shared": max((one["share"] for one in node["disk"]["shared"] if one["node"] == node["name"]), default=0.0),
        "found_elsewhere": sum(
            one["samples"]
            for machine in [audit["superlink"], *audit["nodes"]]
            for one in machine["disk"]["findings"]
            if one["node"] == node["name"]
        ),
    }
