# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a stranger on the network finds of a SuperLink of the HTTP generation, and that large models reach it."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from pathlib import Path

from flower_ops import profiles

from .conftest import Make

VERSION = "1.41.0"
# Another address of this machine, as far as a socket is concerned.
ELSEWHERE = "127.0.0.2"


def knock(host: str, port: int, method: str, path: str) -> tuple[int, bytes]:
    """Status and body; whether the certificate fits the address is not asked here."""
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection(host, port, timeout=20, context=trust)
    connection.request(method, path, b"", {"Content-Type": "application/protobuf"})
    answer = connection.getresponse()
    return answer.status, answer.read()


def listens(host: str, port: int) -> bool:
    """Whether anybody accepts a connection there."""
    try:
        socket.create_connection((host, port), timeout=3).close()
        return True
    except OSError:
        return False


def test_only_the_fleet_api_is_in_reach_of_others(federation: Make, tmp_path: Path) -> None:
    lane = federation(VERSION, listen="0.0.0.0")
    lane.start()
    fleet, control = (int(address.rpartition(":")[2]) for address in (lane.fleet, lane.control))
    assert listens(ELSEWHERE, fleet) and listens("127.0.0.1", control) and not listens(ELSEWHERE, control)
    for port in (lane.hub.ports.superlink_health, *(machine.ports.clientappio for machine in lane.machines)):
        assert listens("127.0.0.1", port) and not listens(ELSEWHERE, port)

    # The SuperLink's own list of what it serves.
    status, text = knock("127.0.0.1", control, "GET", "/openapi.json")
    assert status == 200
    routes = {(verb.upper(), path) for path, verbs in json.loads(text)["paths"].items() for verb in verbs}
    known = {("POST", route) for route in profiles.profile(VERSION).fleet_routes}
    assert {route for route in routes if "/fleet/" in route[1]} == known
    others = routes - known
    assert len(others) > 50 and any("/runtime/" in path or "/control/" in path for _verb, path in others)
    for verb, path in sorted(others | {("GET", "/openapi.json"), ("GET", "/docs")}):
        assert knock(ELSEWHERE, fleet, verb, path)[0] == 404, (verb, path)
    # Without a registered key the fleet routes are no use either, which is the SuperLink's own answer.
    assert {knock(ELSEWHERE, fleet, *route)[0] for route in known} <= {401, 403, 422}

    run = lane.train(size=4_000_000)
    assert run["succeeded"] and not run["degraded"] and run["bytes_sent"] > 10e6, run


def test_nodes_outlive_a_restart_of_the_gate_and_of_the_superlink(federation: Make) -> None:
    lane = federation(VERSION)
    lane.start()
    assert lane.gate is not None
    before = sorted(node["node-id"] for node in lane.cli.supernodes())
    for service in (lane.gate, lane.superlink):
        service.stop()
        service.start()
    lane.wait_answers()
    lane.wait_online()
    assert not lane.train()["degraded"]
    assert all(node.running for node in lane.nodes)
    assert sorted(node["node-id"] for node in lane.cli.supernodes()) == before
