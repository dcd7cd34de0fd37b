# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is the same in all profiles, and what a profile does with a log line or an import path."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from flower_ops import profiles
from flower_ops.keeper.keeper_node import _RECEIVED, _SENT

PACKAGE = Path(profiles.__file__).parent
ROOT = Path(__file__).resolve().parents[4]
FAILED_PULL = (
    "\x1b[91mERROR \x1b[0m:     Failed to receive message 3cd0b674b5f5a169767b0e1f78e9829deffafda4f3da63a7ce0e75dc:"
    " <_InactiveRpcError of RPC that terminated with:"
)
every_version = pytest.mark.parametrize("version", profiles.known())


def superlink(version: str, certs: str | None = "/c", auth: bool = True) -> list[str]:
    profile = profiles.profile(version)
    return profile.superlink(fleet="0.0.0.0:9092", control="127.0.0.1:9093", database="/d", certs=certs, auth=auth)


def test_versions_are_known_from_oldest_to_newest() -> None:
    numbers = [tuple(map(int, version.split("."))) for version in profiles.known()]
    assert numbers == sorted(numbers) and profiles.DEFAULT in profiles.known()
    table = json.loads((PACKAGE / "context_variables.json").read_text())
    rows = table if isinstance(table, list) else table["variables"]
    (row,) = [row for row in rows if row["name"] == "ONEAPP_FLOWER_VERSION"]
    assert row["default"] == profiles.DEFAULT


def test_the_inventorys_documentation_names_the_versions() -> None:
    spec = yaml.safe_load((ROOT / "roles/federation/meta/argument_specs.yml").read_text())
    told = spec["argument_specs"]["main"]["options"]["federation_flower_version"]
    assert re.findall(r"\d+\.\d+\.\d+", told["description"]) == profiles.known()
    assert told["default"] == profiles.DEFAULT


@every_version
def test_only_the_fleet_api_leaves_loopback(version: str) -> None:
    profile = profiles.profile(version)
    words = superlink(version)
    open_to_all = [word for word in words if word.startswith("0.0.0.0")]
    if profile.fleet_port_is_shared:
        assert open_to_all == [] and words[words.index("--host") + 1] == "127.0.0.1"
        assert words[words.index("--port") + 1] == "9093"
    else:
        assert open_to_all == ["0.0.0.0:9092"]
    node = profile.supernode(superlink="h:1", ca="/c", key="/k")
    addresses = [word for word in node if word.startswith(("127.", "0."))]
    assert len(addresses) == 2 and all(word.startswith("127.0.0.1") for word in addresses)


@every_version
def test_no_package_is_fetched_at_run_time(version: str) -> None:
    known_since = (1, 32)
    switch = "--disable-runtime-dependency-installation" in superlink(version)
    assert switch == (tuple(map(int, version.split(".")))[:2] >= known_since)
    assert profiles.profile(version).environment["FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION"] == "1"


@every_version
def test_tls_and_keys(version: str) -> None:
    assert "--insecure" not in superlink(version) and "--enable-supernode-auth" in superlink(version)
    # Keys without TLS are refused by Flower.
    assert "--insecure" in superlink(version, None) and "--enable-supernode-auth" not in superlink(version, None)
    node = profiles.profile(version).supernode(superlink="h:1", ca=None, key=None, max_retries=3, max_wait_time=60)
    assert node[-5:] == ["--insecure", "--max-retries", "3", "--max-wait-time", "60"]


@pytest.mark.parametrize(
    ("control", "host", "port"), [("[::1]:9093", "::1", "9093"), ("localhost:1234", "localhost", "1234")]
)
def test_where_a_superlink_of_one_port_listens(control: str, host: str, port: str) -> None:
    words = profiles.profile("1.41.0").superlink(
        fleet="[::]:9092", control=control, database="/d", certs=None, auth=False
    )
    assert words[words.index("--host") + 1] == host and words[words.index("--port") + 1] == port
    assert "[::]:9092" not in words


@every_version
def test_lines_of_a_node_that_answers_no_more(version: str) -> None:
    profile = profiles.profile(version)
    assert profile.is_zombie_line(FAILED_PULL) == (version in ("1.25.0", "1.32.1"))
    for harmless in ("INFO :      Received successfully", "", "Receiving: train message (ID: Failed)"):
        assert not profile.is_zombie_line(harmless)


def test_fleet_routes_hold_no_other_api() -> None:
    shared = [
        profiles.profile(version) for version in profiles.known() if profiles.profile(version).fleet_port_is_shared
    ]
    assert [profile.version for profile in shared] == ["1.41.0"]
    for profile in shared:
        assert all(route.startswith("/v1/fleet/") and "%" not in route for route in profile.fleet_routes)
        assert not profile.serves_http2


# -- cures of services -----------------------------------------------------------------------------------------------

STATE = """\
class {name}:
    stored = []
    def store_traffic(self, run_id, *, bytes_sent, bytes_recv):
        if bytes_sent == bytes_recv == 0:
            raise ValueError("Both bytes_sent and bytes_recv cannot be zero")
        self.stored.append((run_id, bytes_sent, bytes_recv))
"""
USE = """\
from flwr.server.superlink.linkstate.{module} import {name}
import flwr.server.superlink.linkstate.other
state = {name}()
state.store_traffic(7, bytes_sent=0, bytes_recv=0)
state.store_traffic(7, bytes_sent=0, bytes_recv=5)
state.store_traffic(8, bytes_sent=6, bytes_recv=0)
try:
    state.store_traffic(8, bytes_sent=-1, bytes_recv=0)
finally:
    print(state.stored, {name}.store_traffic.__name__)
"""


def in_process(folder: Path, code: str, **environment: str) -> str:
    """What a Python process prints that finds a stand-in for flwr, and first what `environment` adds."""
    path = os.pathsep.join(filter(None, [environment.get("PYTHONPATH", ""), str(folder)]))
    return subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": path}, capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize(
    ("module", "name"), [("sqlite_linkstate", "SqliteLinkState"), ("in_memory_linkstate", "InMemoryLinkState")]
)
def test_counting_no_traffic_is_no_error_with_the_cure(tmp_path: Path, module: str, name: str) -> None:
    """On a stand-in for Flower's module; tests/lanes shows it on Flower itself."""
    package = tmp_path / "flwr/server/superlink/linkstate"
    package.mkdir(parents=True)
    for folder in (package, *list(package.parents)[:3]):
        (folder / "__init__.py").touch()
    (package / f"{module}.py").write_text(STATE.format(name=name))
    (package / "other.py").touch()
    code = USE.format(module=module, name=name)
    with pytest.raises(subprocess.CalledProcessError):
        in_process(tmp_path, code)
    added = profiles.profile("1.25.0").superlink_environment()
    assert in_process(tmp_path, code, **added) == "[(7, 0, 5), (8, 6, 0), (8, -1, 0)] store_traffic\n"


NODE = """\
class Entry:
    def __init__(self, answers=""):
        self.message = self
        self.metadata = self
        self.reply_to_message_id = answers

class State:
    msg_store = {}

def _pull_and_store_message(state, messages, early=()):
    for message in messages:
        state.msg_store[message] = Entry()
    for answer, message in early:
        state.msg_store[answer] = Entry(message)
    return 7 if messages or early else None

def _push_messages(state, coming):
    answers = [(name, one.reply_to_message_id) for name, one in state.msg_store.items() if one.reply_to_message_id]
    for answer, message in answers or [coming.pop(0)]:
        print(answer, end=" ")
        state.msg_store.pop(answer, None)
        state.msg_store.pop(message, None)
"""
TURNS = """\
from flwr.supernode import start_client_internal as loop
state = loop.State()
# A run ends while its message x is received; y comes next, and the answers to x and y in this order or the other.
loop._pull_and_store_message(state=state, messages=["x"])
for messages, early, coming in {turns}:
    if loop._pull_and_store_message(state=state, messages=messages, early=early):
        loop._push_messages(state=state, coming=coming)
    print(sorted(state.msg_store), end="; ")
"""
X, Y, Z = ("X", "x"), ("Y", "y"), ("Z", "z")


@pytest.mark.parametrize(
    ("turns", "cured", "without"),
    [
        # Answered while nothing else is under way.
        ([(["y"], [X], [Y]), (["z"], [], [Z])], "X Y []; Z []; ", "X ['y']; Z ['y']; "),
        # Answered while the next message is under way, before its answer and after it.
        ([(["y"], [], [X, Y]), (["z"], [], [Z])], "X Y []; Z []; ", "X ['y']; Z ['y']; "),
        ([(["y"], [], [Y]), (["z"], [X], [Z])], "Y ['x']; X Z []; ", "Y ['x']; X ['z']; "),
        # Never answered; and an error that stands in the store at once, without its message.
        ([(["y"], [], [Y]), (["z"], [], [Z])], "Y ['x']; Z ['x']; ", "Y ['x']; Z ['x']; "),
        ([([], [("E", "e")], []), (["y"], [], [Y])], "E ['x']; Y ['x']; ", "E ['x']; Y ['x']; "),
    ],
)
def test_a_supernode_sends_until_what_it_has_received_is_answered(
    tmp_path: Path, turns: list[object], cured: str, without: str
) -> None:
    """On a stand-in for Flower's module; tests/lanes shows it on Flower itself."""
    (tmp_path / "flwr/supernode").mkdir(parents=True)
    (tmp_path / "flwr/supernode/start_client_internal.py").write_text(NODE)
    code = TURNS.format(turns=turns)
    assert in_process(tmp_path, code, **profiles.profile("1.41.0").supernode_environment()) == cured
    assert in_process(tmp_path, code) == without


def test_the_keeper_sees_when_nobody_works_on_what_is_still_to_be_answered(tmp_path: Path) -> None:
    """Its clock runs from what was received to what was sent; the answer of a dead run must not stop it."""
    (tmp_path / "flwr/supernode").mkdir(parents=True)
    (tmp_path / "flwr/supernode/start_client_internal.py").write_text(NODE)
    code = "import logging, sys\nlogging.basicConfig(level=20, format='%(message)s, ', stream=sys.stdout)\n"
    code += TURNS.format(turns=[(["y"], [], [X, Y])]).replace("; ", "")
    said = in_process(tmp_path, code, **profiles.profile("1.41.0").supernode_environment())
    before, line, after = said.replace("\n", "").partition("Receiving: a message is still to be answered, ")
    assert (before, after) == ("X ", "Y []") and _RECEIVED.search(line) and not _SENT.search(line)


@pytest.mark.parametrize("others", ["", "/somewhere", "/somewhere:/else"])
def test_apps_of_a_cured_service_do_not_import_from_its_folder(others: str) -> None:
    (folder,) = profiles.profile("1.25.0").superlink_environment().values()
    code = "import os, sys; print(os.environ.get('PYTHONPATH', ''), 'sitecustomize' in sys.modules)"
    path = os.pathsep.join(filter(None, [folder, others]))
    said = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": path}, capture_output=True, check=True)
    assert said.stdout.decode() == f"{others} True\n"


def test_a_supernode_of_another_shape_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "flwr/supernode").mkdir(parents=True)
    (tmp_path / "flwr/supernode/start_client_internal.py").write_text("def start(): return 1\n")
    code = "from flwr.supernode import start_client_internal as loop; print(loop.start(), *sorted(vars(loop))[-1:])"
    assert in_process(tmp_path, code, **profiles.profile("1.41.0").supernode_environment()) == "1 start\n"


def test_the_cures_never_load_flower_and_the_superlinks_is_for_one_version() -> None:
    added = profiles.profile("1.25.0").superlink_environment()
    folder = Path(added["PYTHONPATH"])
    assert [path.name for path in folder.glob("*.py")] == ["sitecustomize.py"] and folder.is_relative_to(PACKAGE)
    code = "import sys; print('sitecustomize' in sys.modules, 'flwr' in sys.modules)"
    assert in_process(folder, code) == "True False\n"
    assert [v for v in profiles.known() if profiles.profile(v).superlink_environment()] == ["1.25.0"]


def test_installed_version(tmp_path: Path) -> None:
    assert profiles.installed(tmp_path) == ""
    for name in ("flwr-1.25.0.dist-info", "flwr_extra-9.9.9.dist-info"):
        (tmp_path / "lib/python3.12/site-packages" / name).mkdir(parents=True)
    assert profiles.installed(tmp_path) == "1.25.0"
