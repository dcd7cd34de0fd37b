# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Forms of variable values. A rule is a word with optional bounds, as in the table: `int >=1024 <=65535`."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import operator
import re
from collections.abc import Callable

_BOUNDS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_LABELS = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*\.?")
_IPV6 = re.compile(r"[0-9A-Fa-f:.]+")
# A quoted value keeps clear of what OpenNebula ($), a shell ($ ` \) or systemd would read as something else.
_PAIR = re.compile(r"""([A-Za-z0-9_-]+)=('[^'$`\\\x00-\x1f\x7f]*'|"[^"$`\\\x00-\x1f\x7f]*"|[^\s'"]+)""")
_NUMBER = re.compile(r"[+-]?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
# Tab and line ends are left in: whether they may be there is for the rule to say.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def _is_name(text: str) -> bool:
    return len(text) <= 253 and _LABELS.fullmatch(text) is not None


def split_address(text: str) -> tuple[str, int]:
    """Split `host:port` (`[v6]:port` for IPv6) into host and port; ValueError when it has another form."""
    host, separator, port = text.rpartition(":")
    if not separator or not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise ValueError("no port")
    if host.startswith("[") and host.endswith("]"):
        # Python would take anything after a "%" for the name of a network interface.
        if not _IPV6.fullmatch(host[1:-1]):
            raise ValueError("no IPv6 address")
        return str(ipaddress.IPv6Address(host[1:-1])), int(port)
    if re.fullmatch(r"[0-9.]+", host):
        return str(ipaddress.IPv4Address(host)), int(port)
    if not _is_name(host):
        raise ValueError("no host")
    return host, int(port)


def split_sans(text: str) -> list[str]:
    """Split `IP:<address>,DNS:<name>` into normalised entries; ValueError when an entry has another form."""
    entries = []
    for raw in filter(None, (part.strip() for part in text.split(","))):
        kind, _separator, value = raw.partition(":")
        if kind == "IP" and _IPV6.fullmatch(value):
            entries.append(f"IP:{ipaddress.ip_address(value)}")
        elif kind == "DNS" and _is_name(value.removeprefix("*.")):
            entries.append(f"DNS:{value}")
        else:
            raise ValueError(raw)
    return entries


def split_networks(text: str) -> list[str]:
    """Split a comma list of CIDRs into networks of IPv4 and IPv6 in their usual form; ValueError for another form.

    Host bits are refused: whoever writes 10.0.0.7/8 means either one address or a network, and nobody knows which.
    """
    networks = []
    for raw in filter(None, (part.strip() for part in text.split(","))):
        # Netmasks and zones, which Python also reads, mean nothing to nftables.
        if not re.fullmatch(r"[0-9A-Fa-f.:]+/[0-9]{1,3}", raw):
            raise ValueError(raw)
        networks.append(str(ipaddress.ip_network(raw)))
    return list(dict.fromkeys(networks))


def split_node_config(text: str) -> dict[str, str]:
    """Split `key=value` pairs; values as written. ValueError when a pair is not what Flower would accept.

    Flower reads the pairs as TOML: a value is a number, true, false or a quoted string.
    """
    pairs: dict[str, str] = {}
    position = 0
    for match in _PAIR.finditer(text):
        if text[position : match.start()].strip(" ") or (position and match.start() == position):
            raise ValueError("stray text")
        key, value = match.group(1), match.group(2)
        if value[0] not in "'\"" and value not in ("true", "false") and not _NUMBER.fullmatch(value):
            raise ValueError(f"{key} needs quotes")
        if key in pairs:
            raise ValueError(f"{key} twice")
        pairs[key] = value
        position = match.end()
    if text[position:].strip(" "):
        raise ValueError("stray text")
    return pairs


def decode_base64(text: str) -> bytes:
    """Decode base64 (white space allowed); ValueError otherwise."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error


def decode_pem(text: str) -> bytes:
    """Decode base64 (white space allowed) that holds PEM text; ValueError otherwise."""
    pem = decode_base64(text)
    if b"-----BEGIN " not in pem:
        raise ValueError("no PEM inside")
    return pem


def _certificate(text: str) -> None:
    from cryptography import x509

    try:
        x509.load_pem_x509_certificates(decode_pem(text))
    except x509.InvalidVersion as error:
        # It is no ValueError, and attributes come from anybody.
        raise ValueError("no certificate") from error


def _private_key(text: str) -> None:
    if b"PRIVATE KEY-----" not in decode_pem(text):
        raise ValueError("no private key inside")


def _match(pattern: str) -> Callable[[str], None]:
    compiled = re.compile(pattern)

    def check(text: str) -> None:
        if not compiled.fullmatch(text):
            raise ValueError(text)

    return check


def _database(text: str) -> None:
    parts = text.split("/")
    if len(parts) < 2 or parts[0] != "state" or any(part in ("", ".", "..") for part in parts):
        raise ValueError(text)
    _match(r"[A-Za-z0-9._/-]+")(text)


_WORDS: dict[str, tuple[Callable[[str], object], str]] = {
    "version": (_match(r"[0-9]{1,4}\.[0-9]{1,4}\.[0-9]{1,4}"), "a version X.Y.Z"),
    "boolean": (_match("YES|NO"), "YES or NO"),
    "address": (split_address, "host:port or [IPv6 address]:port, with a port from 1 to 65535"),
    "database": (_database, "a relative path below state/ of letters, digits and . _ - /"),
    "path": (_match(r"/[A-Za-z0-9._/-]*"), "an absolute path of letters, digits and . _ - /"),
    "san": (split_sans, "IP:<address> or DNS:<name>, comma separated"),
    "networks": (split_networks, "networks such as 10.0.0.0/24 or fd00::/64 without host bits, comma separated"),
    "node_config": (
        split_node_config,
        'key=value pairs with number, true, false or "quoted" values (no $, ` or \\ inside), each key once',
    ),
    "cuda_devices": (_match(r"all|[0-9]+(,[0-9]+)*"), "all, or indices such as 0,1"),
    "certificate": (_certificate, "a PEM certificate in base64"),
    "private_key": (_private_key, "an unencrypted PEM private key in base64"),
    "base64": (decode_base64, "text in base64"),
    "text": (str, "text without control characters"),
}
SECRET_RULES = frozenset({"private_key"})
# A certificate with its chain, or many public keys; anything longer is no such thing.
_LONG_RULES = frozenset({"certificate", "private_key", "base64", "text"})
_LIMIT, _LONG_LIMIT = 4096, 65536


def _number(rule: str, text: str) -> bool:
    kind, *bounds = rule.split()
    pattern = r"[0-9]{1,15}" if kind == "int" else r"[0-9]{1,15}(\.[0-9]{1,15})?"
    if not re.fullmatch(pattern, text.removeprefix("-")):
        return False
    return all(_BOUNDS[sign](float(text), bound) for sign, bound in _split_bounds(bounds))


def _split_bounds(bounds: list[str]) -> list[tuple[str, float]]:
    return [(bound[:size], float(bound[size:])) for bound in bounds for size in [2 if bound[1] == "=" else 1]]


def span(rule: str) -> tuple[str, str] | None:
    """Least and greatest value of a rule for numbers as it writes them; None unless both belong to the values."""
    found = {bound[:2]: bound[2:] for bound in rule.split()[1:]}
    return (found[">="], found["<="]) if found.keys() == {">=", "<="} else None


def limit(rule: str) -> int:
    """Most characters that a value may have."""
    return _LONG_LIMIT if rule in _LONG_RULES else _LIMIT


def expected(rule: str, options: list[str]) -> str:
    """The form that a rule asks for, in words."""
    kind, *bounds = rule.split()
    if kind == "list":
        return "one of " + ", ".join(options)
    if kind in ("int", "float"):
        return " ".join(["a whole number" if kind == "int" else "a number", " and ".join(bounds)]).strip()
    return _WORDS[kind][1]


def fits(rule: str, options: list[str], text: str) -> bool:
    """Whether a value has the form that a rule asks for, and no more than `limit` characters."""
    kind = rule.split()[0]
    if len(text) > limit(rule) or _CONTROL.search(text):
        return False
    if kind == "list":
        return text in options
    if kind in ("int", "float"):
        return _number(rule, text)
    try:
        _WORDS[kind][0](text)
    except ValueError:
        return False
    return True
