"""Errors on their way between a worker and a child process."""

from __future__ import annotations

import builtins
import importlib
import traceback
from typing import Any, Final

from remotejob.domain import errors
from remotejob.domain.errors import Fatal, RemoteJobError

_LONGEST: Final = 100_000
"""Characters of a traceback; the notes of the record keep no more."""

_LONGEST_MESSAGE: Final = 10_000
"""Characters of a message; the record keeps fewer."""


def described(error: BaseException) -> dict[str, Any]:
    """An error of the task's, as the worker is told of it."""
    kind = type(error)
    return {
        "name": kind.__name__[:200],
        "module": kind.__module__[:200],
        "message": said_by(error)[:_LONGEST_MESSAGE],
        "trace": "".join(traceback.format_exception(error))[-_LONGEST:],
        "fatal": isinstance(error, Fatal),
        "memory": isinstance(error, MemoryError),
    }


OUT_OF_MEMORY: Final[dict[str, Any]] = {
    "name": "MemoryError",
    "module": "builtins",
    "message": "",
    "trace": "MemoryError, and none was left to say where",
    "fatal": False,
    "memory": True,
}
"""What is said where there is no room to describe an error."""


class _Trace(Exception):
    """A traceback of another process, in the place of a cause."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def raised_there(said: dict[str, Any], *, remark: str | None = None) -> BaseException:
    """An error that a child told of: by name what it was there, by class one that says nothing.

    What a child says makes no other difference than whether the job may run again.
    """
    name, message = str(said["name"])[:200], str(said["message"])[:_LONGEST_MESSAGE]
    bases: tuple[type[BaseException], ...] = (Fatal,) if said["fatal"] is True else (Exception,)
    kind = type(name, bases, {"__module__": str(said["module"])[:200]})
    error: BaseException = kind(message if remark is None else f"{message} ({remark})".lstrip())
    error.__cause__ = _Trace(str(said["trace"])[-_LONGEST:])
    return error


def told(error: BaseException) -> dict[str, str]:
    """An error of the library's, or of a port's, as the task is to have it raised."""
    kind = type(error)
    return {"name": kind.__name__, "module": kind.__module__, "message": said_by(error)[:_LONGEST]}


def raised_here(said: dict[str, str]) -> BaseException:
    """An error that the worker told of: of the same class, where there is one here."""
    kind = _class(said["module"], said["name"])
    if kind is None:
        return RemoteJobError(f"{said['name']}: {said['message']}")
    # made without its __init__, which may want more than its message
    return kind.__new__(kind, said["message"])


def said_by(error: BaseException) -> str:
    """An error's message, also where the error cannot say it."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 (a broken __str__ must not hide the error)
        return f"an error of class {type(error).__name__} that cannot be shown"


def _class(module: str, name: str) -> type[BaseException] | None:
    for place in (errors, builtins):
        if module == place.__name__:
            return _error_class(getattr(place, name, None))
    try:
        return _error_class(getattr(importlib.import_module(module), name, None))
    except ImportError:
        return None


def _error_class(found: object) -> type[BaseException] | None:
    return found if isinstance(found, type) and issubclass(found, BaseException) else None
