# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What differs between Flower versions, as data: the arguments of its services. Nothing else knows a flag."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


class UnknownVersionError(Exception):
    """No profile for a Flower version; the message lists those known."""


@dataclass(frozen=True)
class Ports:
    """Where the services of a VM listen when nothing else is asked for; all but Fleet on loopback.

    Both health ports speak gRPC's health protocol without TLS in every version. `serverappio` and `clientappio` take
    tasks, `clientappio` over HTTP where the Fleet port is shared.
    """

    fleet: int = 9092
    control: int = 9093
    serverappio: int = 9091
    superlink_health: int = 9097
    clientappio: int = 9094
    supernode_health: int = 9098


#: What every process of Flower needs: no word to the internet, no package fetched while a run starts.
ENVIRONMENT: Mapping[str, str] = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
}
_NO_INSTALLATION = ("--disable-runtime-dependency-installation",)
# Up to 1.32 a SuperNode waits for ever for a reply to the message that it could not receive.
_FAILED_PULL = (r"\bFailed to receive message\b",)
_FLEET_ROUTES = tuple(
    f"/v1/fleet/{name}"
    for name in (
        "register-node activate-node deactivate-node unregister-node send-node-heartbeat pull-messages push-messages "
        "get-run get-fab push-object pull-object confirm-message-received"
    ).split()
)


@dataclass(frozen=True)
class Profile:
    """One Flower version.

    python, cryptography: what its packages ask for. superlink_extra: arguments that only some versions know.
    connections_in_app: the command line reads its connections from the pyproject.toml of an app folder, which every
    command names; else from config.toml below FLWR_HOME. fleet_routes: paths that SuperNodes POST to, where one port
    serves all of the SuperLink over HTTP (else empty, and Fleet is a gRPC service on a port of its own).
    zombie_patterns: regular expressions; after such a line in its log a SuperNode stays online and answers no more.
    superlink_is_cured: whether its SuperLink needs the cure of flower_ops/workarounds; every SuperNode does.
    list_extra: arguments with which the command line lists all runs, where it would tell only the newest.
    superlink_exit: exit statuses of a SuperLink that was asked to end (negative: the signal that ended it).
    """

    version: str
    python: str
    superlink_extra: tuple[str, ...] = ()
    ports: Ports = Ports()
    cryptography: str = ""
    connections_in_app: bool = False
    fleet_routes: tuple[str, ...] = ()
    zombie_patterns: tuple[str, ...] = ()
    superlink_is_cured: bool = False
    list_extra: tuple[str, ...] = ()
    superlink_exit: tuple[int, ...] = (0,)
    environment: Mapping[str, str] = field(default_factory=lambda: dict(ENVIRONMENT))

    @property
    def fleet_port_is_shared(self) -> bool:
        """Whether the port that SuperNodes need also serves Control and runtime API, so that a gate must stand there.

        The SuperLink itself then listens where the Control API is wanted, and the gate where the Fleet API is.
        """
        return bool(self.fleet_routes)

    @property
    def serves_http2(self) -> bool:
        """Whether the SuperLink's ports speak gRPC, which is HTTP/2."""
        return not self.fleet_port_is_shared

    def superlink_environment(self) -> dict[str, str]:
        """Environment of flower-superlink beyond what all versions need."""
        return self.supernode_environment() if self.superlink_is_cured else {}

    def supernode_environment(self) -> dict[str, str]:
        """Environment of flower-supernode beyond its arguments and log level."""
        return {"PYTHONPATH": str(Path(__file__).parent / "workarounds/flower")}

    def is_zombie_line(self, line: str) -> bool:
        """Whether a SuperNode that logs this line answers no more, although it stays online."""
        return any(re.search(pattern, line) for pattern in self.zombie_patterns)

    def superlink(
        self, *, fleet: str, control: str, database: str, certs: str | None, auth: bool, isolation: str = "subprocess"
    ) -> list[str]:
        """Arguments of flower-superlink. `certs` is the folder of ca.crt, server.pem and server.key; None: no TLS."""
        args = ["--database", database, "--isolation", isolation]
        if self.fleet_port_is_shared:
            host, _colon, port = control.rpartition(":")
            args += ["--host", host.strip("[]"), "--port", port]
        else:
            args += ["--fleet-api-address", fleet, "--control-api-address", control]
            args += ["--serverappio-api-address", f"127.0.0.1:{self.ports.serverappio}"]
        args += ["--health-server-address", f"127.0.0.1:{self.ports.superlink_health}"]
        args += self.superlink_extra
        if certs is None:
            return [*args, "--insecure"]
        args += ["--ssl-ca-certfile", f"{certs}/ca.crt"]
        args += ["--ssl-certfile", f"{certs}/server.pem", "--ssl-keyfile", f"{certs}/server.key"]
        return [*args, "--enable-supernode-auth"] if auth else args

    def supernode(
        self,
        *,
        superlink: str,
        ca: str | None,
        key: str | None,
        max_retries: int = 0,
        max_wait_time: int = 0,
        isolation: str = "subprocess",
    ) -> list[str]:
        """Arguments of flower-supernode, without --node-config. `ca` None: no TLS; `key` None: no authentication."""
        args = ["--superlink", superlink, "--isolation", isolation]
        if self.fleet_port_is_shared:
            args += ["--host", "127.0.0.1", "--port", str(self.ports.clientappio)]
        else:
            args += ["--clientappio-api-address", f"127.0.0.1:{self.ports.clientappio}"]
        args += ["--health-server-address", f"127.0.0.1:{self.ports.supernode_health}"]
        args += ["--root-certificates", ca] if ca else ["--insecure"]
        if key:
            args += ["--auth-supernode-private-key", key]
        # Zero would mean "give up at the first fault" to Flower; only a missing flag is unlimited.
        if max_retries:
            args += ["--max-retries", str(max_retries)]
        if max_wait_time:
            args += ["--max-wait-time", str(max_wait_time)]
        return args


_PROFILES = {
    profile.version: profile
    for profile in (
        Profile(
            "1.25.0",
            python=">=3.10",
            cryptography=">=44.0.1,<45",
            connections_in_app=True,
            zombie_patterns=_FAILED_PULL,
            superlink_is_cured=True,
        ),
        Profile(
            "1.32.1",
            python=">=3.11",
            cryptography=">=46.0.7,<47",
            superlink_extra=_NO_INSTALLATION,
            zombie_patterns=_FAILED_PULL,
        ),
        Profile("1.34.0", python=">=3.11", cryptography=">=46.0.7,<47", superlink_extra=_NO_INSTALLATION),
        Profile(
            "1.41.0",
            python=">=3.11",
            cryptography=">=50,<51",
            superlink_extra=_NO_INSTALLATION,
            fleet_routes=_FLEET_ROUTES,
            # Its SuperLink lists 20 runs when no number is given.
            list_extra=("--limit", "1000000"),
            superlink_exit=(143, -15),
        ),
    )
}
DEFAULT = "1.34.0"
_DISTRIBUTION = re.compile(r"flwr-([0-9][^-]*)\.dist-info")


def known() -> list[str]:
    """Versions with a profile, oldest first."""
    return list(_PROFILES)


def profile(version: str) -> Profile:
    """The profile of a version; UnknownVersionError when there is none."""
    try:
        return _PROFILES[version]
    except KeyError:
        raise UnknownVersionError(
            f"Flower {version} is not supported by this version of the collection; choose one of {', '.join(known())}."
        ) from None


def installed(environment: Path) -> str:
    """Version of Flower in a virtual environment, read from its metadata; empty when there is none."""
    for folder in sorted(environment.glob("lib/python3*/site-packages/flwr-*.dist-info")):
        match = _DISTRIBUTION.fullmatch(folder.name)
        if match:
            return match.group(1)
    return ""
