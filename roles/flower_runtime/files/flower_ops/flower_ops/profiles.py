# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What differs between Flower versions, as data: the arguments of its services. Nothing else knows a flag."""

from __future__ import annotations

from dataclasses import dataclass


class UnknownVersionError(Exception):
    """No profile for a Flower version; the message lists those known."""


@dataclass(frozen=True)
class Ports:
    """Where the services of a VM listen when nothing else is asked for; all but Fleet on loopback."""

    fleet: int = 9092
    control: int = 9093
    serverappio: int = 9091
    superlink_health: int = 9097
    clientappio: int = 9094
    supernode_health: int = 9098


@dataclass(frozen=True)
class Profile:
    """One Flower version: `superlink_extra` are arguments that only some versions know."""

    version: str
    python: str
    superlink_extra: tuple[str, ...] = ()
    ports: Ports = Ports()

    def superlink(
        self, *, fleet: str, control: str, database: str, certs: str | None, auth: bool, isolation: str = "subprocess"
    ) -> list[str]:
        """Arguments of flower-superlink. `certs` is the folder of ca.crt, server.pem and server.key; None: no TLS."""
        args = ["--database", database, "--isolation", isolation]
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
        Profile("1.34.0", python=">=3.11", superlink_extra=("--disable-runtime-dependency-installation",)),
    )
}
DEFAULT = "1.34.0"


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
