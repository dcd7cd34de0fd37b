# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a file of the inventory plugin may say. A filter that is misspelled would leave too many hosts in a play."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any

from ..errors import OneUsageError

# Names of community.general's plugin, and what says the same here.
_ELSEWHERE = {
    "api_authfile": "name the file in the environment variable ONE_AUTH",
    "filter_by_label": "use labels, a list",
    "group_by_labels": "use group_by: [label]",
}
_HOSTNAMES_ELSEWHERE = {
    "v4_first_ip": "use hostname: vm and ip_version: ipv4",
    "v6_first_ip": "use hostname: vm and ip_version: ipv6",
    "name": "use hostname: vm",
}


def check_keys(given: Mapping[Any, Any], known: Collection[str]) -> None:
    """Refuse what the plugin would ignore. given: the file. known: names of all options.

    Raises OneUsageError for the first key that is no option, and for a hostname of community.general's plugin.
    """
    for key in given:
        if key not in known:
            raise OneUsageError(f"{key} is not an option of this inventory plugin", hint=_advice(str(key), known))
    hostname = given.get("hostname")
    if isinstance(hostname, str) and hostname in _HOSTNAMES_ELSEWHERE:
        raise OneUsageError(
            f"hostname {hostname} is not a choice of this inventory plugin", hint=_HOSTNAMES_ELSEWHERE[hostname]
        )


def _advice(key: str, known: Collection[str]) -> str:
    if key in _ELSEWHERE:
        return _ELSEWHERE[key]
    close = get_close_matches(key, sorted(known), n=1)
    if close:
        return f"did you mean {close[0]}?"
    return "ansible-doc -t inventory opennebula.flower.opennebula lists the options"
