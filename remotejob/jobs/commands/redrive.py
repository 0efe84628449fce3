"""Sends dead letters again, or discards them, as somebody asks.

A pending message is sent as its job's record asks for it, as the scheduler does. Others go back to
the queue they came from. Each is sent first and deleted then: after a crash in between there are
two, and two are as good as one. SQS's own move task would do neither with the records.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from remotejob.jobs.coordination.consequences import send_each
from remotejob.jobs.coordination.given_up import Fate, Seen, see_to
from remotejob.jobs.messaging.dead_letters import LONGEST_BODY, Letterbox
from remotejob.jobs.messaging.letters import ORIGINS, Letter, LetterKind, addresses, letter_of
from remotejob.ports import Address, Channel, Installation, Outgoing, Received

_HIDDEN: Final = timedelta(minutes=2)
"""Longer than a batch takes."""

_CUT: Final = "its message was too long for a letter, and is cut"


@dataclass(frozen=True, kw_only=True, slots=True)
class Redriven:
    """What became of a letter that was to be sent again, or discarded."""

    letter: Letter
    done: bool
    """Whether the letter is gone; otherwise it is still there."""
    what: str
    """What was done, or why nothing was."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """Which letters are meant: those that all the given values name."""

    queue: str | None = None
    kind: LetterKind | None = None
    jobs: frozenset[str] = frozenset()
    messages: frozenset[str] = frozenset()

    def names(self, letter: Letter) -> bool:
        return not (
            (self.jobs and letter.job_id not in self.jobs)
            or (self.messages and letter.id not in self.messages)
        )


def redrive(chosen: Chosen, installation: Installation) -> Iterator[Redriven]:
    """Send letters again, ten at a time; those that nobody could handle are left.

    Raises: boto3's errors, when AWS cannot be reached. What was done by then is done.
    """
    yield from _each(chosen, installation, _Redrive(installation).act)


def discard(chosen: Chosen, installation: Installation) -> Iterator[Redriven]:
    """Delete letters. The job of a pending message is seen to first, as far as it can be.

    Raises: as `redrive`.
    """
    yield from _each(chosen, installation, _Discard(installation).act)


_Act = Callable[[list[tuple[Received, Letter]]], dict[str, Redriven]]
"""Handles letters of one dead-letter queue; what became of each, by id."""


def _each(chosen: Chosen, installation: Installation, act: _Act) -> Iterator[Redriven]:
    for address in addresses(installation, queue=chosen.queue, kind=chosen.kind):
        with Letterbox(address, installation, hidden=_HIDDEN) as letterbox:
            for batch in letterbox.batches():
                named = [
                    (message, letter)
                    for message in batch
                    if chosen.names(letter := letter_of(message))
                ]
                if not named:
                    continue
                outcomes = act(named)
                letterbox.delete([one for one, _ in named if outcomes[one.id].done])
                yield from outcomes.values()


class _Redrive:
    def __init__(self, installation: Installation) -> None:
        self._installation = installation

    def act(self, letters: list[tuple[Received, Letter]]) -> dict[str, Redriven]:
        outcomes: dict[str, Redriven] = {}
        moves: defaultdict[Address, list[Letter]] = defaultdict(list)
        for message, letter in letters:
            if letter.kind is LetterKind.PENDING:
                outcomes[letter.id] = _seen(
                    letter, see_to(message, self._installation, by_hand=True)
                )
            elif len(letter.body) >= LONGEST_BODY and letter.body != message.body:
                outcomes[letter.id] = Redriven(letter=letter, done=False, what=_CUT)
            else:
                origin = ORIGINS[Channel(letter.channel)]
                moves[Address(message.address.queue, origin)].append(letter)
        for address, moved in moves.items():
            outgoing = [Outgoing(body=letter.body) for letter in moved]
            sent = send_each(address, moved, outgoing, self._installation)
            for letter in moved:
                done = letter in sent
                what = f"sent to the {address.channel} queue" if done else "it could not be sent"
                outcomes[letter.id] = Redriven(letter=letter, done=done, what=what)
        return outcomes


class _Discard:
    def __init__(self, installation: Installation) -> None:
        self._installation = installation

    def act(self, letters: list[tuple[Received, Letter]]) -> dict[str, Redriven]:
        return {letter.id: self._one(message, letter) for message, letter in letters}

    def _one(self, message: Received, letter: Letter) -> Redriven:
        if letter.kind is LetterKind.PENDING:
            seen = see_to(message, self._installation, by_hand=True)
            if seen.fate is not Fate.KEPT:
                return _seen(letter, seen)
        return Redriven(letter=letter, done=True, what="discarded")


def _seen(letter: Letter, seen: Seen) -> Redriven:
    return Redriven(letter=letter, done=seen.fate.served, what=f"{seen.fate}: {seen.why}")
