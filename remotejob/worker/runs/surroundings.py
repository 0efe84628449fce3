"""What a process has one of: compared and set back after a job, so it does not change the next.

docs/executors.md lists every item, and what happens to it where.
"""

from __future__ import annotations

import gc
import locale
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

_TIMERS: Final = tuple(
    getattr(signal, name)
    for name in ("ITIMER_REAL", "ITIMER_VIRTUAL", "ITIMER_PROF")
    if hasattr(signal, name)
)
_LIMITS: Final = (
    ()
    if resource is None
    else tuple(
        getattr(resource, name)
        for kind in ("AS", "CORE", "CPU", "DATA", "FSIZE", "NOFILE", "NPROC", "STACK")
        if hasattr(resource, name := f"RLIMIT_{kind}")
    )
)
_SIGNALS: Final = tuple(
    number
    for number in sorted(signal.valid_signals())
    if number not in (signal.SIGKILL, signal.SIGSTOP)
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One thing that a process has, or a thread of it."""

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object]
    """Raises an error when the process cannot go back."""
    quiet: bool = False
    """Whether the standard library itself changes it, so that setting it back is no news."""


def _environment() -> dict[str, str]:
    return dict(os.environ)


def _set_environment(value: dict[str, str]) -> None:
    zone = os.environ.get("TZ")
    for name in os.environ.keys() - value.keys():
        del os.environ[name]
    os.environ.update({k: v for k, v in value.items() if os.environ.get(k) != v})
    if os.environ.get("TZ") != zone and hasattr(time, "tzset"):
        time.tzset()


def _folder() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109 (a Path would be made for each job)
    except OSError:
        # the job's folder, which is gone
        return None


def _umask() -> int:
    value = os.umask(0o077)
    os.umask(value)
    return value


def _shared_umask() -> int | None:
    """Read it without setting it, which another thread might notice."""
    try:
        with open("/proc/self/status", "rb") as file:  # noqa: PTH123 (as above)
            head = file.read(256)
    except OSError:
        return None
    _, found, rest = head.partition(b"Umask:\t")
    return int(rest.split(None, 1)[0], 8) if found else None


def _set_umask(value: int | None) -> None:
    if value is not None:
        os.umask(value)


_OWN_TIMERS: Final[set[int]] = set()


def own_timer(timer: int) -> None:
    """Leave this timer alone from now on: the process itself uses it, and no job does.

    A worker that is told to stop while a job runs sets one that ends it if anything hangs.
    """
    _OWN_TIMERS.add(timer)


def _timers() -> tuple[bool, ...]:
    return tuple(timer not in _OWN_TIMERS and signal.getitimer(timer)[0] > 0 for timer in _TIMERS)


def _set_timers(value: tuple[bool, ...]) -> None:
    for timer, on in zip(_TIMERS, value, strict=True):
        if not on and timer not in _OWN_TIMERS:
            signal.setitimer(timer, 0)


def _limits() -> tuple[tuple[int, int], ...]:
    return tuple(resource.getrlimit(limit) for limit in _LIMITS)


def _locale() -> str:
    return locale.setlocale(locale.LC_ALL)


def _set_locale(value: str) -> None:
    locale.setlocale(locale.LC_ALL, value)


def _set_limits(value: tuple[tuple[int, int], ...]) -> None:
    for limit, both in zip(_LIMITS, value, strict=True):
        if resource.getrlimit(limit) != both:
            resource.setrlimit(limit, both)


def _loggers() -> tuple[Any, ...]:
    root = logging.root
    # a logger that a job makes is its own matter, but one that was there is everybody's
    named = {
        name: (logger.level, logger.disabled, logger.propagate)
        for name, logger in tuple(logging.Logger.manager.loggerDict.items())
        if isinstance(logger, logging.Logger)
    }
    return root.level, root.disabled, list(root.handlers), root.manager.disable, named


def _set_loggers(value: tuple[Any, ...]) -> None:
    root = logging.root
    level, root.disabled, handlers, disable, named = value
    root.setLevel(level)
    root.handlers[:] = handlers
    logging.disable(disable)
    for name, (level, disabled, propagate) in named.items():
        logger = logging.getLogger(name)
        logger.setLevel(level)
        logger.disabled, logger.propagate = disabled, propagate


def _same_loggers(now: tuple[Any, ...], then: tuple[Any, ...]) -> bool:
    return now[:4] == then[:4] and then[4].items() <= now[4].items()


def _streams() -> tuple[Any, ...]:
    return sys.stdin, sys.stdout, sys.stderr, *map(_closed, (sys.stdin, sys.stdout, sys.stderr))


def _closed(stream: Any) -> bool:
    return bool(getattr(stream, "closed", False))


def _set_streams(value: tuple[Any, ...]) -> None:
    sys.stdin, sys.stdout, sys.stderr = value[:3]
    if _streams() != value:
        raise OSError("it closed them")


def _hooks() -> tuple[Any, ...]:
    return (
        sys.excepthook,
        sys.unraisablehook,
        sys.displayhook,
        sys.breakpointhook,
        threading.excepthook,
    )


def _set_hooks(value: tuple[Any, ...]) -> None:
    (
        sys.excepthook,
        sys.unraisablehook,
        sys.displayhook,
        sys.breakpointhook,
        threading.excepthook,
    ) = value


def _garbage() -> tuple[Any, ...]:
    return gc.isenabled(), gc.get_threshold(), gc.get_debug()


def _set_garbage(value: tuple[Any, ...]) -> None:
    (gc.enable if value[0] else gc.disable)()
    gc.set_threshold(*value[1])
    gc.set_debug(value[2])


def _policy() -> Any:
    # without asyncio's own function, which makes one, and warns from Python 3.14
    events = sys.modules.get("asyncio.events")
    policy = None if events is None else events._event_loop_policy
    # asyncio makes its own when it first needs one
    return None if type(policy).__module__.startswith("asyncio.") else policy


def _set_policy(value: Any) -> None:
    sys.modules["asyncio.events"]._event_loop_policy = value  # type: ignore[attr-defined]


def _start_method() -> Any:
    context = sys.modules.get("multiprocessing.context")
    if context is None:
        return None
    return context._default_context.get_start_method(allow_none=True)


def _set_start_method(value: Any) -> None:
    context = sys.modules["multiprocessing.context"]
    context._default_context.set_start_method(value, force=True)


def _set_path(value: list[str]) -> None:
    sys.path = _refilled(sys.path, value)


def _set_arguments(value: list[str]) -> None:
    sys.argv = _refilled(sys.argv, value)


def _refilled(there: object, value: list[Any]) -> list[Any]:
    """The list that is there, as others hold it too, with these items; else a new one."""
    if type(there) is not list:
        return list(value)
    there[:] = value
    return there


def _set_filters(value: list[Any]) -> None:
    warnings.filters = _refilled(warnings.filters, value)
    warnings._filters_mutated()  # type: ignore[attr-defined]  # as warnings.resetwarnings does


def _set_tempdir(value: str | None) -> None:
    tempfile.tempdir = value


def _handlers() -> tuple[Any, ...]:
    return tuple(signal.getsignal(number) for number in _SIGNALS)


def _set_handlers(value: tuple[Any, ...]) -> None:
    for number, handler in zip(_SIGNALS, value, strict=True):
        if signal.getsignal(number) is not handler:
            if handler is None:
                raise OSError(f"the handler of signal {number} was not set from Python")
            signal.signal(number, handler)


def _set_mask(value: Any) -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, value)


def _set_nice(value: int) -> None:
    os.setpriority(os.PRIO_PROCESS, 0, value)


# typeshed has no None here, by which both are ended
_trace_new: Final[Callable[[Any], None]] = threading.settrace
_profile_new: Final[Callable[[Any], None]] = threading.setprofile

_EVERYWHERE: Final = (
    Item(name="the environment", read=_environment, write=_set_environment),
    Item(name="the working directory", read=_folder, write=os.chdir),
    Item(name="timers", read=_timers, write=_set_timers),
    Item(name="the locale", read=_locale, write=_set_locale),
    Item(
        name="the default socket timeout",
        read=socket.getdefaulttimeout,
        write=socket.setdefaulttimeout,
    ),
    Item(name="resource limits", read=_limits, write=_set_limits),
    Item(name="sys.path", read=lambda: list(sys.path), write=_set_path),
    Item(name="sys.argv", read=lambda: list(sys.argv), write=_set_arguments),
    Item(name="the standard streams", read=_streams, write=_set_streams),
    Item(name="the logging configuration", read=_loggers, write=_set_loggers),
    Item(name="warnings filters", read=lambda: list(warnings.filters), write=_set_filters),
    Item(name="the recursion limit", read=sys.getrecursionlimit, write=sys.setrecursionlimit),
    Item(name="the switch interval", read=sys.getswitchinterval, write=sys.setswitchinterval),
    Item(name="garbage collection", read=_garbage, write=_set_garbage),
    Item(name="hooks of sys and threading", read=_hooks, write=_set_hooks),
    Item(name="the trace function of new threads", read=threading.gettrace, write=_trace_new),
    Item(name="the profile function of new threads", read=threading.getprofile, write=_profile_new),
    Item(name="tempfile.tempdir", read=tempfile.gettempdir, write=_set_tempdir),
    Item(name="the event loop policy", read=_policy, write=_set_policy),
    Item(
        name="multiprocessing's start method",
        read=_start_method,
        write=_set_start_method,
        quiet=True,
    ),
)

OF_THREADS: Final = (
    *_EVERYWHERE,
    Item(name="the umask", read=_shared_umask, write=_set_umask),
)
"""What the jobs in a process's threads share."""

OF_THREAD: Final = (
    Item(name="the trace function", read=sys.gettrace, write=sys.settrace),
    Item(name="the profile function", read=sys.getprofile, write=sys.setprofile),
)
"""What a thread has of its own, and its next job would find."""

OF_PROCESS: Final = (
    *_EVERYWHERE,
    Item(name="the umask", read=_umask, write=_set_umask),
    Item(name="signal handlers", read=_handlers, write=_set_handlers),
    Item(name="blocked signals", read=lambda: signal.pthread_sigmask(0, ()), write=_set_mask),
    *OF_THREAD,
    Item(name="the nice level", read=lambda: os.getpriority(os.PRIO_PROCESS, 0), write=_set_nice),
)
"""What the jobs of a child process find one after the other, in its main thread."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Left:
    """What a job left changed."""

    restored: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    """What could not be set back, with the reason."""


class Surroundings:
    """A process as it was at one moment."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._items: Final = tuple(items)
        self._before: Final = [_read(item) for item in self._items]

    def restore(self) -> Left:
        """Set back what has changed since."""
        restored, lost = [], []
        for item, before in zip(self._items, self._before, strict=True):
            if before is _UNREADABLE or _is_as(before, item):
                continue
            try:
                item.write(before)
                if not item.quiet:
                    restored.append(item.name)
            except Exception as problem:  # noqa: BLE001 (then the process is replaced)
                lost.append(f"{item.name} ({type(problem).__name__}: {problem})"[:200])
        return Left(restored=tuple(restored), lost=tuple(lost))


_UNREADABLE: Final = object()


def _read(item: Item) -> Any:
    """What it is now; a job may have broken it."""
    try:
        return item.read()
    except Exception:  # noqa: BLE001 (a job's own objects may be in its place)
        return _UNREADABLE


def _is_as(before: Any, item: Item) -> bool:
    """Whether nothing has changed it."""
    now = _read(item)
    if now is _UNREADABLE:
        return False
    try:
        return _same_loggers(now, before) if item.write is _set_loggers else bool(now == before)
    except Exception:  # noqa: BLE001 (as above)
        return False
