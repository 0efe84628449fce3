"""Requests made beside: one that is not answered holds up nobody but itself."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Hashable
from typing import Final, Protocol

from remotejob.ports import Clock

log = logging.getLogger(__name__)

AT_A_TIME: Final = 8
_SLOW: Final = 2.0
"""Seconds after which a request is thought slow: another thread takes its place among the eight."""


class Background(Protocol):
    """Has things done, each known by a name, of which one at a time is under way."""

    def do(self, name: Hashable, function: Callable[[], object]) -> bool:
        """False, and nothing is done, while what was begun under that name is not over."""
        ...


class Inline:
    """Does it here and now: for a worker without threads."""

    def do(self, name: Hashable, function: Callable[[], object]) -> bool:  # noqa: ARG002
        function()
        return True


class Threads:
    """Does it in threads, made when they are needed; eight at a time, and not counted among them
    those whose request is slow. There are never more than there are names."""

    def __init__(self, clock: Clock, *, name: str) -> None:
        self._clock = clock
        self._name = name
        self._changed = threading.Condition()
        self._under_way: dict[Hashable, float | None] = {}
        """Since when; None while it waits for a thread."""
        self._waiting: deque[tuple[Hashable, Callable[[], object]]] = deque()
        self._idle = 0
        self._closed = False

    def do(self, name: Hashable, function: Callable[[], object]) -> bool:
        with self._changed:
            # also for those that wait since: what was quick then may be slow by now
            if name in self._under_way:
                self._find_threads()
                return False
            self._under_way[name] = None
            self._waiting.append((name, function))
            self._find_threads()
            return True

    def start(self, function: Callable[[], object]) -> None:
        """Have something done that nobody else begins."""
        self.do(object(), function)

    def close(self) -> None:
        """Let the threads end that have nothing to do; the others when they are done."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _find_threads(self) -> None:
        self._changed.notify(min(self._idle, len(self._waiting)))
        for _ in range(min(len(self._waiting) - self._idle, self._room())):
            self._idle += 1
            # a daemon: a request that hangs must not keep the process from exiting
            threading.Thread(target=self._serve, name=self._name, daemon=True).start()

    def _room(self) -> int:
        slow = self._clock.monotonic() - _SLOW
        quick = sum(since is not None and since > slow for since in self._under_way.values())
        return AT_A_TIME - quick - self._idle

    def _serve(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    # those that took the place of slow ones are not needed for ever
                    if self._closed or self._idle > AT_A_TIME:
                        self._idle -= 1
                        return
                    self._changed.wait()
                self._idle -= 1
                name, function = self._waiting.popleft()
                self._under_way[name] = self._clock.monotonic()
            try:
                function()
            except BaseException:
                # whoever had it done sees to its own errors: this is nobody's
                log.exception("what was done beside failed")
            finally:
                with self._changed:
                    del self._under_way[name]
                    self._idle += 1
