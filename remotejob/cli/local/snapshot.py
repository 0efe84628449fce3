"""What a project's files held at one moment, to tell which have changed since."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Final, Self

_LARGE: Final = 16 * 1024 * 1024
"""Bytes; the content of larger files is not read, and their time and size count."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _File:
    modified_ns: int
    size: int
    digest: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """The contents of files. A save that changes no byte changes no snapshot."""

    files: Mapping[PurePath, _File] = field(default_factory=dict)

    @classmethod
    def take(cls, root: Path, paths: Iterable[PurePath], *, before: Self | None = None) -> Self:
        """Read the files that are new or have another time or size than in `before`."""
        known = {} if before is None else before.files
        found = {path: _read(root / path, known.get(path)) for path in paths}
        return cls(files={path: file for path, file in found.items() if file is not None})

    def changed_since(self, before: Self) -> list[PurePath]:
        """The files that came, went or hold something else, by name."""
        paths = self.files.keys() | before.files.keys()
        return sorted(path for path in paths if self._digest(path) != before._digest(path))

    def _digest(self, path: PurePath) -> bytes | None:
        file = self.files.get(path)
        return None if file is None else file.digest


def _read(path: Path, known: _File | None) -> _File | None:
    """None for a file that is gone by now, or may not be read."""
    try:
        status = path.stat()
        modified, size = status.st_mtime_ns, status.st_size
        if known is not None and (known.modified_ns, known.size) == (modified, size):
            return known
        content = f"{modified} {size}".encode() if size > _LARGE else path.read_bytes()
    except OSError:
        return None
    return _File(modified_ns=modified, size=size, digest=hashlib.sha256(content).digest())
