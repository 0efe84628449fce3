"""Where a file that is downloaded goes on the disk."""

from __future__ import annotations

import os
from pathlib import Path


def destination(path: Path | str, name: str) -> Path:
    """The path itself, or the place of `name` in it, where it is a folder.

    It is one if it is there as one, or given as text that ends in a slash; then it is made, with
    the folders that `name` has in it.
    """
    # a Path has lost the slash: pathlib takes it away
    is_folder = isinstance(path, str) and path.endswith(("/", os.sep))
    path = Path(path)
    if not (is_folder or path.is_dir()):
        return path
    path = path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
