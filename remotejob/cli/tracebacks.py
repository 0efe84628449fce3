"""Tracebacks of a task's errors, without the frames of libraries."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path
from typing import Final

import remotejob
from remotejob.domain.text import trace_of

_OURS: Final = Path(remotejob.__file__).parent
_LIBRARIES: Final = tuple(
    Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")
)


def short(error: BaseException) -> str:
    """An error and what caused it, with the frames of the user's own files."""
    try:
        shown = traceback.TracebackException.from_exception(error)
    except Exception:  # noqa: BLE001 (an error's own code may raise anything)
        return trace_of(error).rstrip("\n")
    _shorten(shown)
    return "".join(shown.format()).rstrip("\n")


def _shorten(shown: traceback.TracebackException) -> None:
    own = [frame for frame in shown.stack if _is_own(frame.filename)]
    shown.stack = traceback.StackSummary.from_list(own)
    for one in (shown.__cause__, shown.__context__, *(shown.exceptions or ())):
        if one is not None:
            _shorten(one)
    handled = shown.__context__
    if handled is not None and not handled.stack and handled.__cause__ is None:
        # a library handled it by itself
        shown.__context__ = None


def _is_own(filename: str) -> bool:
    path = Path(filename)
    if filename.startswith("<") or path.is_relative_to(_OURS):
        return False
    return not any(path.is_relative_to(library) for library in _LIBRARIES)
