# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documentation names exists, and what comes from data is what the data says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("playbooks", "roles", "plugins", "inventories", "molecule", "demos", "meta", "tests", "docs", "tools")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "roles").glob("*/README.md"))]
# README abbreviates modules with a twin and the argument in "opennebula.flower.train -e app=DIR".
FQCN = re.compile(r"opennebula\.flower\.([a-z_]+)")
TABLE_OF_MODULES = re.compile(r"^\| ((?:`[a-z_]+`(?:, )?)+) \|", re.MULTILINE)


def named_files(text: str) -> set[str]:
    """Paths in code spans that begin with a folder of the collection."""
    spans = re.findall(r"`([^`\n]+)`", text)
    return {span for span in spans if span.partition("/")[0] in FOLDERS and "/" in span and not set(span) & set(" <*…")}


def relative_links(text: str) -> set[str]:
    """Targets of links that are not addresses on the net."""
    return {link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link}


def modules() -> set[str]:
    return {path.stem for path in (ROOT / "plugins/modules").glob("*.py")}


def playbooks() -> set[str]:
    return {path.stem for path in (ROOT / "playbooks").glob("*.yml")}


def test_generated_pages_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools/gen-docs"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"run tools/gen-docs: {done.stdout}{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_named_files_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    missing = [name for name in named_files(text) if not (ROOT / name).exists()]
    missing += [link for link in relative_links(text) if link and not (page.parent / link).exists()]
    assert not missing


def architecture() -> str:
    """How it is built; the walk of trainings has a page of its own."""
    return "".join((ROOT / f"docs/{name}.md").read_text(encoding="utf-8") for name in ("architecture", "training"))


def test_architecture_walks_through_real_files() -> None:
    found = named_files(architecture())
    assert len(found) > 60
    assert {"playbooks/single_site.yml", "plugins/modules/flower_node.py"} <= set(found)
    assert "plugins/module_utils/one/core/runner.py" in found


def test_architecture_names_every_role_and_every_playbook() -> None:
    text = architecture()
    roles = {path.parent.parent.name for path in (ROOT / "roles").glob("*/meta/argument_specs.yml")}
    assert {name for name in roles | playbooks() if not re.search(rf"\b{name}\b", text)} == set()


def test_readme_names_playbooks_and_modules_that_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    known = modules() | playbooks() | {path.stem for path in (ROOT / "plugins/inventory").glob("*.py")}
    assert set(FQCN.findall(text)) <= known
    listed = {name for row in TABLE_OF_MODULES.findall(text) for name in re.findall(r"[a-z_]+", row)}
    assert len(listed) >= 10
    assert listed <= modules()


def test_readme_names_every_playbook() -> None:
    assert playbooks() <= set(FQCN.findall((ROOT / "README.md").read_text(encoding="utf-8")))


def test_every_role_has_a_readme() -> None:
    roles = {path.parent.parent for path in (ROOT / "roles").glob("*/meta/argument_specs.yml")}
    assert [role.name for role in roles if not (role / "README.md").is_file()] == []


def test_the_changelog_names_every_plugin() -> None:
    text = (ROOT / "CHANGELOG.rst").read_text(encoding="utf-8")
    kinds = ("modules", "filter", "inventory")
    plugins = {path.stem for kind in kinds for path in (ROOT / "plugins" / kind).glob("*.py")}
    assert set(re.findall(r"^- opennebula\.flower\.(\w+) - ", text, re.MULTILINE)) == plugins
