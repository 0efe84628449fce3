"""Jobs side by side, or one of them alone.

A job whose next death would be its last runs alone: a death in company may be another's doing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Company:
    """What the job threads of one worker agree on. Safe across threads.

    While a thread waits to be alone, or is, no other begins.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._together = 0
        self._wanting = 0
        self._alone: int | None = None
        """The thread that is alone."""
        self._closed = False

    @contextmanager
    def together(self) -> Iterator[None]:
        """Be one of many; wait while another is alone, or wants to be."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self._wanting)
            self._together += 1
        try:
            yield
        finally:
            with self._changed:
                self._together -= 1
                if self._wanting:
                    self._changed.notify_all()

    @contextmanager
    def wanting_to_be_alone(self) -> Iterator[None]:
        """Step out of `together`, and keep others from beginning; then call `wait`."""
        with self._changed:
            self._together -= 1
            self._wanting += 1
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._together += 1
                self._wanting -= 1
                if self.is_alone():
                    self._alone = None
                self._changed.notify_all()

    def wait(self, seconds: float) -> bool:
        """Wait so long for all others to end; return whether this thread is alone."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._is_free(), timeout=seconds)
            if self._is_free() and not self._closed:
                self._alone = threading.get_ident()
            return self.is_alone()

    def is_alone(self) -> bool:
        """Whether this thread is alone."""
        return self._alone == threading.get_ident()

    def close(self) -> None:
        """Let all threads go on: the worker stops, and they begin nothing more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        with self._changed:
            return self._closed

    def _is_free(self) -> bool:
        return not self._together and self._alone is None
