"""The wheel and the source distribution."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from release.problem import ReleaseProblem
from release.source import copy_source

ROOT: Final = Path(__file__).resolve().parents[1]
UV: Final = ROOT / ".tools/bin/uv"
"""Has the build backend in it, and is itself locked with its hashes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Built:
    """The two files that an index takes."""

    wheel: Path
    sdist: Path


def build(folder: Path, root: Path = ROOT) -> Built:
    """Build both from the files of a checkout, the wheel from the source distribution.

    The same files make the same bytes, whenever and wherever they are built.

    Raises: ReleaseProblem.
    """
    with tempfile.TemporaryDirectory(prefix="remotejob-release-") as making:
        source = copy_source(root, Path(making) / "source")
        return build_from(source, folder)


def build_from(source: Path, folder: Path) -> Built:
    """Build both from a folder as `copy_source` makes one. Raises: ReleaseProblem."""
    with tempfile.TemporaryDirectory(prefix="remotejob-release-") as making:
        _uv_build(source, Path(making))
        return Built(
            sdist=_moved(Path(making), "*.tar.gz", folder),
            wheel=_moved(Path(making), "*.whl", folder),
        )


def wheel_of(sdist: Path, folder: Path) -> Path:
    """Build the wheel of a source distribution, as pip does. Raises: ReleaseProblem."""
    with tempfile.TemporaryDirectory(prefix="remotejob-release-") as making:
        # Unpacked here: uv takes its own backend only for a folder.
        with tarfile.open(sdist) as archive:
            archive.extractall(making, filter="data")
        (source,) = Path(making).iterdir()
        _uv_build(source, Path(making), "--wheel")
        return _moved(Path(making), "*.whl", folder)


def _uv_build(source: Path, folder: Path, *which: str) -> None:
    # Without the network and an old cache, no backend can be used but the one in uv.
    done = subprocess.run(
        [
            *(str(UV), "build", "--quiet", "--offline", "--no-cache", "--no-config"),
            *("--python", sys.executable, "--out-dir", str(folder), *which, str(source)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ReleaseProblem(f"{source} cannot be built: {done.stderr.strip()}")


def _moved(making: Path, pattern: str, folder: Path) -> Path:
    (made,) = making.glob(pattern)
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.move(made, folder / made.name))
