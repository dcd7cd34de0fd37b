# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A wheelhouse: every wheel that a node needs, in one archive, so that nodes install without an index or a network.

The archive's name is a hash of everything that went in (requirements, target, the projects' source files), so a
second call finds it and touches nothing. pip does the downloading with the settings of this machine.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

Run = Callable[..., "tuple[int, str, str]"]

FORMAT = 1
ARCHITECTURES = ("x86_64", "aarch64")
# glibc of the oldest supported node systems (Debian 12) downwards; pip takes the first tag that a package offers.
GLIBC = range(36, 4, -1)
ALIASES = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
# Nodes install with uv, which takes seconds where pip takes minutes; pip is there for people.
TOOLS = ("uv", "pip")
# What building and editing leave behind; everything else may be data that the project packs into its wheel.
FOLDERS_LEFT_OUT = ("__pycache__", "build", "dist")
SUFFIXES_LEFT_OUT = (".pyc", ".pyo", "~")
UNUSED_S = 24 * 3600


class WheelhouseError(Exception):
    """The wheelhouse cannot be built; the text is one sentence for a person."""


@dataclass(frozen=True)
class Target:
    """What the wheels are for: Python `3.11`, `x86_64` or `aarch64`, pinned requirements, local project folders."""

    python_version: str
    architecture: str
    requirements: tuple[str, ...]
    projects: tuple[Path, ...]

    def check(self) -> None:
        """WheelhouseError names the first thing that is wrong."""
        if not re.fullmatch(r"3\.\d{1,2}", self.python_version):
            raise WheelhouseError(f"python_version {self.python_version!r} is not like 3.11; give the nodes' version.")
        if self.architecture not in ARCHITECTURES:
            raise WheelhouseError(f"architecture {self.architecture!r} is none of {', '.join(ARCHITECTURES)}.")
        for requirement in self.requirements:
            if not re.match(r"[A-Za-z0-9]", requirement) or "://" in requirement:
                raise WheelhouseError(f"{requirement!r} is not a requirement such as flwr==1.34.0.")
        for project in self.projects:
            if not (project / "pyproject.toml").is_file():
                raise WheelhouseError(f"The project folder {project} has no pyproject.toml; give a Python project.")

    @property
    def name(self) -> str:
        """File name of the archive: target and requirements, then the projects' sources."""
        wanted = [FORMAT, self.python_version, self.architecture, sorted(self.requirements)]
        sources = [[p.name, {n: _digest(p / n) for n in source_files(p)}] for p in sorted(self.projects)]
        python = self.python_version.replace(".", "")
        return f"wheelhouse-cp{python}-{self.architecture}-{_short(wanted)}-{_short(sources)}.tar"


def source_files(project: Path) -> list[str]:
    """Relative names of a project's source files, sorted; what builds and editors leave behind is not among them."""
    found: list[str] = []
    for place, folders, names in os.walk(project):
        folders[:] = [f for f in folders if not f.startswith(".") and f not in FOLDERS_LEFT_OUT and "egg-info" not in f]
        kept = (n for n in names if not n.startswith(".") and not n.endswith(SUFFIXES_LEFT_OUT))
        found += [(Path(place) / n).relative_to(project).as_posix() for n in kept]
    return sorted(found)


class Wheelhouse:
    """Archives in `cache`; `run` is AnsibleModule.run_command, `pythons` the interpreters whose pip may be used."""

    def __init__(self, cache: Path, run: Run, pythons: Sequence[str]) -> None:
        self.cache = cache
        self._run_command = run
        self._pythons = pythons

    def find(self, target: Target) -> dict[str, Any] | None:
        """{path, digest, size, wheels} of a finished archive, or None."""
        path = self.cache / target.name
        try:
            told = json.loads(_about(path).read_text(encoding="utf-8"))
            if path.stat().st_size != told["size"]:
                return None
            # Marks the archive as in use, see _prune.
            os.utime(path)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return {"path": str(path), **told}

    def build(self, target: Target) -> tuple[dict[str, Any], bool]:
        """(the archive, whether it had to be made). Calls at the same time wait for each other."""
        found = self.find(target)
        if found is not None:
            return found, False
        try:
            self.cache.mkdir(parents=True, exist_ok=True)
            with self._locked():
                found = self.find(target)
                if found is not None:
                    return found, False
                with tempfile.TemporaryDirectory(prefix=".building-", dir=self.cache) as work:
                    wheels = self._collect(target, Path(work))
                    made = self._store(target, wheels, Path(work))
                self._prune(target)
        except OSError as error:
            raise WheelhouseError(
                f"Cannot write to {self.cache}: {error.strerror or error}; choose another cache_dir."
            ) from error
        return made, True

    def _collect(self, target: Target, work: Path) -> list[Path]:
        pip = self._pip(target.python_version, work)
        built = work / "built"
        built.mkdir()
        for number, project in enumerate(target.projects):
            # setuptools writes into the folder it builds from; the tree of the user must stay as it is.
            copy = work / f"source-{number}" / project.name
            for name in source_files(project):
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(project / name, copy / name)
            self._call([*pip, "wheel", "--no-deps", "--wheel-dir", str(built), str(copy)], f"build {project.name}")
        projects = sorted(built.glob("*.whl"))
        own = ["==".join(wheel.name.split("-")[:2]) for wheel in projects]
        wheels = work / "wheels"
        if self._take_over(target, projects, wheels):
            return sorted(wheels.glob("*.whl"))
        self._call(
            [*pip, "download", "--only-binary=:all:", "--implementation", "cp"]
            + ["--python-version", target.python_version, *platform_options(target.architecture)]
            + ["--find-links", str(built), "--dest", str(wheels), *target.requirements, *own, *TOOLS],
            "download the wheels",
        )
        return sorted(wheels.glob("*.whl"))

    def _take_over(self, target: Target, projects: list[Path], wheels: Path) -> bool:
        """Fill `wheels` from an archive of the same requirements whose projects were others but needed the same."""
        for path in sorted(self._siblings(target) if projects else [], key=os.path.getmtime, reverse=True):
            with contextlib.suppress(OSError, tarfile.TarError, zipfile.BadZipFile, KeyError, StopIteration):
                with tarfile.open(path) as archive:
                    for wheel in projects:
                        former = archive.extractfile(wheel.name)
                        if former is None or needs(former) != needs(wheel.open("rb")):
                            raise KeyError(wheel.name)
                    shutil.rmtree(wheels, ignore_errors=True)
                    wheels.mkdir()
                    for entry in archive:
                        content = archive.extractfile(entry)
                        if content is not None:
                            with (wheels / Path(entry.name).name).open("wb") as stream:
                                shutil.copyfileobj(content, stream)
                for wheel in projects:
                    shutil.copyfile(wheel, wheels / wheel.name)
                return True
        return False

    def _siblings(self, target: Target) -> list[Path]:
        """Finished archives of the same target and requirements, with other sources of the projects."""
        stem = target.name.rsplit("-", 1)[0]
        return [path for path in self.cache.glob(f"{stem}-*.tar") if path.name != target.name and _about(path).exists()]

    def _pip(self, version: str, work: Path) -> list[str]:
        """A pip, best of the target's Python version: pip judges conditions on the version by the one it runs on."""
        usable: list[tuple[bool, list[str]]] = []
        for python in dict.fromkeys(self._pythons):
            script = "import sys, pip; print('%d.%d' % sys.version_info[:2])"
            status, out, _err = self._run_command([python, "-c", script], environ_update=_ENVIRONMENT, cwd=str(work))
            if status == 0:
                usable.append((out.strip() == version, [python, "-m", "pip"]))
        if usable:
            return next((pip for same, pip in usable if same), usable[0][1])
        for python in dict.fromkeys(self._pythons):
            status, _out, _err = self._run_command([python, "-m", "venv", str(work / "venv")], cwd=str(work))
            if status == 0:
                return [str(work / "venv/bin/python"), "-m", "pip"]
        raise WheelhouseError("There is no pip on the control machine and none can be made; install python3-venv.")

    def _call(self, command: list[str], what: str) -> None:
        status, out, err = self._run_command(command, environ_update=_ENVIRONMENT)
        if status != 0:
            raise WheelhouseError(explain(what, out + "\n" + err))

    def _store(self, target: Target, wheels: list[Path], work: Path) -> dict[str, Any]:
        partial = work / "archive.tar"
        with tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as archive:
            for wheel in wheels:
                entry = tarfile.TarInfo(wheel.name)
                entry.size, entry.mode = wheel.stat().st_size, 0o644
                with wheel.open("rb") as stream:
                    archive.addfile(entry, stream)
        told = {"digest": _digest(partial), "size": partial.stat().st_size, "wheels": [wheel.name for wheel in wheels]}
        about = work / "about.json"
        about.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        path = self.cache / target.name
        partial.replace(path)
        about.replace(_about(path))
        return {"path": str(path), **told}

    def _prune(self, target: Target) -> None:
        """Remove archives of the same requirements with older project sources that nobody has asked for in a day."""
        for path in self._siblings(target):
            if time.time() - path.stat().st_mtime > UNUSED_S:
                for old in (path, _about(path)):
                    old.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.cache / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def needs(wheel: IO[bytes]) -> list[bytes]:
    """What a wheel requires, sorted lines of its metadata. Raises BadZipFile, StopIteration."""
    with wheel, zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return sorted(line for line in archive.read(name).splitlines() if line.startswith(b"Requires-"))


def platform_options(architecture: str) -> list[str]:
    """pip's options for wheels that run on every supported node system of this architecture."""
    tags: list[str] = []
    for minor in GLIBC:
        tags.append(f"manylinux_2_{minor}_{architecture}")
        if minor in ALIASES and (minor == 17 or architecture == "x86_64"):
            tags.append(f"{ALIASES[minor]}_{architecture}")
    return [option for tag in tags for option in ("--platform", tag)]


def explain(what: str, output: str) -> str:
    """pip's many lines as one sentence with something to do; credentials in addresses are not repeated."""
    text = re.sub(r"://[^/\s@]+@", "://", output)
    errors = [e for e in re.findall(r"^\s*ERROR: (.*[^\s.])", text, re.M) if not e.startswith("ResolutionImpossible")]
    nothing = re.search(r"requirement (\S+) \(from versions: none\)", text)
    if nothing or re.search(r"NewConnectionError|NameResolutionError|ConnectTimeoutError|ProxyError|SSLError", text):
        missing = f" offers no {nothing[1]}" if nothing else " cannot be reached"
        return (
            f"Cannot {what}: the package index of the control machine{missing}; check its network and pip's index, "
            "proxy and certificate settings, or copy cache_dir from a machine that has built this wheelhouse."
        )
    wanted = re.search(r"requirement (\S+) \(from versions: .*?([^\s,]+)\)", text)
    if wanted:
        return f"Cannot {what}: there is no {wanted[1]} for this target; the newest one is {wanted[2]}."
    return (
        f"Cannot {what}: {'; '.join(errors[-2:]) or (text.strip().splitlines() or ['pip said nothing'])[-1].strip()}."
    )


_ENVIRONMENT: Mapping[str, str] = {
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_INPUT": "1",
    # pip's own modules only; the module's import path must not reach into it.
    "PYTHONPATH": "",
    "LC_ALL": "C.UTF-8",
}


def _about(path: Path) -> Path:
    return path.with_suffix(".json")


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        digest = hashlib.sha256()
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _short(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]
