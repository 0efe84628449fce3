"""Background requests: runs them on other threads, so a hung one blocks nothing else."""

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
"""Seconds after which a request counts as slow, and a further thread may start."""


class Background(Protocol):
    """Runs functions under names, one function at a time per name."""

    def do(self, name: Hashable, function: Callable[[], object]) -> bool:
        """Run it. False, without running it, while another function of that name is running."""
        ...


class Inline:
    """Runs functions at once in the calling thread, for a worker without threads."""

    def do(self, name: Hashable, function: Callable[[], object]) -> bool:  # noqa: ARG002
        function()
        return True


class BackgroundThreads:
    """Runs functions on threads, started as needed: eight at a time, not counting slow ones.

    There are never more threads than names.
    """

    def __init__(self, clock: Clock, *, name: str) -> None:
        self._clock = clock
        self._name = name
        self._changed = threading.Condition()
        self._under_way: dict[Hashable, float | None] = {}
        """When each began; None while it waits for a thread."""
        self._waiting: deque[tuple[Hashable, Callable[[], object]]] = deque()
        self._idle = 0
        self._closed = False

    def do(self, name: Hashable, function: Callable[[], object]) -> bool:
        with self._changed:
            # others may still wait for a thread: a request that held one may have become slow
            if name in self._under_way:
                self._find_threads()
                return False
            self._under_way[name] = None
            self._waiting.append((name, function))
            self._find_threads()
            return True

    def start(self, function: Callable[[], object]) -> None:
        """Run a function under a name of its own."""
        self.do(object(), function)

    def close(self) -> None:
        """End the idle threads now, and the others when their function returns."""
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
                    # extra threads, started while others were slow, are no longer needed
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
                # functions handle their own errors, so this one is unexpected
                log.exception("a background request failed")
            finally:
                with self._changed:
                    del self._under_way[name]
                    self._idle += 1
