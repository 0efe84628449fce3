"""Recognizes errors that a full disk caused, however a task wrapped them."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import Final

_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT})

_SQLITE_FULL: Final = 13
"""Source: sqlite.org, "Result and Error Codes", SQLITE_FULL."""

_MOST: Final = 1000
"""Errors of one chain to look at."""


def lacked_space(error: BaseException) -> bool:
    """Whether the error, its causes, its contexts or its group include one of a full disk.

    Never raises, even if an error's own code does.
    """
    try:
        return any(_is_of_disk(one) for one in errors_behind(error))
    except BaseException:  # noqa: BLE001 (its own code may raise anything)
        return False


def no_space() -> OSError:
    """The error of a full disk, to stand for one in another process."""
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _is_of_disk(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in _NO_SPACE
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(code, int) and code & 0xFF == _SQLITE_FULL


def errors_behind(error: BaseException) -> Iterator[BaseException]:
    """The error, its causes, its contexts and the members of its groups, each once."""
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left and len(seen) < _MOST:
        one = left.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        left += [one.__context__, one.__cause__]
        if isinstance(one, BaseExceptionGroup):
            left += one.exceptions
