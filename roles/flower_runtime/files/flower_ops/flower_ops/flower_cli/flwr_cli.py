# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flower's command line interface as an object: JSON in, one clear sentence out when it fails.

The exit status of `flwr` is not used to judge anything: with `--format json` it is 0 for every failure, without it it
differs from release to release. Only the field `success` of the answer counts.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flower_ops import profiles
from flower_ops.profiles import Profile

ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# Lines that flwr prints before the sentence that matters.
NOISE = re.compile(
    r"^(Using SuperLink:|Stopping run ID|Displaying information|Listing all (runs|nodes)|Flower App config"
    r"|Loading project configuration|Success$|Creating a new `\.gitignore`|\.gitignore|Updating)",
    re.IGNORECASE,
)
CONNECTION = "federation"
# Folder below FLWR_HOME that stands for an app, where connections are written into apps.
CONNECTION_APP = "app"
_APP = """\
[project]
name = "connection"
version = "1.0.0"

[tool.flwr.app]
publisher = "opennebula"

[tool.flwr.app.components]
serverapp = "none:app"
clientapp = "none:app"

"""
UNREACHABLE = "Connection to the SuperLink is unavailable"
# The same in all versions, with and without the number.
NO_RUN = re.compile(r"\bRun ID (\d+ )?not found\b", re.IGNORECASE)


class FlwrCliError(Exception):
    """A `flwr` command failed; the text is one sentence for a person.

    `unreachable` tells that the SuperLink did not answer, so that trying again later makes sense; `cut_off` that the
    command itself ended without an answer, as one that was killed.
    """

    def __init__(self, message: str, unreachable: bool = False, cut_off: bool = False) -> None:
        super().__init__(message)
        self.unreachable = unreachable
        self.cut_off = cut_off


def connection_table(
    address: str, root_certificates: str | None, in_app: bool, name: str = CONNECTION, default: bool = True
) -> str:
    """The connection to a Control API as TOML, for the pyproject.toml of an app or for config.toml.

    Without `root_certificates` (a file) it is one without TLS. `default` makes it the one that is used without a name;
    a file that has other connections must not get a second word about that.
    """
    table = "tool.flwr.federations" if in_app else "superlink"
    trust = f'root-certificates = "{root_certificates}"' if root_certificates else "insecure = true"
    chosen = f'[{table}]\ndefault = "{name}"\n\n' if default else ""
    return f'{chosen}[{table}.{name}]\naddress = "{address}"\n{trust}\n'


def connection_files(profile: Profile, address: str, root_certificates: str | None) -> dict[str, bytes]:
    """Files below FLWR_HOME that tell flwr where the SuperLink is, by their relative name."""
    table = connection_table(address, root_certificates, profile.connections_in_app)
    if profile.connections_in_app:
        return {f"{CONNECTION_APP}/pyproject.toml": (_APP + table).encode()}
    return {"config.toml": table.encode()}


class FlwrCli:
    """Commands of one `flwr` executable against one connection of one FLWR_HOME.

    Runs as `user` when called by root, so that everything flwr writes belongs to the service account.
    Run and node ids are strings: they are unsigned 64-bit numbers, which JSON readers may round.
    """

    def __init__(
        self,
        binary: str | Path = "/opt/flower/venv/bin/flwr",
        home: str | Path = "/opt/flower/cli",
        connection: str = CONNECTION,
        user: str | None = "flower",
        timeout: float = 120.0,
    ) -> None:
        self.binary = Path(binary)
        self.home = Path(home)
        self.connection = connection
        self.user = user
        self.timeout = timeout
        #: Open files that commands share with this process, such as a lock that outlives it as long as they do.
        self.shared: tuple[int, ...] = ()
        try:
            self.profile = profiles.profile(profiles.installed(self.binary.parent.parent))
        except profiles.UnknownVersionError:
            self.profile = profiles.profile(profiles.DEFAULT)

    @property
    def _place(self) -> list[str]:
        """Arguments that name the connection; before 1.26 an app folder that knows it comes first."""
        app = [str(self.home / CONNECTION_APP)] if self.profile.connections_in_app else []
        return [*app, self.connection]

    def own_connection(self) -> str:
        """The table of our connection that a submitted app must hold; empty where flwr knows it by itself."""
        if not self.profile.connections_in_app:
            return ""
        path = self.home / CONNECTION_APP / "pyproject.toml"
        try:
            _head, found, table = path.read_text(encoding="utf-8").partition("[tool.flwr.federations]\n")
        except OSError as error:
            raise FlwrCliError(f"Cannot read {path} ({error.strerror}); configure this SuperLink first.") from error
        return found + table

    def run(self, app_dir: str | Path, run_config: str | Path | None = None) -> str:
        """Submit an app directory; `run_config` is a TOML file with overrides. Returns the run id."""
        arguments = ["run", str(app_dir), self.connection]
        if run_config is not None:
            arguments += ["-c", str(run_config)]
        run_id = self._json(*arguments, what=f"submit the app {app_dir}").get("run-id")
        if not run_id:
            raise FlwrCliError(f"The SuperLink took the app {app_dir} but named no run; look at its log.")
        return str(run_id)

    def list_runs(self, run_id: str | None = None) -> list[dict[str, Any]]:
        """Runs known to the SuperLink, oldest first, with flwr's own keys (run-id, status, network-traffic, …)."""
        arguments = ["ls", *self._place]
        what = "list the runs"
        if run_id is not None:
            arguments += ["--run-id", run_id]
            what = f"ask for run {run_id}"
        else:
            arguments += self.profile.list_extra
        runs = self._json(*arguments, what=what).get("runs") or []
        return sorted(runs, key=lambda run: str(run.get("pending-at", "")))

    def find_run(self, run_id: str) -> dict[str, Any] | None:
        """One run as `list_runs` tells it, however old; None when the SuperLink says that it does not know it."""
        try:
            return next(iter(self.list_runs(run_id)), None)
        except FlwrCliError as error:
            if NO_RUN.search(str(error)):
                return None
            raise

    def stop(self, run_id: str) -> None:
        """Stop a run; an error when it is unknown or has already finished."""
        self._json("stop", run_id, *self._place, what=f"stop run {run_id}")

    def log_stream(self, run_id: str) -> subprocess.Popen[bytes]:
        """Follow a run's log from its beginning; the process ends after the run. The caller closes it."""
        command = [str(self.binary), "log", run_id, *self._place, "--stream"]
        try:
            return subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, **self._process()
            )
        except OSError as error:
            raise self._cannot_start(error) from error

    def supernodes(self) -> list[dict[str, Any]]:
        """Nodes known to the SuperLink with flwr's own keys (node-id, status, online-at, …)."""
        nodes = self._json("supernode", "list", *self._place, what="list the SuperNodes").get("nodes") or []
        return [{**node, "node-id": str(node.get("node-id", ""))} for node in nodes]

    def register(self, public_key: str | Path) -> str:
        """Register a SuperNode by its public key file (OpenSSH format, EC). Returns the node id."""
        answer = self._json("supernode", "register", str(public_key), *self._place, what="register a SuperNode")
        return str(answer.get("node-id", ""))

    def unregister(self, node_id: str) -> None:
        """Remove a registered SuperNode; its process ends if it is online."""
        self._json("supernode", "unregister", node_id, *self._place, what=f"unregister SuperNode {node_id}")

    def _json(self, *arguments: str, what: str) -> dict[str, Any]:
        try:
            output, errors = self._output([*arguments, "--format", "json"])
        except subprocess.TimeoutExpired as error:
            text = f"Cannot {what}: flwr gave no answer within {self.timeout:.0f} s; is the SuperLink healthy?"
            raise FlwrCliError(text, unreachable=True) from error
        except OSError as error:
            raise self._cannot_start(error) from error
        answer = find_json(output)
        if answer is None:
            said = sentence(output + "\n" + errors) or "it printed nothing"
            raise FlwrCliError(f"Cannot {what}: flwr gave no JSON answer ({said}).", cut_off=True)
        if answer.get("success") is not True:
            said = sentence(str(answer.get("error-message", ""))) or "no reason given"
            raise FlwrCliError(f"Cannot {what}: {said}", unreachable=UNREACHABLE in said)
        return answer

    def _output(self, arguments: list[str]) -> tuple[str, str]:
        """What one command prints on its standard output and error; TimeoutExpired or OSError when it cannot."""
        done = subprocess.run(
            [str(self.binary), *arguments],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=self.timeout,
            check=False,
            **self._process(),
        )
        return plain(done.stdout), plain(done.stderr)

    def _process(self) -> dict[str, Any]:
        """Account, folder and environment of a flwr process."""
        settings: dict[str, Any] = {
            "env": self._environment(),
            "cwd": str(self.home) if self.home.is_dir() else "/",
            "pass_fds": self.shared,
        }
        if self.user is not None and os.geteuid() == 0:
            try:
                account = pwd.getpwnam(self.user)
            except KeyError:
                raise FlwrCliError(
                    f"The account {self.user} does not exist on this machine; apply the role flower_runtime first."
                ) from None
            settings.update(user=account.pw_uid, group=account.pw_gid, extra_groups=[])
        return settings

    def _environment(self) -> Mapping[str, str]:
        return {
            "PATH": f"{self.binary.parent}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.home),
            "FLWR_HOME": str(self.home),
            **profiles.ENVIRONMENT,
            "LC_ALL": "C.UTF-8",
            # Log lines must leave the pipe at once, not when its buffer is full.
            "PYTHONUNBUFFERED": "1",
            # A narrow terminal would break long lines of error boxes.
            "COLUMNS": "1000",
        }

    def _cannot_start(self, error: OSError) -> FlwrCliError:
        return FlwrCliError(
            f"Cannot start {self.binary} ({error.strerror}); apply the role flower_runtime to this machine first."
        )


def plain(output: bytes) -> str:
    """Text without terminal colours."""
    return ANSI.sub("", output.decode("utf-8", "replace"))


def find_json(text: str) -> dict[str, Any] | None:
    """The last JSON object that begins on a line of its own; notes and warnings around it are skipped."""
    found: dict[str, Any] | None = None
    decoder = json.JSONDecoder()
    position = 0
    while True:
        match = re.compile(r"^\s*\{", re.MULTILINE).search(text, position)
        if match is None:
            return found
        try:
            value, position = decoder.raw_decode(text, match.end() - 1)
        except ValueError:
            position = match.end()
            continue
        if isinstance(value, dict):
            found = value


def sentence(text: str) -> str:
    """What went wrong, out of flwr's message: without progress lines, box drawing and line breaks."""
    lines = (re.sub(r"[─│╭╮╰╯]|\bError\b(?= ─)", " ", line).strip() for line in plain(text.encode()).splitlines())
    kept = [line for line in lines if line and not NOISE.match(line.lstrip("🔍📄✋ ")) and line != "Error"]
    return re.sub(r"\s+", " ", " ".join(kept)).strip()
