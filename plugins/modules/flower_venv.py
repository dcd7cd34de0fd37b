#!/usr/bin/python
# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Install a wheelhouse into a virtual environment of its own, and switch to it at once."""

from __future__ import annotations

DOCUMENTATION = r"""
module: flower_venv
short_description: Install a wheelhouse as a virtual environment
version_added: 0.1.0
author: opennebula.flower contributors (@opennebula)
description:
  - Installs an archive that M(opennebula.flower.flower_wheelhouse) made, without any package index.
  - Every wheelhouse gets an environment of its own in a folder named after its digest. O(path) is a link to the one in
    use, changed in one step when the new one is whole, so that a broken installation never takes the place of a
    working one. The environment that was in use before stays for a way back; older ones that no link names are removed.
  - Needs nothing on the machine but Python's standard library.
attributes:
  check_mode:
    support: full
    description: Can run in check mode and tell what would change.
  diff_mode:
    support: full
    description: Shows which environment is in use before and after.
  idempotent:
    support: full
    description: A second run changes nothing.
options:
  archive:
    description: Archive of the wheelhouse on this machine. Not read when O(digest) is installed already.
    type: path
    required: true
  digest:
    description: Digest of the wheelhouse, as the wheelhouse module returned it.
    type: str
    required: true
  path:
    description: The link to the environment in use.
    type: path
    default: /opt/flower/venv
  links:
    description: More links to the same environment.
    type: list
    elements: path
    default: []
  environments:
    description: Folder of the environments.
    type: path
    default: /opt/flower/venvs
"""

EXAMPLES = r"""
- name: Install Flower from a wheelhouse
  opennebula.flower.flower_venv:
    archive: /var/tmp/wheelhouse.tar
    digest: 3f0c6c1b5d0e

- name: Install a framework's environment beside it
  opennebula.flower.flower_venv:
    archive: /var/tmp/wheelhouse.tar
    digest: 8d1f2a7c6b90
    path: /opt/flower/frameworks/pytorch
"""

RETURN = r"""
environment:
  description: Folder of the environment that the link points to.
  returned: success
  type: str
  sample: /opt/flower/venvs/3f0c6c1b5d0e
"""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule


class InstallError(Exception):
    """A step of the installation failed; the text is one sentence for a person."""


def run(argv: list[str], what: str) -> None:
    """Run a command; InstallError with the last line that it printed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no output"]
        raise InstallError(f"{what} failed: {lines[-1]}")


def install(archive: Path, environment: Path) -> None:
    """Unpack the archive and install all of it into a new environment at its final place (scripts name that place)."""
    shutil.rmtree(environment, ignore_errors=True)
    environment.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=environment.parent) as folder:
        try:
            with tarfile.open(archive) as tar:
                tar.extractall(folder, filter="data") if hasattr(tarfile, "data_filter") else tar.extractall(folder)
        except tarfile.TarError as error:
            # Its own words are a list of all formats that were tried.
            raise InstallError(f"{archive} is not a whole archive; bring it to this machine again") from error
        wheels = sorted(Path(folder).rglob("*.whl"))
        pip = next((wheel for wheel in wheels if wheel.name.startswith("pip-")), None)
        if pip is None:
            raise InstallError(f"{archive} is not a wheelhouse: there is no pip in it; build it again")
        run([sys.executable, "-m", "venv", "--without-pip", str(environment)], "Making the environment")
        python = str(environment / "bin" / "python")
        offline = ["--no-index", "--find-links", str(pip.parent)]
        # pip runs from its own wheel, and only to install uv: uv installs and compiles the rest many times faster.
        run([python, f"{pip}/pip", "install", "--quiet", "--no-cache-dir", *offline, "uv"], "Installing uv")
        uv = str(environment / "bin" / "uv")
        # The control machine has resolved what belongs together: nothing is left to choose here.
        rest = [str(wheel) for wheel in wheels if wheel != pip and not wheel.name.startswith("uv-")]
        base = [uv, "pip", "install", "--quiet", "--no-cache", "--offline", "--no-index", "--no-deps"]
        run([*base, "--python", python, "--compile-bytecode", *rest], "Installing the wheels")


def switch(link: Path, environment: Path) -> None:
    """Point a link to an environment in one step, and remember beside it which one it named before."""
    link.parent.mkdir(parents=True, exist_ok=True)
    before = target(link)
    if before == str(environment):
        return
    for name, aim in ((f".{link.name}-before", before), (link.name, str(environment))):
        if aim:
            fresh = link.with_name(f".{name}-new")
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(aim)
            fresh.replace(link.with_name(name))


def target(link: Path) -> str:
    """What a link names; empty when it is none."""
    return os.readlink(link) if link.is_symlink() else ""


def retire(environments: Path) -> None:
    """Remove environments that no link beside their folder, or one level below that, names."""
    home = environments.parent
    named = {Path(target(entry)).name for entry in (*home.glob("*"), *home.glob("*/*")) if entry.is_symlink()}
    for old in environments.iterdir():
        if old.is_dir() and old.name not in named:
            shutil.rmtree(old, ignore_errors=True)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "archive": {"type": "path", "required": True},
            "digest": {"type": "str", "required": True},
            "path": {"type": "path", "default": "/opt/flower/venv"},
            "links": {"type": "list", "elements": "path", "default": []},
            "environments": {"type": "path", "default": "/opt/flower/venvs"},
        },
        supports_check_mode=True,
    )
    links = [Path(link) for link in (module.params["path"], *module.params["links"])]
    digest: str = module.params["digest"]
    environment = Path(module.params["environments"]) / digest
    marker = environment / f"wheelhouse-{digest}"
    before = [target(link) for link in links]
    result = {
        "changed": not marker.exists() or before != [str(environment)] * len(links),
        "environment": str(environment),
        "diff": {
            "before": "".join(f"{link} -> {old}\n" for link, old in zip(links, before, strict=True) if old),
            "after": "".join(f"{link} -> {environment}\n" for link in links),
        },
    }
    if module.check_mode or not result["changed"]:
        module.exit_json(**result)
    try:
        # Another link may name it already, or it was in use before.
        if not marker.exists():
            install(Path(module.params["archive"]), environment)
            marker.touch()
    except (InstallError, OSError) as error:
        shutil.rmtree(environment, ignore_errors=True)
        module.fail_json(msg=f"The runtime could not be installed in {environment}: {error}.", changed=False)
    try:
        for link in links:
            switch(link, environment)
    except OSError as error:
        module.fail_json(msg=f"A link to {environment} could not be made: {error}.", changed=True)
    retire(environment.parent)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
