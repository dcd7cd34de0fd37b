# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""New certificates for SuperLinks and SuperNodes that run: who trusts what, judged by runs that train."""

from __future__ import annotations

import time
from functools import partial

import pytest
from flower_ops.agent.supernode import ACCEPTED, ENDED
from flower_ops.machine.files import Files
from flower_ops.machine.paths import Paths
from flower_ops.pki import authority, certificates, tls
from flower_ops.pki.authority import Authority

from .conftest import Make
from .federation import Federation
from .processes import Service, wait_until

#: What a SuperNode says when a retry has reached the SuperLink.
BACK = "Connection successful"
#: Seconds after which a SuperNode that has not complained has missed nothing: it asks for messages every 3 s.
QUIET = 20.0


class Rotating:
    """A federation whose certificates are replaced as the agent does it."""

    def __init__(self, lane: Federation) -> None:
        self.lane = lane
        self.files = Files(Paths(lane.hub.root))
        own = authority.load(self.files)
        assert own is not None
        self.own: Authority = own
        self._heard = [0 for _node in lane.nodes]
        self._served = time.monotonic()

    def serve(self, own: Authority) -> None:
        """The SuperLink starts anew with a server certificate of this authority; the nodes are left alone."""
        authority.save(self.files, own)
        names = certificates.names_in(self.lane.hub.file("certs/server.pem").read_bytes())
        key, cert = tls.new_server_cert(own.key, own.cert, "superlink", names)
        certificates.store_server(self.files, own, cert, key)
        for service in (self.lane.gate, self.lane.superlink):
            if service is not None:
                service.stop()
        self._heard = [len(node.said()) for node in self.lane.nodes]
        self.lane.start_superlink()
        self._served = time.monotonic()

    def _is_back(self, node: Service, heard: int) -> bool:
        words = node.said()[heard:]
        return BACK in words or ("retrying" not in words and time.monotonic() - self._served > QUIET)

    def back(self) -> None:
        """Wait until nodes that were left alone have reached the SuperLink again."""
        for node, heard in zip(self.lane.nodes, self._heard, strict=True):
            wait_until(partial(self._is_back, node, heard), 120, f"a node stays away: {node.said()[-800:]}")

    def trust(self, *nodes: int, roots: list[bytes]) -> None:
        """Nodes start anew with these authorities."""
        for number in nodes:
            self.lane.nodes[number].stop()
            self.lane.machines[number].file("certs/ca.crt").write_bytes(b"".join(roots))
            self.lane.nodes[number].start()
        self.accepted()

    def accepted(self) -> None:
        """Start nodes until the SuperLink takes them in, as their units and keepers do."""

        def all_are() -> bool:
            for node in self.lane.nodes:
                if gave_up(node):
                    node.stop()
                    node.start()
            return all(ACCEPTED in node.said() for node in self.lane.nodes)

        wait_until(all_are, 150, "a node is not accepted")

    def trains(self) -> None:
        """All nodes take part in a run."""
        run = self.lane.train(num_server_rounds=1)
        said = "\n".join(service.said()[-1000:] for service in self.lane.services)
        assert run["succeeded"] and [one["results"] for one in run["rounds"]] == [2], f"{run}\n{said}"


def refused(service: Service) -> bool:
    """Whether a SuperNode says that it does not trust the certificate it is shown."""
    words = service.said()
    return any(word in words for word in ("CERTIFICATE_VERIFY_FAILED", "certificate verify failed", "andshake"))


def gave_up(service: Service) -> bool:
    """Whether a SuperNode tries no more: it has ended, or its log says that it should have."""
    return not service.running or ENDED in service.said()


@pytest.mark.parametrize("version", ["1.25.0", "1.34.0", "1.41.0"])
def test_an_authority_is_replaced_under_nodes_that_run(federation: Make, version: str) -> None:
    lane = federation(version)
    lane.start()
    rotating = Rotating(lane)
    old = rotating.own
    # A new certificate of the same authority: the nodes come back by themselves.
    rotating.serve(old)
    rotating.back()
    rotating.trains()
    # In the overlap one node knows both, the other has heard of nothing yet.
    both = old.begin()
    authority.save(rotating.files, both)
    rotating.trust(0, roots=both.roots)
    lane.wait_online()
    # The new one signs: the node that slept is carried over by the cross certificate in the handshake.
    new = both.finish()
    rotating.serve(new)
    rotating.back()
    rotating.trains()
    rotating.trust(0, 1, roots=new.roots)
    rotating.trains()
    assert not any(refused(node) for node in lane.nodes)


def test_nodes_refuse_a_foreign_certificate_and_come_back_to_their_own(federation: Make) -> None:
    lane = federation("1.34.0")
    lane.start()
    rotating = Rotating(lane)
    foreign = authority.new()
    lane.superlink.stop()
    rotating.serve(foreign)
    # Flower gives up on a handshake that failed; that it comes back is the business of its unit (Restart=always).
    wait_until(lambda: all(gave_up(node) for node in lane.nodes), 90, "nodes go on with a foreign certificate")
    assert all(refused(node) for node in lane.nodes)
    lane.nodes[0].stop()
    lane.nodes[0].start()
    wait_until(lambda: gave_up(lane.nodes[0]), 90, "a node that was started again trusts a foreign certificate")
    assert refused(lane.nodes[0])
    rotating.serve(rotating.own)
    rotating.accepted()
    rotating.trains()
