"""Where the messages of a system are: those of its queues, and those of its uploads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping

from remotejob.domain.errors import SettingsError
from remotejob.ports import QUEUE_CHANNELS, UPLOAD_CHANNELS, Address, Channel


class QueueUrls(Mapping[Address, str]):
    """The URLs of SQS queues. The uploads' are looked up once, and only if somebody asks."""

    def __init__(
        self,
        queues: Mapping[Address, str],
        *,
        read_uploads: Callable[[], Mapping[Channel, str]],
    ) -> None:
        self._queues = queues
        self._read_uploads = read_uploads
        self._uploads: Mapping[Channel, str] | None = None
        self._lock = threading.Lock()

    def __getitem__(self, address: Address) -> str:
        """Raises: KeyError, for a queue that is not deployed; SettingsError, for one that an
        earlier version deployed and did not describe."""
        if address.channel in UPLOAD_CHANNELS:
            return self._of_uploads()[address.channel]
        try:
            return self._queues[address]
        except KeyError:
            others = (Address(address.queue, channel) for channel in QUEUE_CHANNELS)
            if not any(one in self._queues for one in others):
                raise
            raise SettingsError(
                f"the description of queue {address.queue!r} does not say where its "
                f"{address.channel} queue is; deploy the system again with this version"
            ) from None

    def __iter__(self) -> Iterator[Address]:
        return iter(self._queues)

    def __len__(self) -> int:
        return len(self._queues)

    def _of_uploads(self) -> Mapping[Channel, str]:
        with self._lock:
            if self._uploads is None:
                self._uploads = self._read_uploads()
            return self._uploads
