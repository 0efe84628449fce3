"""Waits until a worker runs nothing else, for a job that must run alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from remotejob.ports import Installation, Received
from remotejob.worker.lifecycle.company import Company
from remotejob.worker.lifecycle.polling import Polling

_DOUBLED: Final = 6
"""How often to double the time that a job may wait, from one lease: with the default lease up to an
hour, so that it meets the end of long jobs."""

_LONGEST: Final = timedelta(hours=1)

_NO_WAIT: Final = timedelta(0)


class Alone:
    """Lets the job threads of one worker run jobs alone. Safe across threads."""

    def __init__(
        self,
        installation: Installation,
        company: Company,
        polling: Polling,
        *,
        give_back: Callable[[], None],
    ) -> None:
        """`give_back` returns the messages that have not begun, without waiting for it."""
        self._clock = installation.clock
        self._messages = installation.messages
        self._lease = installation.lease
        self._company = company
        self._polling = polling
        self._give_back = give_back
        self._rests_until = 0.0
        """After waiting in vain the worker serves others for as long: a task that never returns
        would otherwise keep it from all work, with several jobs that must be alone."""

    @contextmanager
    def with_nothing_beside(self, message: Received) -> Iterator[bool]:
        """Whether nothing else runs inside; False if the others take too long, or the worker stops.

        Keeps the message hidden while it waits. The caller is in `Company.together`.
        """
        if self._clock.monotonic() < self._rests_until:
            yield False
            return
        self._polling.pause()
        try:
            self._give_back()
            with self._company.wanting_to_be_alone():
                yield self._wait(message)
        finally:
            self._polling.resume()

    @property
    def next_try(self) -> timedelta:
        """How long to hide a message that waited in vain: not at all once the worker stops."""
        return _NO_WAIT if self._company.closed else self._lease

    def _wait(self, message: Received) -> bool:
        longest = min(_LONGEST, self._lease * 2 ** min(message.receives, _DOUBLED))
        end = self._clock.monotonic() + longest.total_seconds()
        while not self._company.wait(self._lease.total_seconds() / 3):
            if self._company.closed or self._clock.monotonic() >= end:
                self._rests_until = self._clock.monotonic() + longest.total_seconds()
                return False
            self._messages.hide(message.address, [message.receipt], self._lease)
        return True
