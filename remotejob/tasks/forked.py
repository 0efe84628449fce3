"""Keeps a forked copy of this process from going on as the process it was copied from.

A copy has the whole worker in its memory: its run, its connections, its channel. It may do what its
author wants it to do, but where it would return to the library, it ends. So only the process that
was given a run reports it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import traceback
import types
import weakref
from collections.abc import Callable, Coroutine, Generator
from types import TracebackType
from typing import Any, Final, Protocol, Self, TypeVar

from remotejob.domain.errors import RemoteJobError

R = TypeVar("R")

_LONGEST_FLUSH: Final = 5
"""Seconds. Another thread may have held the stream's lock when this copy was made."""

AWAITED: Final = RemoteJobError(
    "a forked copy of a worker cannot await: the event loop is its parent's. Call asyncio.run in "
    "the copy, or start it by multiprocessing with the method spawn"
)


class OnlyHere:
    """A block that calls foreign code: a copy of this process made in it ends with the block.

    It ends with the status that Python would give: 0, or that of its `sys.exit`, or 1 with a
    traceback on stderr. Nothing of the worker's own is run in it: no `finally`, no `atexit`.
    """

    def __enter__(self) -> Self:
        self._pid = os.getpid()
        _calling.depth = getattr(_calling, "depth", 0) + 1
        return self

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        _calling.depth -= 1
        end_copy_of(self._pid, error)


_calling: Final = threading.local()


def _always() -> bool:
    return True


@types.coroutine
def only_here(
    coroutine: Coroutine[Any, Any, R], *, wanted: Callable[[], bool] = _always
) -> Generator[Any, Any, R]:
    """Await a coroutine; a copy of this process that it makes ends with the step that made it.

    Once it is not `wanted` any more, it takes no further step.
    Raises: also GeneratorExit, for a coroutine that is not wanted.
    """
    pid = os.getpid()
    step: Any = coroutine.send
    argument: Any = None
    while True:
        if not wanted():
            # one that takes no notice of that either is dropped
            with contextlib.suppress(RuntimeError):
                coroutine.close()
            raise GeneratorExit
        # made by a task that this one started, and awaits
        end_copy_of(pid, argument if isinstance(argument, BaseException) else None)
        try:
            with OnlyHere():
                awaited = step(argument)
                # suspended: the event loop would go on with other tasks
                end_copy_of(pid, AWAITED)
        except StopIteration as returned:
            result: R = returned.value
            return result
        try:
            argument = yield awaited
            step = coroutine.send
        except BaseException as error:  # noqa: BLE001 (the coroutine handles it)
            step, argument = coroutine.throw, error


def end_copy_of(pid: int, error: BaseException | None = None) -> None:
    """End this process if it is not the one with that id; return in the one that is."""
    if os.getpid() == pid:
        return
    status = 1
    try:
        status = _status(error)
        _flush_within(_LONGEST_FLUSH)
    finally:
        os._exit(status)


def check_owner(pid: int) -> None:
    """Raises: RemoteJobError, in any process but the one with that id."""
    if os.getpid() != pid:
        raise RemoteJobError(
            f"process {os.getpid()} is a forked copy of process {pid}, which alone may use the job:"
            " let the copy pass on what it has to say, for example by a pipe or a file"
        )


def _status(error: BaseException | None) -> int:
    if error is None or isinstance(error, StopIteration):
        return 0
    if isinstance(error, SystemExit):
        if error.code is None or isinstance(error.code, int):
            return (error.code or 0) & 0xFF
        text = f"{error.code}\n"
    else:
        text = "".join(traceback.format_exception(error))
    # not by sys.stderr: another thread may have held its lock when this copy was made
    os.write(2, text.encode(errors="replace"))
    return 1


def _flush_within(seconds: int) -> None:
    """Flush what the copy itself printed; a lock that nobody will release ends it."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(seconds)
    flush()


def flush() -> None:
    """Write out what this process has printed."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


def _before_fork() -> None:
    if getattr(_calling, "depth", 0):
        # else the copy would print it a second time
        flush()


class HasFile(Protocol):
    """Something with a file descriptor, until it is closed."""

    def fileno(self) -> int: ...


_private: Final[weakref.WeakSet[Any]] = weakref.WeakSet()


def keep_private(file: HasFile) -> None:
    """Take an open file, socket or pipe away from every copy of this process.

    A copy would keep a connection open after its owner's end, or send on it as its owner.
    """
    _private.add(file)


def _take_private_files() -> None:
    files = [number for file in list(_private) if (number := _number(file)) >= 0]
    if not files:
        return
    _private.clear()
    # the numbers stay in use: the objects that hold them will close them some time
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in files:
        os.dup2(nothing, number, inheritable=False)
    os.close(nothing)


def _number(file: HasFile) -> int:
    try:
        return file.fileno()
    except (AttributeError, ValueError, OSError):
        return -1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_take_private_files)
