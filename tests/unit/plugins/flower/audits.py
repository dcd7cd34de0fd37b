# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the steps of an audit return where no sample left its node: what reports and examples are made of."""

from __future__ import annotations

from typing import Any

MODEL = 29000


def peer(name: str, sent: int, limit: int = 65536, allowed: bool = True, **more: Any) -> dict[str, Any]:
    return {
        "name": name, "protocol": "tcp", "address": "10.0.0.1", "port": 9092, "opened_by": "node", "connections": 1,
        "bytes_out": sent + 400, "bytes_in": 500, "payload_out": sent, "payload_in": 100, "packets": 9, "limit": limit,
        "allowed": allowed,
        "tls": {
            "encrypted": True, "connections": 2, "handshakes": 1, "opened_before": 1, "records": 9, "plain_bytes": 0,
            "gaps": 0,
        },
        **more,
    }  # fmt: skip


def disk(**more: Any) -> dict[str, Any]:
    return {
        "findings": [], "control": {"planted": 36, "missed": []}, "shared": [], "files": 90, "changed_files": 4,
        "unreadable": 0, "bytes": 10**7, "unpacked_bytes": 10**5, "fingerprints": 300000, "seconds": 2.0, **more,
    }  # fmt: skip


def node(name: str) -> dict[str, Any]:
    fleet = peer("SuperLink (Fleet API)", MODEL + 4000, -1)
    samples = {"files": 1, "rows": 719, "taken": 700, "blank": 19, "bytes": 19122, "fingerprints": 300000}
    network = {
        "packets": 90, "dropped": 0, "not_kept_bytes": 0, "opened": 1, "seconds": 20.0, "kept_bytes": 9000, "plain": [],
        "bytes_out": MODEL + 4400, "bytes_in": 600, "peers": [fleet],
    }  # fmt: skip
    return {"name": name, "samples": samples, "network": network, "disk": disk()}


def clean_audit() -> dict[str, Any]:
    run = {
        "run_id": "7", "app": {"name": "digits", "version": "1"}, "status": "finished:completed", "degraded": False,
        "rounds": [{"round": 1}], "bytes_sent": 2 * MODEL, "bytes_recv": 2 * MODEL + 900,
    }  # fmt: skip
    return {
        "run": run, "superlink": {"name": "link", "disk": disk()}, "nodes": [node("a"), node("b")],
        "restarted": True, "known_places": [],
    }  # fmt: skip
