"""What a distribution is made of, copied out of the checkout.

A copy, because the README changes on its way to the index, and because the mode of a file, or a
file that git ignores, must not change what is built.
"""

from __future__ import annotations

import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any, Final

from release.page import index_page
from release.problem import ReleaseProblem

LIBRARY: Final = "remotejob"
PARTS: Final = (LIBRARY, "docs", "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE")
SOURCE_URL: Final = "Source"
"""The entry of `[project.urls]` that the README's links begin with."""


def copy_source(root: Path, target: Path) -> Path:
    """Copy what git knows or would add of `PARTS`, with the README as its index page.

    Raises: ReleaseProblem, when git cannot list the files.
    """
    for name in _listed(root, "--cached", "--others"):
        source = root / name
        if not source.is_file():
            # deleted, and not yet committed
            continue
        copy = target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)
        copy.chmod(0o644)
    readme = target / "README.md"
    project = tomllib.loads((target / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    readme.write_text(
        index_page(readme.read_text(encoding="utf-8"), home=_home(project)), encoding="utf-8"
    )
    return target


def refuse_unknown_files(root: Path) -> None:
    """Raises: ReleaseProblem, for a file of the library that git neither knows nor ignores."""
    if unknown := _listed(root, "--others", parts=(LIBRARY,)):
        raise ReleaseProblem(f"git does not know {unknown[0]}: add it, or remove it")


def _home(project: dict[str, Any]) -> str | None:
    source: str | None = project.get("urls", {}).get(SOURCE_URL)
    return None if source is None else f"{source.rstrip('/')}/blob/v{project['version']}"


def _listed(root: Path, *which: str, parts: tuple[str, ...] = PARTS) -> list[str]:
    command = ["git", "ls-files", "-z", "--exclude-standard", *which, "--", *parts]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise ReleaseProblem("git lists what to release, and is not installed") from None
    except subprocess.CalledProcessError as problem:
        raise ReleaseProblem(
            f"{root}: git cannot list its files: {problem.stderr.strip()}; build in a clone"
        ) from None
    return sorted(set(filter(None, done.stdout.split("\0"))))
