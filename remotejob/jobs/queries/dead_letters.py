"""Lists the letters in the dead-letter queues, and leaves them there."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from itertools import islice
from typing import Final

from remotejob.jobs.messaging.dead_letters import Letterbox
from remotejob.jobs.messaging.letters import Letter, LetterKind, addresses, letter_of
from remotejob.ports import Address, Installation

MOST: Final = 1000
"""Letters of one dead-letter queue that are listed."""

_HIDDEN: Final = timedelta(seconds=30)
"""Hidden so long if this process dies; otherwise, for as long as the reading takes."""

_AT_A_TIME: Final = 8
"""Dead-letter queues read at the same time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetters:
    """The letters in dead-letter queues, oldest first."""

    letters: tuple[Letter, ...]
    hidden: int
    """About how many more there are that somebody else looks at now. Ask again later."""
    complete: bool
    """Whether all that are visible were listed; of each queue, 1,000 at most."""

    def __iter__(self) -> Iterator[Letter]:
        return iter(self.letters)

    def __len__(self) -> int:
        return len(self.letters)


@dataclass(frozen=True, slots=True)
class _Read:
    letters: list[Letter]
    hidden: int


def list_letters(
    installation: Installation, *, queue: str | None = None, kind: LetterKind | None = None
) -> DeadLetters:
    """The letters of one queue, of one kind, or all, with the states of their jobs.

    Each is hidden while this reads, for a second or two, and is visible again afterwards.
    """
    found = addresses(installation, queue=queue, kind=kind)
    with ThreadPoolExecutor(_AT_A_TIME, thread_name_prefix="letters") as pool:
        read = list(pool.map(partial(_read, installation=installation), found))
    letters = sorted((one for part in read for one in part.letters), key=lambda one: one.sent_at)
    return DeadLetters(
        letters=tuple(_with_states(letters, installation)),
        hidden=sum(part.hidden for part in read),
        complete=all(len(part.letters) < MOST for part in read),
    )


def _read(address: Address, installation: Installation) -> _Read:
    hidden = installation.messages.depth(address).hidden
    with Letterbox(address, installation, hidden=_HIDDEN) as letterbox:
        received = (letter for batch in letterbox.batches() for letter in batch)
        return _Read([letter_of(one) for one in islice(received, MOST)], hidden)


def _with_states(letters: list[Letter], installation: Installation) -> Iterator[Letter]:
    ids = sorted({letter.job_id for letter in letters if letter.job_id is not None})
    states = {record.id: record.state for record in installation.store.get_many(ids)}
    for letter in letters:
        state = None if letter.job_id is None else states.get(letter.job_id)
        yield replace(letter, state=state)
