"""The queues of a deployed system, looked up again when an unknown one is asked for."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Final

from remotejob.backends.aws.system_description import DescribedQueue
from remotejob.domain.errors import RemoteJobError
from remotejob.domain.name_rules import NAME
from remotejob.ports import Address, Clock, QueueDescription

log = logging.getLogger(__name__)

LOOK_AGAIN: Final = timedelta(minutes=1)
"""How long an unknown queue stays unknown: a name that is misspelt in each of a thousand jobs must
not cost a thousand requests."""


class DeployedQueues(Mapping[str, QueueDescription]):
    """The descriptions of a system's queues by name.

    Functions and clients live through deployments: one that meets a queue it does not know reads
    the descriptions again, at most once a minute.
    """

    def __init__(
        self,
        known: Mapping[str, DescribedQueue],
        *,
        clock: Clock,
        read: Callable[[], Mapping[str, DescribedQueue]] | None,
    ) -> None:
        """read: all queues that are deployed now; None to know no more than `known` for ever."""
        self._known = known
        self._clock = clock
        self._read = read
        self._look_again_at = -1.0
        self._lock = threading.Lock()

    @property
    def urls(self) -> Mapping[Address, str]:
        """Where the messages of the queues are, looked up like them."""
        return _Urls(self)

    @property
    def account(self) -> str:
        """Id of the AWS account; empty if no queue names it."""
        return next((queue.account for queue in self._known.values()), "")

    def described(self, name: str) -> DescribedQueue:
        """Raises: KeyError, for a queue that is not deployed."""
        found = self._known.get(name)
        if found is None and self._look_again(name):
            found = self._known.get(name)
        if found is None:
            raise KeyError(name)
        return found

    def all_described(self) -> Iterator[tuple[str, DescribedQueue]]:
        yield from self._known.items()

    def __getitem__(self, name: str) -> QueueDescription:
        return self.described(name).queue

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def _look_again(self, name: str) -> bool:
        if self._read is None or not NAME.fullmatch(name):
            return False
        with self._lock:
            if name in self._known:
                # another thread has just looked
                return True
            now = self._clock.monotonic()
            if now < self._look_again_at:
                return False
            self._look_again_at = now + LOOK_AGAIN.total_seconds()
            try:
                # what was known stays known: a worker may not be allowed to read about others
                self._known = {**self._known, **self._read()}
            except RemoteJobError as problem:
                log.warning("queue %r is not known, and cannot be looked up: %s", name, problem)
                return False
        return True


class _Urls(Mapping[Address, str]):
    def __init__(self, queues: DeployedQueues) -> None:
        self._queues = queues

    def __getitem__(self, address: Address) -> str:
        return self._queues.described(address.queue).urls[address.channel]

    def __iter__(self) -> Iterator[Address]:
        for name, described in self._queues.all_described():
            for channel in described.urls:
                yield Address(name, channel)

    def __len__(self) -> int:
        return sum(len(described.urls) for _, described in self._queues.all_described())
