"""Bodies: the content of an input or output, as a caller passes it. May be empty."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, TypeGuard

from remotejob.domain.argument_checks import is_a
from remotejob.domain.errors import InvalidBody
from remotejob.domain.text import cut, said_by, shown

Body = Path | str | bytes | BinaryIO
"""A path, the content, or a file open for reading."""

_GIVE: Final = "give a path, bytes, or a file opened with mode 'rb'"
LARGEST_BODY: Final = 5 * 1024**4
"""Source: Amazon S3, "Uploading objects": 5 TiB at most."""


def check_body(body: object, *, what: str = "body") -> Body:
    """A body that can be read. `what` names it in errors.

    Raises: InvalidBody, for anything else, a missing file, a folder, or a stream at its end.
    """
    if isinstance(body, bytes):
        # an exact copy of a subclass, which may override what we call
        return bytes.__getitem__(body, slice(None))
    if is_a(body, str) or isinstance(body, Path):
        path = check_file(body, what=what)
        _check_size(path.stat().st_size, what=f"{what} {shown(str(path))}")
        return path
    if not _is_readable(body):
        raise InvalidBody(f"{what}={shown(body)}: {_GIVE}")
    try:
        sample = body.read(0)
        left, here = _size_left(body), _position(body)
    except Exception as problem:
        raise InvalidBody(
            f"{what}={shown(body)} cannot be read ({type(problem).__name__}: "
            f"{cut(said_by(problem), 200)}); {_GIVE}"
        ) from problem
    if not is_a(sample, bytes):
        raise InvalidBody(f"{what}={shown(body)} gives no bytes; {_GIVE}")
    if left == 0 and here:
        # a buffer that was written and not rewound would become an empty file
        raise InvalidBody(f"{what} is empty: the file is at its end; call seek(0) first")
    _check_size(left, what=what)
    return body


def check_file(path: object, *, what: str) -> Path:
    """The path of a file that can be read. Raises: InvalidBody."""
    plain = str.__str__(path) if is_a(path, str) else str(path)
    which = f"{what} {shown(plain)}"
    if not plain:
        raise InvalidBody(f"{which}: the path is empty; give the path of a file")
    try:
        mode = os.stat(plain).st_mode  # noqa: PTH116 (a Path may be of a class that overrides it)
    except (FileNotFoundError, NotADirectoryError):
        raise InvalidBody(
            f"{which} is not a file: no such file; check the path, or give the content as bytes"
        ) from None
    except (OSError, ValueError) as problem:
        # too long, with NUL in it, in a folder that is not ours
        raise InvalidBody(f"{which} cannot be read ({_why(problem)}); check the path") from None
    if stat.S_ISDIR(mode):
        raise InvalidBody(
            f"{which} is a folder, not a file; submit the files in it one by one, or make a job "
            "of each with map"
        )
    if not stat.S_ISREG(mode):
        raise InvalidBody(f"{which} is not a file; open it with mode 'rb' and pass that")
    if not os.access(plain, os.R_OK):
        raise InvalidBody(f"{which} cannot be read; check its permissions")
    return Path(plain)


@contextmanager
def open_body(body: Body) -> Iterator[bytes | BinaryIO]:
    """What a store can put: the bytes, or a file open for reading; a path is opened and closed.

    `body` comes from `check_body`.
    """
    if isinstance(body, str | Path):
        with Path(body).open("rb") as file:
            yield file
    else:
        yield body


def known_size(body: Body) -> int | None:
    """Bytes of a body that `check_body` gave; None if only reading it would tell."""
    if isinstance(body, bytes):
        return len(body)
    try:
        if isinstance(body, str | Path):
            return Path(body).stat().st_size
        return _size_left(body)
    except Exception:  # noqa: BLE001 (a stream of anybody's; whoever reads it meets the error)
        return None


def _is_readable(body: object) -> TypeGuard[BinaryIO]:
    try:
        return hasattr(body, "read") and not isinstance(body, io.TextIOBase)
    except Exception:  # noqa: BLE001 (its own __getattr__ may raise anything)
        return False


def _check_size(size: int | None, *, what: str) -> None:
    if size is not None and size > LARGEST_BODY:
        raise InvalidBody(f"{what} is {size} bytes; S3 takes 5 TiB at most")


def _position(stream: BinaryIO) -> int:
    return stream.tell() if _seekable(stream) else 0


def _size_left(stream: BinaryIO) -> int | None:
    """Bytes from the stream's position to its end, or None if it cannot seek."""
    if not _seekable(stream):
        return None
    here = stream.tell()
    end = stream.seek(0, os.SEEK_END)
    stream.seek(here)
    return end - here


def _seekable(stream: BinaryIO) -> bool:
    # some streams have nothing but read
    return hasattr(stream, "seekable") and bool(stream.seekable())


def _why(problem: OSError | ValueError) -> str:
    return (problem.strerror if isinstance(problem, OSError) else None) or str(problem)
