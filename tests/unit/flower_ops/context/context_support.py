# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Good and bad values for every row of the table, and the agent as a process on a tree of files."""

from __future__ import annotations

import base64
import functools
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flower_ops
from flower_ops import context, rules
from flower_ops.pki import tls

PACKAGE = Path(flower_ops.__file__).parents[1]
TABLE = context.table()
ROLES = ("superlink", "supernode")

#: Texts that mean something to a shell, to systemd, to TOML, or to a terminal. All begin and end with something to
#: see, since spaces around a value are no part of it.
HOSTILE = (
    "$(touch /tmp/owned)",
    "`touch /tmp/owned`",
    "x; touch /tmp/owned",
    "x' touch '/tmp/owned",
    'x" --insecure "y',
    "x --insecure",
    "x\\",
    "x\n[Service]\nExecStart=/bin/sh\ny",
    "x\x00y",
    "x\x1b[2Jy",
    "${HOME}",
    "\u202ex\U0001f33c",
    "\ud800",
)
LONG = "1" * 100_000

#: An app with every key that a variable sets.
USE_CASE = """\
[project]
name = "use-case"
version = "1.0.0"
[tool.flwr.app.components]
serverapp = "a:app"
clientapp = "b:app"
[tool.flwr.app.config]
strategy = "FedAvg"
num-server-rounds = 1
min-fit-clients = 2
min-evaluate-clients = 2
min-available-clients = 2
proximal-mu = 1.0
server-lr = 0.1
client-lr = 0.1
num-malicious = 0
trim-beta = 0.2
checkpoint-enabled = true
checkpoint-interval = 1
checkpoint-path = ""
checkpoint-disk = ""
training = ""
output-dir = ""
"""


@functools.cache
def authority() -> tuple[bytes, bytes]:
    """Key and certificate of an operator's own authority, PEM."""
    return tls.new_ca("Operator")


@functools.cache
def own_pki() -> dict[str, str]:
    """The three variables of an operator's own certificate."""
    key, cert = tls.new_server_cert(*authority(), "superlink", ["DNS:localhost", "IP:127.0.0.1", "IP:10.0.0.8"])
    values = {"SSL_CA_CERTFILE": authority()[1], "SSL_CERTFILE": cert, "SSL_KEYFILE": key}
    return {f"ONEAPP_FL_{name}": base64.b64encode(pem).decode() for name, pem in values.items()}


def good(name: str) -> str:
    """A value that is allowed and not the default."""
    row = TABLE[name]
    if name in own_pki():
        return own_pki()[name]
    if row.options:
        return next(option for option in row.options if option != row.default)
    if row.rule.startswith(("int", "float")):
        candidates = ("0.25", "0.75") if row.rule.startswith("float") else ("3", "45", "9102")
        return next(text for text in candidates if rules.fits(row.rule, [], text) and text != row.default)
    return {
        "ONEAPP_FLOWER_VERSION": "1.25.0",
        "ONEAPP_FL_FLEET_API_ADDRESS": "[fd00::8]:19092",
        "ONEAPP_FL_CONTROL_API_ADDRESS": "127.0.0.2:19093",
        "ONEAPP_FL_DATABASE": "state/other/name.db",
        "ONEAPP_FL_ALLOWED_NETWORKS": "203.0.113.0/24, fd77::/48",
        "ONEAPP_FL_CHECKPOINT_PATH": "/opt/flower/checkpoints/disk",
        "ONEAPP_FL_CERT_EXTRA_SAN": "IP:fd00::99,DNS:fed.example.org",
        "ONEAPP_FL_SUPERLINK_ADDRESS": "[fd00::1]:19092",
        "ONEAPP_FL_NODE_CONFIG": "partition-id=2 num-partitions=4 site=\"a b; 'c'\"",
        "ONEAPP_FL_CUDA_VISIBLE_DEVICES": "0,1",
        "READY_SCRIPT_PATH": "/usr/local/bin/ready",
        "SSH_PUBLIC_KEY": "ssh-ed25519 AAAA a@b\nssh-ed25519 BBBB c@d",
        "START_SCRIPT_BASE64": base64.b64encode(b"#!/bin/sh\n").decode(),
    }[name]


def bad(name: str) -> dict[str, str]:
    """Values that are not allowed, by what is wrong with them."""
    row = TABLE[name]
    # Every row begins with another one, so that the first of all rows are all of them.
    turn = list(TABLE).index(name)
    order = [(turn + number) % len(HOSTILE) for number in range(len(HOSTILE))]
    hostile = {f"hostile {number}": HOSTILE[number] for number in order}
    kind = row.rule.split()[0]
    if kind == "text":
        # Anything may be a comment of a public key, as long as a person can read it.
        return {"too long": LONG} | {
            what: text for what, text in hostile.items() if text in ("x\x00y", "x\x1b[2Jy", "\ud800")
        }
    values = {"too long": LONG, "wrong word": "maybe"}
    values["wrong case"] = (row.options[0] if row.options else "TRUE").swapcase()
    values["wrong type"] = "1.5e" if kind in ("int", "float") else "-7,"
    for bound in row.rule.split()[1:]:
        limit = float(bound.strip("<>="))
        step = 0 if "=" not in bound else -1 if ">" in bound else 1
        text = str(limit + step)
        values[f"beyond {bound}"] = text.removesuffix(".0") if kind == "int" else text
    if kind == "base64":
        del values["wrong word"], values["wrong case"]
    if kind == "list" and row.options == ["YES", "NO"]:
        values["wrong word"] = "true"
    return values | _of_form(kind) | hostile


def _of_form(kind: str) -> dict[str, str]:
    """Values that nearly have the form that a rule asks for, by what is wrong with them."""
    key, cert = (base64.b64encode(pem).decode() for pem in authority())
    cases: dict[str, dict[str, str]] = {
        "address": {
            "no port": "10.0.0.1",
            "port 0": "h:0",
            "port 65536": "h:65536",
            "scope": "[fe80::1%e --x]:1",
            "bare IPv6": "fd00::1:9092",
            "no address": "300.1.1.1:9092",
        },
        "database": {"absolute": "/etc/passwd", "upwards": "state/../../etc/passwd", "elsewhere": "other/x.db"},
        "path": {"relative": "checkpoints", "spaces": "/a b"},
        "san": {"no kind": "10.0.0.1", "name as address": "IP:a.b", "scope": "IP:fe80::1%x,DNS:a"},
        "networks": {
            "host bits": "10.0.0.7/8",
            "no length": "10.0.0.0",
            "too long a length": "10.0.0.0/33",
            "netmask": "10.0.0.0/255.0.0.0",
            "name": "lan/24",
        },
        "node_config": {
            "no value": "a",
            "no quotes": "a=b",
            "twice": "a=1 a=2",
            "comma": "a=1,b=2",
            "shell in quotes": 'a="$(id)"',
            "backslash": 'a="\\"',
        },
        "certificate": {
            "PEM itself": authority()[1].decode(),
            "other base64": "aGVsbG8=",
            "a key": key,
            "broken PEM": base64.b64encode(b"-----BEGIN CERTIFICATE-----\nx").decode(),
        },
        "private_key": {"PEM itself": authority()[0].decode(), "certificate": cert},
        "version": {"two parts": "1.34", "a word in front": "v1.34.0"},
        "cuda_devices": {"comma at the end": "0,"},
    }
    return cases.get(kind, {})


def tree(root: Path, version: str = "1.34.0") -> Path:
    """A VM's files before it is configured, with every framework that there is."""
    for place in ("venv", *(f"frameworks/{name}" for name in TABLE["ONEAPP_FL_FRAMEWORK"].options)):
        (root / f"opt/flower/{place}/lib/python3.11/site-packages/flwr-{version}.dist-info").mkdir(parents=True)
    for name in TABLE["ONEAPP_FL_USE_CASE"].options[1:]:
        app = root / "opt/flower/use-cases" / name
        app.mkdir(parents=True)
        (app / "pyproject.toml").write_text(USE_CASE)
    (root / "run/one-context").mkdir(parents=True)
    (root / "run/one-context/one_env").write_text('export ETH0_IP="10.0.0.8"\nexport VMID="3"\n')
    return root


def configure(root: Path, role: str, variables: Mapping[str, str], *more: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, answer and error output of `flower-ops configure` as a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "flower_ops.cli", "configure", "--role", role, "--root", str(root), "--json", *more],
        input=json.dumps({"variables": dict(variables)}),
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(PACKAGE)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, json.loads(done.stdout or "{}"), done.stderr
