"""Watches where this process makes files, folders and links, and refuses other places."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

_WRITES: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_MADE: Final = {"os.mkdir": 0, "os.rename": 1, "os.link": 1, "os.symlink": 1}
"""Audit events that make something, and which argument is its path.
Source: Python, "Audit events table"."""


class _Watch:
    def __init__(self) -> None:
        self.allowed: tuple[Path, ...] | None = None
        self.outside: list[str] = []
        self.inside = 0

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.allowed is None:
            return
        if event == "open":
            path, _, flags = arguments
            if not isinstance(flags, int) or not flags & _WRITES:
                return
        elif event in _MADE:
            path = arguments[_MADE[event]]
        else:
            return
        if not isinstance(path, str | bytes | os.PathLike):
            return  # a descriptor, which was opened before
        allowed, self.allowed = self.allowed, None
        try:
            # what opens a file follows a link in its place, unless the file must be new
            follows = event == "open" and not flags & (os.O_EXCL | os.O_NOFOLLOW)
            place = os.fsdecode(path)
            where = Path(os.path.realpath(place if follows else os.path.dirname(place)))  # noqa: PTH120
            if event == "os.mkdir" and Path(os.path.realpath(place)) in allowed:
                return  # of one that is there
            if any(where.is_relative_to(folder) for folder in allowed):
                self.inside += 1
            elif place != os.devnull:
                self.outside.append(f"{event} {place!r}")
                # it is not done, as this may be anywhere on the disk
                raise PermissionError(f"outside: {place!r}")
        finally:
            self.allowed = allowed


_watch: Final = _Watch()
_added: Final[list[bool]] = []


@contextmanager
def only_in(*folders: Path) -> Iterator[_Watch]:
    """Let the block make files only in these folders; `outside` lists what it tried elsewhere."""
    if not _added:
        # it cannot be removed again, and does nothing outside such a block
        sys.addaudithook(_watch)
        _added.append(True)
    _watch.outside, _watch.inside = [], 0
    _watch.allowed = tuple(Path(os.path.realpath(folder)) for folder in folders)
    try:
        yield _watch
    finally:
        _watch.allowed = None
