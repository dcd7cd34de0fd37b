# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`flower-ops member`: SuperNodes that OneGate does not know, admitted and removed by an operator."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from flower_ops.flower_cli.flwr_cli import FlwrCli, FlwrCliError
from flower_ops.machine.files import Change
from flower_ops.machine.paths import Paths
from flower_ops.membership.members import MembershipError
from flower_ops.membership.membership import Membership, NodeRegistry


def command(
    action: str,
    site: str,
    name: str,
    root: Path,
    check: bool,
    keys: TextIO,
    registry: NodeRegistry | None = None,
    addresses: Sequence[str] | None = None,
) -> tuple[int, dict[str, Any]]:
    """Exit code and answer. `add` reads the public key from `keys`; `addresses` None leaves those of a member alone."""
    paths = Paths(root)
    cli = registry or FlwrCli(paths.at(f"{paths.venv}/bin/flwr"), paths.at(paths.cli))
    membership = Membership(paths, cli)
    answer: dict[str, Any] = {"changed": False, "message": "", "errors": []}
    try:
        auth, answer["num_partitions"] = membership.settings()
        if action == "list":
            answer["supernodes"] = membership.supernodes()
            return 0, answer
        if not name:
            raise MembershipError(f"flower-ops member {action} needs --name.")
        before = next((asdict(item) for item in membership.members() if (item.site, item.name) == (site, name)), None)
        after = None
        if action == "add":
            if before and before["vm_id"]:
                raise MembershipError(
                    f"{site}/{name} is a VM of this SuperLink's own service, which the registrar takes care of; "
                    "choose another name or site."
                )
            public_key = _read_key(keys) if auth else ""
            member, answer["changed"] = membership.admit(
                site, name, public_key, check=check, addresses=None if addresses is None else _plain(addresses)
            )
            after = asdict(member)
            answer["member"] = {**after, "num_partitions": answer["num_partitions"]}
        else:
            answer["changed"] = membership.remove(site, name, check)
        if answer["changed"]:
            answer["diff"] = [Change(f"member {site}/{name}", _text(before), _text(after)).as_dict()]
    except (MembershipError, FlwrCliError) as error:
        answer["message"] = str(error)
        return 1, answer
    except PermissionError as error:
        answer["message"] = f"{error.filename} cannot be read; run this as root on the SuperLink."
        return 1, answer
    return 0, answer


def _plain(addresses: Sequence[str]) -> list[str]:
    found = []
    for text in addresses:
        try:
            # Host bits beside a mask mean one address or a whole network, and nobody knows which.
            network = ipaddress.ip_network(text)
        except ValueError:
            raise MembershipError(
                f"{text!r} is no address and no network without host bits, such as 203.0.113.7 or fd00::/64."
            ) from None
        if not network.prefixlen:
            raise MembershipError(f"{text} is the whole world; name the addresses that the node comes from.")
        found.append(str(network.network_address) if network.num_addresses == 1 else str(network))
    return found


def _text(member: dict[str, Any] | None) -> str:
    return "" if member is None else json.dumps(member, indent=1) + "\n"


def _read_key(keys: TextIO) -> str:
    from flower_ops.pki.keys import check_public

    try:
        return check_public("" if keys.isatty() else keys.read())
    except ValueError as error:
        raise MembershipError(f"The text on standard input is {error}.") from error
