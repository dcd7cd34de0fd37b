# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m flower_ops.gate --version V --listen HOST:PORT --superlink HOST:PORT [--certs FOLDER]`."""

from __future__ import annotations

import argparse
import asyncio
import socket
import ssl
import sys
from pathlib import Path

import httpx
import uvicorn
from flower_ops import profiles, rules
from flower_ops.gate.proxy import Gate

# Pushing a model takes as long as it takes; a SuperLink that is down refuses the connection at once.
TIMEOUT = httpx.Timeout(3600.0, connect=10.0)
# The SuperLink closes a connection that was silent for 5 s: one is given up before, never in the middle of a request.
LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=2.0)
# Longer than SuperNodes keep theirs, for the same reason.
KEEP_ALIVE_S = 75
GOODBYE_S = 5


def main(arguments: list[str] | None = None) -> int:
    """Serve until asked to end. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m flower_ops.gate", description=__doc__)
    parser.add_argument("--version", required=True, help="Flower version of the SuperLink")
    parser.add_argument("--listen", required=True, help="where SuperNodes connect, HOST:PORT")
    parser.add_argument("--superlink", required=True, help="where the SuperLink listens, HOST:PORT")
    parser.add_argument("--certs", type=Path, help="folder of ca.crt, server.pem and server.key; none: no TLS")
    options = parser.parse_args(arguments)
    profile = profiles.profile(options.version)
    if not profile.fleet_port_is_shared:
        print(f"Flower {profile.version} has a Fleet API of its own and needs no gate.", file=sys.stderr)
        return 2
    asyncio.run(_serve(profile, options.listen, options.superlink, options.certs))
    return 0


async def _serve(profile: profiles.Profile, listen: str, superlink: str, certs: Path | None) -> None:
    trust: ssl.SSLContext | bool = False
    if certs:
        trust = ssl.create_default_context(cafile=certs / "ca.crt")
        # As in the SuperLink's own check: an authority without the newer extensions is one all the same.
        trust.verify_flags &= ~ssl.VERIFY_X509_STRICT
    scheme = "https" if certs else "http"
    # The proxy settings of the environment are not for a connection on loopback.
    async with httpx.AsyncClient(verify=trust, timeout=TIMEOUT, limits=LIMITS, trust_env=False) as client:
        config = uvicorn.Config(
            Gate(profile.fleet_routes, f"{scheme}://{superlink}", client, _say),
            ssl_certfile=certs / "server.pem" if certs else None,
            ssl_keyfile=certs / "server.key" if certs else None,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GOODBYE_S,
            access_log=False,
            log_level="warning",
            lifespan="off",
            ws="none",
            proxy_headers=False,
            server_header=False,
            date_header=False,
        )
        with bound(listen) as door:
            _say(f"fleet routes of Flower {profile.version} at {listen}, SuperLink at {scheme}://{superlink}")
            await uvicorn.Server(config).serve(sockets=[door])


def bound(address: str) -> socket.socket:
    """A listening socket; `0.0.0.0` and `[::]` take IPv4 and IPv6, as they do in Flower's other versions."""
    host, port = rules.split_address(address)
    both = host in ("0.0.0.0", "::") and socket.has_dualstack_ipv6()
    host = "::" if both else host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=512, dualstack_ipv6=both)


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
