"""Transfers errors between a worker and a child process."""

from __future__ import annotations

import builtins
import importlib
from typing import Any, Final

from remotejob.domain import errors
from remotejob.domain.argument_checks import is_a
from remotejob.domain.errors import Fatal, RemoteJobError
from remotejob.domain.text import kind_of, said_by, trace_of
from remotejob.worker.runs.no_space import errors_behind, lacked_space, no_space

_LONGEST: Final = 100_000
"""Characters of a traceback; the record stores no more."""

_LONGEST_MESSAGE: Final = 10_000
"""Characters of a message; the record stores fewer."""


def described(error: BaseException) -> dict[str, Any]:
    """An error of the task, in the form that is sent to the worker.

    Raises: MemoryError.
    """
    module = type(error).__dict__.get("__module__")
    return {
        "name": kind_of(error),
        "module": module[:200] if type(module) is str else "",
        "message": _message(error)[:_LONGEST_MESSAGE],
        "trace": trace_of(error)[-_LONGEST:],
        "fatal": is_a(error, Fatal),
        "memory": short_of_memory(error),
        "no_space": lacked_space(error),
    }


def short_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, however the task wrapped that."""
    try:
        return any(is_a(one, MemoryError) for one in errors_behind(error))
    except BaseException:  # noqa: BLE001 (an error's own code may raise anything)
        return False


OUT_OF_MEMORY: Final[dict[str, Any]] = {
    "name": "MemoryError",
    "module": "builtins",
    "message": "",
    "trace": "MemoryError, and none was left to say where",
    "fatal": False,
    "memory": True,
    "no_space": False,
}
"""Sent if there is no memory left to describe an error."""


class _Trace(Exception):
    """A traceback of another process, as the cause of an error."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def error_of_child(description: dict[str, Any], *, remark: str | None = None) -> BaseException:
    """The error that a child sent: a new class with the name and message of the original.

    The child cannot influence more than that, except whether the job may run again, and whether
    its disk was full.
    """
    name = str(description["name"])[:200]
    message = str(description["message"])[:_LONGEST_MESSAGE]
    fatal = description["fatal"] is True
    bases: tuple[type[BaseException], ...] = (Fatal,) if fatal else (Exception,)
    kind = type(name, bases, {"__module__": str(description["module"])[:200]})
    error: BaseException = kind(message if remark is None else f"{message} ({remark})".lstrip())
    error.__cause__ = _Trace(str(description["trace"])[-_LONGEST:])
    if description["no_space"] is True:
        # a context is not shown where there is a cause
        error.__context__ = no_space()
    return error


def described_for_child(error: BaseException) -> dict[str, Any]:
    """An error of the library or of a port, in the form that is sent to the child."""
    kind = type(error)
    return {
        "name": kind.__name__,
        "module": kind.__module__,
        "message": _message(error)[:_LONGEST],
        "errno": error.errno if isinstance(error, OSError) else None,
    }


def error_of_worker(description: dict[str, Any]) -> BaseException:
    """The error that the worker sent, of the same class if this process has it."""
    kind = _class(description["module"], description["name"])
    if kind is None:
        return RemoteJobError(f"{description['name']}: {description['message']}")
    # skip its __init__, which may need more than a message
    error = kind.__new__(kind, description["message"])
    if isinstance(error, OSError):
        error.errno = description["errno"]
    return error


def _message(error: BaseException) -> str:
    """An error's message, which may be empty, even if its `__str__` fails."""
    try:
        return str.__str__(str(error))
    except BaseException:  # noqa: BLE001 (a broken __str__ must not hide the error)
        return said_by(error)


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
