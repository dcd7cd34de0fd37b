# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The container driver's own logic, without an engine."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from one_sandbox.context import archive, context_sh, quote
from one_sandbox.drivers import DriverError, VmSpec
from one_sandbox.drivers.docker import host_name, root_source, subnet_of
from one_sandbox.drivers.rootfs import checked_path, content_hash

SCRIPT = Path(__file__).parents[4] / "roles/sandbox/files/one_sandbox/context/one-context.sh"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("superlink_0_(service_3)", "superlink-0-service-3"), ("a b", "a-b"), ("---", "one-7"), ("x" * 80, "x" * 63)],
)
def test_host_name(name: str, expected: str) -> None:
    assert host_name(VmSpec(7, name)) == expected


def test_host_name_of_the_context_wins() -> None:
    assert host_name(VmSpec(7, "a", context={"SET_HOSTNAME": "sl"})) == "sl"


def test_root_source() -> None:
    assert root_source(VmSpec(1, "v", images=[{"SOURCE": ""}, {"SOURCE": "img:1"}])) == "img:1"
    with pytest.raises(DriverError, match="VM 1 has no disk to boot from"):
        root_source(VmSpec(1, "v", images=[{"IMAGE": "data"}]))


def test_subnet() -> None:
    assert subnet_of({"NETWORK_ADDRESS": "10.1.0.0", "NETWORK_MASK": "255.255.255.0"}) == "10.1.0.0/24"
    assert subnet_of({}) is None
    with pytest.raises(DriverError, match="do not make a network"):
        subnet_of({"NAME": "n", "NETWORK_ADDRESS": "10.1.0.9", "NETWORK_MASK": "255.255.255.0"})


def test_images_are_checked(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("no archive")
    for path, reason in ((tmp_path / "none", "does not exist"), (text, "is not a tar archive")):
        with pytest.raises(DriverError, match=reason):
            checked_path(str(path))
    with pytest.raises(DriverError, match="is not a file on the cloud's host"):
        checked_path("https://example.org/image.tar")


def test_hash_follows_the_content(tmp_path: Path) -> None:
    file = tmp_path / "root.tar"
    file.write_bytes(b"one")
    first = content_hash(file)
    assert content_hash(file) == first
    file.write_bytes(b"two!")
    assert content_hash(file) != first


def test_archive() -> None:
    with tarfile.open(fileobj=io.BytesIO(archive({"A": "b"}, "secret"))) as tar:
        members = {item.name: item for item in tar.getmembers()}
        context = tar.extractfile("var/lib/one-context/context.sh")
        assert context is not None
        assert context.read().decode().endswith("\nA='b'\n")
    assert members["var/lib/one-context/token.txt"].mode == 0o600
    assert members["usr/sbin/one-context"].mode == 0o755
    for unit in ("one-context-local.service", "one-context.service"):
        assert members[f"etc/systemd/system/multi-user.target.wants/{unit}"].issym()


TEXT = st.text(st.characters(exclude_characters="\0\r", exclude_categories=["Cs"]))


@given(TEXT)
def test_quoting_survives_a_shell(value: str) -> None:
    printed = subprocess.run(["sh", "-c", f"printf %s {quote(value)}"], capture_output=True, check=True)
    assert printed.stdout.decode() == value


@pytest.mark.parametrize("value", ["x", "it's", 'a "b" $HOME `id` \\ end', "two\nlines", "", "ünïcode", "a=b;c&d|e"])
def test_environment_of_a_vm(tmp_path: Path, value: str) -> None:
    """The script's environment file, read by a shell, gives every value back."""
    (tmp_path / "context.sh").write_text(context_sh({"VALUE": value, "VMID": "7"}))
    (tmp_path / "token.txt").write_text("tok'en")
    script = SCRIPT.read_text()
    functions = script[: script.index('case "${1:-}"')]
    functions = functions.replace("/var/lib/one-context", str(tmp_path)).replace("/run/one-context", f"{tmp_path}/run")
    subprocess.run(["sh", "-c", f"{functions}\nwrite_environment"], check=True)
    show = f'. {tmp_path}/run/one_env; printf "%s|%s|%s" "$VALUE" "$VMID" "$TOKENTXT"'
    printed = subprocess.run(["sh", "-c", show], capture_output=True, check=True)
    assert printed.stdout.decode() == f"{value}|7|tok'en"
    assert (tmp_path / "run/one_env").stat().st_mode & 0o777 == 0o600
