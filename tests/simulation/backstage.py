"""What only a test may do to the queues."""

from __future__ import annotations

from typing import Protocol

from remotejob.backends.memory import MemoryMessages
from remotejob.ports import Address


class Backstage(Protocol):
    """What only a test may see of the queues."""

    def bodies(self, address: Address) -> list[str]: ...
    def lose(self, address: Address, which: int) -> str:
        """Take a message away; return what it said."""
        ...


class MemoryBackstage:
    """Of the queues in memory."""

    def __init__(self, messages: MemoryMessages) -> None:
        self._messages = messages

    def bodies(self, address: Address) -> list[str]:
        return self._messages.bodies(address)

    def lose(self, address: Address, which: int) -> str:
        queue = self._messages._queues[address]
        return queue.pop(sorted(queue)[which]).body
