# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wheels without an index: toys, stand-ins for pip and uv that only unpack, and what is installed here packed again."""

from __future__ import annotations

import tarfile
import zipfile
from importlib.metadata import distribution
from pathlib import Path

# Both stand-ins take the words that flower_venv gives the real ones. A wheel is unpacked where Python looks for it, and
# its programs are made.
UNPACK = """\
import pathlib, sys, sysconfig, zipfile
def unpack(wheels):
    for wheel in wheels:
        try:
            archive = zipfile.ZipFile(wheel)
        except zipfile.BadZipFile:
            sys.exit(f"error: {wheel} is no wheel")
        archive.extractall(sysconfig.get_path("purelib"))
        name = pathlib.Path(wheel).name.split("-")[0]
        script = pathlib.Path(sysconfig.get_path("scripts"), name)
        script.write_text(f"#!{sys.executable}\\nimport {name}\\n{name}.main()\\n")
        script.chmod(0o755)
"""
PIP = """\
folder = pathlib.Path(sys.argv[sys.argv.index("--find-links") + 1])
unpack(folder.glob("uv-*.whl") if list(folder.glob("uv-*.whl")) else sys.exit("ERROR: No matching distribution for uv"))
"""
UV = """\
def main():
    unpack(word for word in sys.argv if word.endswith(".whl"))
"""


def toy(folder: Path, version: str, name: str = "toy", source: str = "") -> Path:
    """A wheel with a program of its name, which prints its version unless `source` defines another main()."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": source or f"def main():\n    print({version!r})\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
    }
    if name == "pip":
        files["pip/__main__.py"] = files.pop("pip.py")
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return wheel


def stand_ins(folder: Path) -> list[Path]:
    """Wheels of a pip and a uv that only unpack."""
    return [toy(folder, "0", "pip", UNPACK + PIP), toy(folder, "0", "uv", UNPACK + UV)]


def packed_again(folder: Path, name: str) -> Path:
    """The wheel of a distribution that is installed where the tests run."""
    found = distribution(name)
    files = {str(file): Path(str(file.locate())) for file in found.files or ()}
    info = next(path.split("/")[0] for path in files if path.endswith(".dist-info/WHEEL"))
    inside = {path: place for path, place in files.items() if not path.startswith("..") and "__pycache__" not in path}
    wheel = folder / f"{name}-{found.version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", strict_timestamps=False) as archive:
        for path, place in inside.items():
            if path not in (f"{info}/RECORD", f"{info}/WHEEL"):
                archive.write(place, path)
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "".join(f"{path},,\n" for path in [*inside, f"{info}/WHEEL"]))
    return wheel


def pack(archive: Path, wheels: list[Path]) -> Path:
    """A wheelhouse as the module flower_wheelhouse makes it."""
    with tarfile.open(archive, "w") as tar:
        for wheel in wheels:
            tar.add(wheel, wheel.name)
    return archive
