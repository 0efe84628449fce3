"""What the messages in dead-letter queues say: letters, and the queues where they lie.

SQS moves a message there as it is, after too many receives. A worker wraps the message that it sets
aside, and says why: `messages.dead_letter_body`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Final, Self

from remotejob.domain.priority import Lane
from remotejob.jobs.messaging.messages import BadMessage, Pending
from remotejob.ports import Address, Channel, Installation, Received

LONGEST_BODY: Final = 15_000
"""Characters of a message that a letter holds. In ASCII a character has up to six bytes, and a
request 1 MiB."""

_EMPTY_ANSWERS: Final = 3
"""Empty answers in a row until a queue counts as read: a short poll asks only some of SQS's
servers. Source: Amazon SQS Developer Guide, "Amazon SQS short and long polling"."""

_LANES: Final = frozenset(lane.value for lane in Lane)

GIVEN_UP_BY_QUEUE: Final = "it was received too often, and no worker could handle it"
"""Why SQS itself moved a pending message."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SetAside:
    """A message that a worker or a function moved here, and why."""

    reason: str
    origin: str
    """The channel it came from, as the letter says."""
    body: str
    """The message; cut, if it was very long."""

    @classmethod
    def read(cls, letter: str) -> SetAside | None:
        """None for a message that SQS moved."""
        match json_or_none(letter):
            case {"reason": str(reason), "lane": str(origin), "body": str(body)}:
                return cls(reason=reason, origin=origin, body=body)
        return None


def json_or_none(text: str) -> object:
    """What a text says as JSON; None if it is none."""
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class PendingLetter:
    """A letter from the dead-letter queue of a job queue's lanes."""

    reason: str
    body: str
    """The message as it was on the lane; cut, if it was very long."""
    lane: Channel | None
    """Where it came from, as a worker says; None if SQS moved it."""
    pending: Pending | None
    """None if nobody can understand it."""

    @property
    def moved_by_queue(self) -> bool:
        """Whether it is here because it was received too often."""
        return self.lane is None

    @classmethod
    def read(cls, letter: str) -> PendingLetter:
        """Read any letter; one that nobody can understand has no `pending`."""
        reason, lane, body = GIVEN_UP_BY_QUEUE, None, letter
        said = SetAside.read(letter)
        if said is not None and said.origin in _LANES:
            reason, lane, body = said.reason, Channel(said.origin), said.body
        try:
            return cls(reason=reason, body=body, lane=lane, pending=Pending.read(body))
        except BadMessage as problem:
            reason = str(problem) if lane is None else reason
            return cls(reason=reason, body=body, lane=lane, pending=None)


class Letterbox:
    """The letters of one dead-letter queue, each received once and hidden while it is looked at.

    As a context manager, it puts back what was not deleted: others see it again at once. If this
    process dies, they see it again when the visibility timeout ends.
    """

    def __init__(self, address: Address, installation: Installation, *, hidden: timedelta) -> None:
        self._address = address
        self._messages = installation.messages
        self._hidden = hidden
        self._held: dict[str, str] = {}
        """The receipts of the letters to put back, by id."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        receipts = list(self._held.values())
        # a process that was told to die makes no more requests
        if receipts and (error is None or isinstance(error, Exception)):
            self._messages.hide(self._address, receipts, timedelta(0))

    def batches(self) -> Iterator[list[Received]]:
        """The letters, as many at a time as a request brings; each once, though SQS may bring it
        twice."""
        if self._messages.depth(self._address).visible == 0:
            return
        empty = 0
        while empty < _EMPTY_ANSWERS:
            received = self._messages.receive(
                self._address,
                limit=self._messages.capabilities.batch,
                wait=timedelta(0),
                hidden=self._hidden,
            )
            new = [letter for letter in received if letter.id not in self._held]
            self._held |= {letter.id: letter.receipt for letter in received}
            empty = 0 if new else empty + 1
            if new:
                yield new

    def delete(self, letters: Sequence[Received]) -> None:
        """Delete letters whose purpose is served."""
        if letters:
            self._messages.delete(self._address, [letter.receipt for letter in letters])
        for letter in letters:
            self._held.pop(letter.id, None)
