# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets stay in files of mode 0600: everything else that is written, printed or published is searched for them."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from agent_support import FakeNode
from fake_onegate import FakeOneGate
from flower_ops import profiles
from flower_ops.pki import tls

PACKAGE = Path(profiles.__file__).parents[1]
#: Where a private key may be; everybody else is kept out.
KEPT = {
    "/opt/flower/certs/server.key": 0o600,
    "/opt/flower/certs/supernode.key": 0o600,
    "/etc/flower-ops/ca.key": 0o600,
    "/etc/flower-ops/overrides.json": 0o600,
}


def needles(secret: bytes) -> set[str]:
    """What gives a PEM key away: every line of its body, and of its base64, wherever that begins."""
    lines = {line for line in secret.decode().splitlines() if len(line) > 30 and "-----" not in line}
    assert lines
    whole = base64.b64encode(secret).decode()
    return lines | {whole[start : start + 40] for start in range(80, len(whole) - 80, 40)}


def leaks(root: Path, found: set[str]) -> list[str]:
    """Files below a root that hold one of the needles, but for those that may and are closed to others."""
    hits = []
    for file in sorted(item for item in root.rglob("*") if item.is_file()):
        text = file.read_bytes().decode(errors="replace")
        if any(needle in text for needle in found):
            name = f"/{file.relative_to(root)}"
            mode = file.stat().st_mode & 0o777
            if KEPT.get(name) != mode:
                hits.append(f"{name} {mode:04o}")
    return hits


@pytest.fixture
def pki() -> dict[str, bytes]:
    """An operator's own certificates."""
    ca_key, ca = tls.new_ca()
    key, cert = tls.new_server_cert(ca_key, ca, "127.0.0.1", ["IP:127.0.0.1", "IP:10.0.0.20", "DNS:localhost"])
    return {"SSL_CA_CERTFILE": ca, "SSL_CERTFILE": cert, "SSL_KEYFILE": key}


@pytest.fixture
def supernode(tmp_path: Path, gate: FakeOneGate, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNode]:
    """The VM of a SuperNode, in a service whose SuperLink has admitted it already."""
    node = FakeNode(tmp_path / "supernode", "supernode", "5", gate)
    yield node
    node.close()


def published(gate: FakeOneGate) -> str:
    return json.dumps(gate.vms) + "\n".join(gate.requests)


def test_a_superlink_with_the_operators_key_shows_it_nowhere(
    superlink: FakeNode, gate: FakeOneGate, pki: dict[str, bytes]
) -> None:
    given = {name: base64.b64encode(text).decode() for name, text in pki.items()}
    found = needles(pki["SSL_KEYFILE"])
    for check in (True, False, False):
        code, answer = superlink.configure(check=check, **given)
        assert (code, answer["message"]) == (0, "")
        assert not any(needle in json.dumps(answer) for needle in found)
    assert not any(needle in published(gate) for needle in found)
    assert (superlink.root / "opt/flower/certs/server.key").read_bytes() == pki["SSL_KEYFILE"]
    assert leaks(superlink.root, found) == []


def test_an_own_authority_and_its_server_key_stay_where_they_are(superlink: FakeNode, gate: FakeOneGate) -> None:
    code, answer = superlink.configure()
    assert code == 0 and gate.of("4")["READY"] == "YES"
    for name in ("etc/flower-ops/ca.key", "opt/flower/certs/server.key"):
        found = needles((superlink.root / name).read_bytes())
        assert leaks(superlink.root, found) == []
        assert not any(needle in json.dumps(answer) + published(gate) for needle in found)


def test_the_key_of_a_node_never_leaves_it(supernode: FakeNode, superlink: FakeNode, gate: FakeOneGate) -> None:
    assert superlink.configure()[0] == 0
    gate.of("5").update(FL_PARTITION_ID="0", FL_NUM_PARTITIONS="2", FL_NODE_ID="77")
    code, answer = supernode.configure(check=False, timeout=0.2)
    key = (supernode.root / "opt/flower/certs/supernode.key").read_bytes()
    found = needles(key)
    assert gate.of("5")["FL_NODE_PUBKEY"].startswith("ecdsa-sha2-nistp384 ")
    assert not any(needle in json.dumps(answer) + published(gate) for needle in found)
    assert leaks(supernode.root, found) == []


@pytest.mark.parametrize("flags", [["--json"], ["--diff"], ["--check", "--diff"]])
def test_what_the_command_prints_holds_no_secret(tmp_path: Path, pki: dict[str, bytes], flags: list[str]) -> None:
    site = tmp_path / "opt/flower/venv/lib/python3.11/site-packages/flwr-1.34.0.dist-info"
    site.mkdir(parents=True)
    (tmp_path / "run/one-context").mkdir(parents=True)
    (tmp_path / "run/one-context/one_env").write_text('export ETH0_IP="10.0.0.20"\n')
    values = {f"ONEAPP_FL_{name}": base64.b64encode(text).decode() for name, text in pki.items()}
    command = [sys.executable, "-m", "flower_ops.cli", "configure", "--role", "superlink", "--root", str(tmp_path)]
    done = subprocess.run(
        [*command, *flags],
        input=json.dumps({"variables": values}),
        capture_output=True,
        text=True,
        check=False,
        cwd=PACKAGE,
    )
    assert done.returncode == 0, done.stderr
    found = needles(pki["SSL_KEYFILE"])
    assert not any(needle in done.stdout + done.stderr for needle in found) and leaks(tmp_path, found) == []


@pytest.mark.parametrize("wrong", ["hunter2hunter2hunter2hunter2", base64.b64encode(b"hunter2" * 9).decode()])
def test_a_secret_that_is_refused_is_not_repeated(superlink: FakeNode, gate: FakeOneGate, wrong: str) -> None:
    code, answer = superlink.configure(SSL_KEYFILE=wrong)
    assert code == 2 and "ONEAPP_FL_SSL_KEYFILE" in answer["message"]
    assert wrong not in json.dumps(answer) + published(gate) and "hunter2" not in json.dumps(answer)
    files = [item for item in superlink.root.rglob("*") if item.is_file()]
    assert files and not any(wrong in item.read_text() for item in files)
