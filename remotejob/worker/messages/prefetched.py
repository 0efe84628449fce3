"""Prefetched messages: received but not begun, they wait for a job thread or are given back."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from remotejob.outages import OutageLog
from remotejob.ports import Address, Installation, Received
from remotejob.worker.runs.in_flight import InFlight

_NO_WAIT: Final = timedelta(0)
_GIVE_BACK: Final = "give back messages"


class Prefetched:
    """The queue between the lanes' threads and the job threads. Safe across threads."""

    def __init__(self, installation: Installation, runs: InFlight) -> None:
        self._messages = installation.messages
        self._clock = installation.clock
        self._runs = runs
        self._queue: queue.SimpleQueue[Received | None] = queue.SimpleQueue()
        self._waiting_since: dict[str, float] = {}
        self._outages = OutageLog(installation.clock)

    def put(self, messages: Sequence[Received]) -> None:
        for message in messages:
            self._queue.put(message)

    def get(self) -> Received | None:
        """Wait for a message. None ends one job thread: see `end_one`.

        The message may have been given back meanwhile: then `InFlight.begin` returns False.
        """
        return self._queue.get()

    def end_one(self) -> None:
        """Let one `get` return None, after the messages that wait now."""
        self._queue.put(None)

    def late(self, *, longest: float) -> list[Received]:
        """Messages that have waited longer than so many seconds. For one thread.

        A message counts from the first call that finds it.
        """
        now = self._clock.monotonic()
        waiting = {message.receipt: message for message in self._runs.waiting()}
        since = self._waiting_since
        self._waiting_since = {receipt: since.get(receipt, now) for receipt in waiting}
        return [
            message
            for receipt, message in waiting.items()
            if now - self._waiting_since[receipt] > longest
        ]

    def give_back(self, messages: Sequence[Received]) -> int:
        """Make messages visible again, except those that have begun; return how many."""
        waiting = [message for message in messages if self._runs.begin(message)]
        self.refuse(waiting)
        return len(waiting)

    def refuse(self, messages: Sequence[Received]) -> None:
        """Make messages visible again that nobody here has waited with."""
        by_address: dict[Address, list[str]] = {}
        for message in messages:
            by_address.setdefault(message.address, []).append(message.receipt)
        for address, receipts in by_address.items():
            try:
                self._messages.hide(address, receipts, _NO_WAIT)
                self._outages.over(_GIVE_BACK)
            except Exception as problem:  # noqa: BLE001 (they reappear when their lease ends)
                self._outages.failed(_GIVE_BACK, problem, lane=str(address))

    def give_back_all(self) -> int:
        return self.give_back(self._runs.waiting())
