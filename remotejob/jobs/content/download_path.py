"""The path on disk for a downloaded file."""

from __future__ import annotations

import os
from pathlib import Path


def destination(path: Path | str, name: str) -> Path:
    """The path itself, or if it is a folder, the path of `name` in it.

    A folder is one that exists, or text that ends in a slash. It is created if missing, as are the
    folders in `name`.
    """
    # only text counts: pathlib drops the slash
    is_folder = isinstance(path, str) and path.endswith(("/", os.sep))
    path = Path(path)
    if not (is_folder or path.is_dir()):
        return path
    path = path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
