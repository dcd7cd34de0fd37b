# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of a run belongs to the account that runs apps, and lies where that account may write."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest_runs import APP
from flower_ops.runs import submit
from flower_ops.runs.errors import RunError
from flower_ops.runs.record import Places

#: An account that exists everywhere; where the tests do not run as root, nobody becomes anybody else.
USER = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
CONFIG = """[tool.flwr.app.config]
output-dir = ""
"""


@dataclass(frozen=True)
class OwnPlaces(Places):
    """Below a root of its own, but with an account, as on a SuperLink."""

    @property
    def user(self) -> str:
        """See Places."""
        return USER


@pytest.fixture
def superlink(monkeypatch: pytest.MonkeyPatch) -> Iterator[OwnPlaces]:
    """A SuperLink whose flwr names run 5 and whose watcher is somebody else's business."""
    root = Path(tempfile.mkdtemp())
    root.chmod(0o755)
    places = OwnPlaces(root)
    for folder in (places.runs, root / "app", root / "opt/flower/cli"):
        folder.mkdir(parents=True)
    shutil.chown(places.runs, USER)
    (root / "app/pyproject.toml").write_text(APP + CONFIG)
    flwr = root / "opt/flower/venv/bin/flwr"
    flwr.parent.mkdir(parents=True)
    flwr.write_text("""#!/bin/sh\necho '{"success": true, "run-id": "5"}'\n""")
    flwr.chmod(0o755)
    monkeypatch.setattr(submit, "start_watcher", lambda places, run_id: None)
    yield places
    shutil.rmtree(root)


def submitted(places: OwnPlaces, output_dir: str | None = None) -> dict[str, Any]:
    return submit.submit(places, places.root / "app", {}, output_dir)


def test_folder_and_configuration_belong_to_the_account_that_runs_apps(superlink: OwnPlaces) -> None:
    folder = Path(submitted(superlink)["output_dir"])
    config = folder / submit.CONFIG_FILE
    assert folder.owner() == config.owner() == USER and str(folder) in config.read_text()
    assert stat.S_IMODE(config.stat().st_mode) == 0o640 and [item.name for item in folder.iterdir()] == [config.name]


def test_a_link_that_an_app_left_leads_root_nowhere(superlink: OwnPlaces) -> None:
    closed = superlink.root / "closed"
    closed.mkdir(mode=0o500)
    (superlink.runs / "mine").symlink_to(closed)
    for folder in (superlink.runs / "mine", superlink.runs / "mine/deeper"):
        with pytest.raises(RunError, match=r"cannot be made as the account .*name one that it may write to"):
            submitted(superlink, str(folder))
    assert list(closed.iterdir()) == [] and closed.owner() != "nobody"


def test_root_copies_an_app_where_its_account_cannot_exchange_the_folder(superlink: OwnPlaces) -> None:
    own = '[tool.flwr.federations.x]\naddress = "a:1"\n'
    (superlink.root / "app/pyproject.toml").write_text(APP + CONFIG + own)
    seen = superlink.root / "opt/flower/cli/seen"
    seen.touch()
    shutil.chown(seen, USER)
    flwr = superlink.root / "opt/flower/venv/bin/flwr"
    flwr.write_text(f"""#!/bin/sh
        stat -c "%U %n" "$2" "$2/pyproject.toml" "$(dirname "$2")" > {seen}
        echo '{{"success": true, "run-id": "5"}}'
    """)
    submitted(superlink)
    app, project, parent = (line.split() for line in seen.read_text().splitlines())
    assert app[0] == project[0] == USER and Path(app[1]).name.startswith("submit-") and not Path(app[1]).exists()
    assert parent[0] == pwd.getpwuid(os.geteuid()).pw_name
    assert Path(parent[1]) == superlink.root / ("opt/flower" if os.geteuid() == 0 else "opt/flower/apps")
