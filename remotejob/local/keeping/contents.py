"""What is in the objects: one file each, in a folder, written once."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

_MODE: Final = 0o600


class KeptContent:
    """The content of an object, read from its file when somebody wants it.

    It takes the place of moto's buffer, which holds all of it in memory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._position = 0

    def seek(self, position: int) -> None:
        """Read from here next."""
        self._position = position

    def read(self, size: int = -1) -> bytes:
        """Read so many bytes, or the rest."""
        with self.path.open("rb") as file:
            file.seek(self._position)
            found = file.read(size)
        self._position += len(found)
        return found

    def close(self) -> None:
        """Does nothing: no file is open between two reads."""


class Contents:
    """The folder with the files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def kept(self, name: str) -> KeptContent:
        """The content in a file."""
        return KeptContent(self._folder / name)

    def has(self, name: str, *, size: int) -> bool:
        """Whether the file is there, and whole."""
        try:
            return (self._folder / name).stat().st_size == size
        except FileNotFoundError:
            return False

    def write(self, content: bytes) -> str:
        """Write a new file; return its name."""
        name = uuid.uuid4().hex
        opened = os.open(self._folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
        with os.fdopen(opened, "wb") as file:
            file.write(content)
        return name

    def remove(self, names: Iterable[str]) -> None:
        """Remove files that no object has any more."""
        for name in names:
            (self._folder / name).unlink(missing_ok=True)

    def remove_all_but(self, names: set[str]) -> None:
        """Remove what was written but never became part of an object."""
        self.remove(entry.name for entry in os.scandir(self._folder) if entry.name not in names)


def name_of(buffer: Any) -> str | None:
    """The name of the file that a buffer reads; None if it is in memory."""
    return buffer.path.name if isinstance(buffer, KeptContent) else None
