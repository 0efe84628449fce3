"""Bodies: the content of a job's input, as a creator passes it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from remotejob.domain.errors import InvalidBody

Body = Path | str | bytes | BinaryIO
"""The input of a job: a path, its content, or a file open for reading."""


def is_binary(body: object) -> bool:
    """Whether it is a file that gives bytes."""
    return hasattr(body, "read") and not isinstance(body, io.TextIOBase)


def not_a_body(body: object) -> InvalidBody:
    return InvalidBody(f"body={body!r}: give a path, bytes, or a file opened with mode 'rb'")


@contextmanager
def open_body(body: Body) -> Iterator[bytes | BinaryIO]:
    """What a store can put: the bytes, or a file open for reading; a path is opened and closed.

    Raises: InvalidBody, when it is no body, or there is no such file.
    """
    if isinstance(body, str | Path):
        path = Path(body)
        if not path.is_file():
            raise InvalidBody(
                f"body {str(body)!r} is not a file; give the path of one, or the content as bytes"
            )
        with path.open("rb") as file:
            yield file
    elif isinstance(body, bytes) or is_binary(body):
        yield body
    else:
        raise not_a_body(body)
