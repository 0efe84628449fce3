"""Fresh environments with the wheel, outside the checkout."""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from release.build import ROOT, UV
from remotejob.names import DISTRIBUTION

OLDEST = (3, 11)
# pyenv puts the Pythons that no folder chose into places that are not on the PATH
PYENV = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"


@dataclass(frozen=True, kw_only=True, slots=True)
class Python:
    """An interpreter of this machine."""

    version: str
    path: str


@functools.cache
def pythons() -> tuple[Python, ...]:
    """One for each minor version from the oldest that we support, oldest first."""
    path = os.pathsep.join([*map(str, sorted(PYENV.glob("*/bin"))), os.environ["PATH"]])
    listed = subprocess.run(
        [UV, "python", "list", "--only-installed", "--output-format", "json"],
        env={**os.environ, "PATH": path, "UV_PYTHON_DOWNLOADS": "never"},
        check=True,
        capture_output=True,
        text=True,
    )
    ours = sys.version_info[:2]
    found = {ours: Python(version=".".join(map(str, sys.version_info[:3])), path=sys.executable)}
    for each in json.loads(listed.stdout):
        parts = each["version_parts"]
        minor = (parts["major"], parts["minor"])
        released = re.fullmatch(r"[\d.]+", each["version"])
        usual = each["implementation"] == "cpython" and each["variant"] == "default"
        if minor >= OLDEST and released and usual:
            found.setdefault(minor, Python(version=each["version"], path=each["path"]))
    return tuple(found[minor] for minor in sorted(found))


def environment_with(
    wheel: Path, folder: Path, *, python: Python, extras: Sequence[str], more: Sequence[str] = ()
) -> Path:
    """Make an environment; the path of its Python.

    Versions and hashes are those of the lock. What to install is the wheel's word.
    """
    wanted = f"[{','.join(extras)}]" if extras else ""
    made = folder / "bin" / "python"
    create = ("venv", "--python", python.path, str(folder))
    lock = str(ROOT / "requirements/dev.txt")
    install = (
        *("pip", "install", "--python", str(made), "--constraint", lock),
        *(f"{DISTRIBUTION}{wanted} @ {wheel.as_uri()}", *more),
    )
    for command in (create, install):
        done = subprocess.run(
            [UV, *command, "--quiet"],
            cwd=wheel.parent,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    return made


def run_there(
    python: Path, arguments: Sequence[str | Path], *, folder: Path, timeout_s: float
) -> subprocess.CompletedProcess[str]:
    """Run the environment's Python in a folder, with an empty home and next to no variables."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    return subprocess.run(
        [python, "-I", *arguments],
        cwd=folder,
        env={"PATH": f"{python.parent}{os.pathsep}{os.defpath}", "HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout_s,
        check=False,
    )
