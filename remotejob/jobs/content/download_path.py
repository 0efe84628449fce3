"""The path on disk for a downloaded file."""

from __future__ import annotations

import os
from pathlib import Path

from remotejob.domain.argument_checks import encodes, plain_text
from remotejob.domain.errors import InvalidName
from remotejob.domain.text import shown


def destination(path: Path | str, name: str) -> Path:
    """The path itself, or if it is a folder, the path of `name` in it.

    A folder is one that exists, or text that ends in a slash. It is created if missing, as are the
    folders in `name`.

    Raises: InvalidName, when no file can have that path.
    """
    text = str(path) if isinstance(path, Path) else plain_text(path)
    if text is None or "\0" in text or not encodes(text):
        raise InvalidName(f"path {shown(path)}: give the path of a file or folder, as text or Path")
    # only text counts: pathlib drops the slash
    is_folder = not isinstance(path, Path) and text.endswith(("/", os.sep))
    path = Path(text)
    try:
        path.lstat()
        is_folder = is_folder or path.is_dir()
    except FileNotFoundError:
        pass
    except OSError as problem:
        raise InvalidName(f"path {shown(text)}: {problem.strerror}; give another") from None
    if not is_folder:
        return path
    path = path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
