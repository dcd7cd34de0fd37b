#!/usr/bin/python
# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put Flower apps into a folder, all their files in one step for each app."""

from __future__ import annotations

DOCUMENTATION = r"""
module: flower_apps
short_description: Keep Flower apps in a folder of a machine
version_added: 0.1.0
author: opennebula.flower contributors (@opennebula)
description:
  - The folders of apps below O(path) hold what the archives hold and nothing else; other folders there are removed.
  - An app is unpacked beside its place and then takes it, so that no mixture of two versions is ever there.
  - Files are of the user that runs the module, V(0644), and folders V(0755).
  - Needs nothing on the machine but Python's standard library.
attributes:
  check_mode:
    support: full
    description: Can run in check mode and tell what would change.
  diff_mode:
    support: full
    description: Shows names and digests of the files before and after.
  idempotent:
    support: full
    description: A second run changes nothing.
options:
  apps:
    description: Archives in base64 by name of the app, made by the filter P(opennebula.flower.packed_apps#filter).
    type: dict
    required: true
  path:
    description: The folder of the apps.
    type: path
    default: /opt/flower/use-cases
"""

EXAMPLES = r"""
- name: Put all apps of a folder on a SuperLink
  opennebula.flower.flower_apps:
    apps: "{{ (playbook_dir ~ '/apps') | opennebula.flower.packed_apps }}"
"""

RETURN = r"""
apps:
  description: Names of the apps that are in the folder now.
  returned: success
  type: list
  elements: str
  sample: [anomaly-detection, image-classification]
"""

import base64
import binascii
import hashlib
import io
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from ansible.module_utils.basic import AnsibleModule

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
FILE_MODE = 0o644
FOLDER_MODE = 0o755

Files = dict[str, bytes]


class AppsError(Exception):
    """What was given is no app; the text is one sentence for a person."""


def unpacked(name: str, archive: str) -> Files:
    """Content by relative name. AppsError for anything that is no plain file within the app's folder."""
    if not NAME.fullmatch(name):
        raise AppsError(f"{name!r} is no name of an app; give letters, digits and . _ -")
    found: Files = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(base64.b64decode(archive, validate=True)), mode="r:gz") as tar:
            for entry in tar:
                place = PurePosixPath(entry.name)
                stream = tar.extractfile(entry)
                if place.is_absolute() or ".." in place.parts or not entry.isfile() or stream is None:
                    raise AppsError(f"the archive of {name} holds {entry.name!r}, which is no file of an app")
                found[str(place)] = stream.read()
    except (tarfile.TarError, binascii.Error, EOFError, OSError) as error:
        raise AppsError(
            f"the archive of {name} is none of an app ({error}); pack it by the filter packed_apps"
        ) from error
    return found


def present(folder: Path) -> dict[str, str]:
    """Digest of content and mode by relative name of all that is in a folder."""
    found = {}
    for place, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(place, name)
            content = path.read_bytes() if path.is_file() and not path.is_symlink() else None
            if content is not None or path.is_symlink() or not path.is_dir():
                found[path.relative_to(folder).as_posix()] = digest(content, path.lstat().st_mode & 0o7777)
    return found


def digest(content: bytes | None, mode: int = FILE_MODE) -> str:
    """Eight digits for content and mode; of what is no file, a word."""
    return "no file" if content is None else f"{hashlib.sha256(content).hexdigest()[:8]} {mode:04o}"


def write(place: Path, files: Files) -> None:
    """Let the folder hold these files and nothing else."""
    place.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent))
    try:
        fresh, old = aside / "new", aside / "old"
        for name, content in files.items():
            (fresh / name).parent.mkdir(parents=True, exist_ok=True)
            (fresh / name).write_bytes(content)
        for path in (fresh, *fresh.rglob("*")):
            path.chmod(FOLDER_MODE if path.is_dir() else FILE_MODE)
        if place.is_symlink() or place.exists():
            place.rename(old)
        fresh.rename(place)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def table(apps: Mapping[str, Mapping[str, str]]) -> str:
    """For the difference."""
    return "".join(f"{app}/{name} {sign}\n" for app in sorted(apps) for name, sign in sorted(apps[app].items()))


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            # No secret, but nothing to fill the machine's journal with either.
            "apps": {"type": "dict", "required": True, "no_log": True},
            "path": {"type": "path", "default": "/opt/flower/use-cases"},
        },
        supports_check_mode=True,
    )
    folder = Path(module.params["path"])
    try:
        wanted = {name: unpacked(name, str(archive)) for name, archive in module.params["apps"].items()}
        here = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
        before = {path.name: present(path) for path in here}
        after = {name: {file: digest(content) for file, content in files.items()} for name, files in wanted.items()}
        result: dict[str, Any] = {
            "changed": before != after,
            "apps": sorted(wanted),
            "diff": {"before": table(before), "after": table(after)},
        }
        if not module.check_mode:
            for name, files in wanted.items():
                if before.get(name) != after[name]:
                    write(folder / name, files)
            for path in here:
                if path.name not in wanted:
                    shutil.rmtree(path)
    except AppsError as error:
        module.fail_json(msg=f"The apps cannot be put into {folder}: {error}.")
    except OSError as error:
        module.fail_json(msg=f"The apps in {folder} could not be changed: {error}.")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
