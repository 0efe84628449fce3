"""Reads the dead-letter queues of the pending lanes, so that no job sits there unseen.

Each queue is looked at every ten minutes: its count first, which is one cheap request and mostly
all. Fifty queues cost about 220,000 requests a month, nine cents.
Source: Amazon SQS pricing, $0.40 for a million requests.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from remotejob.jobs.coordination.given_up import Fate, Seen, see_to
from remotejob.jobs.messaging.dead_letters import Letterbox
from remotejob.jobs.scheduler.lapsed import Deadline, never
from remotejob.ports import Address, Channel, Installation, Received

log = logging.getLogger(__name__)

EVERY: Final = timedelta(minutes=10)
"""How often each queue is looked at. A message takes most of a day to get there."""

MOST_KEPT: Final = 100
"""Letters of a queue that stay where they are and are read in one pass."""

_HIDDEN: Final = timedelta(minutes=5)
"""Longer than a pass may take."""

_COUNTED_AS: Final = {
    Fate.SENT: "letters sent again",
    Fate.ENDED: "letters of ended jobs",
    Fate.FAILED: "jobs given up",
    Fate.NEEDLESS: "letters not needed",
    Fate.LATER: "letters for later",
    Fate.KEPT: "letters kept",
}


def read_dead_letters(
    installation: Installation,
    *,
    queues: Iterable[str] | None = None,
    time_is_up: Deadline = never,
) -> Counter[str]:
    """Read the letters of these queues, by default of all; count what became of them."""
    counts: Counter[str] = Counter()
    for queue in installation.queues if queues is None else queues:
        if time_is_up():
            break
        try:
            counts += _read_queue(queue, installation, time_is_up)
        except Exception:
            # the other queues have their turn; its letters come back
            log.exception("dead letters not read", extra={"queue": queue})
            counts["dead letters not read"] += 1
    return counts


def queues_in_turn(installation: Installation) -> list[str]:
    """The queues to look at in this minute: each has one of ten."""
    minutes = EVERY // timedelta(minutes=1)
    turn = installation.clock.now_ms() // 60_000 % minutes
    return sorted(installation.queues)[turn::minutes]


def _read_queue(queue: str, installation: Installation, time_is_up: Deadline) -> Counter[str]:
    counts: Counter[str] = Counter()
    address = Address(queue, Channel.DEAD_LETTER)
    with Letterbox(address, installation, hidden=_HIDDEN) as letterbox:
        for letters in letterbox.batches():
            seen = [(letter, _seen(letter, installation)) for letter in letters]
            # what a pass does not reach is still there for the next one
            letterbox.delete([letter for letter, found in seen if found.fate.served])
            counts += Counter(_COUNTED_AS[found.fate] for _, found in seen)
            stays = counts[_COUNTED_AS[Fate.KEPT]] + counts[_COUNTED_AS[Fate.LATER]]
            if stays >= MOST_KEPT or time_is_up():
                break
    return counts


def _seen(letter: Received, installation: Installation) -> Seen:
    try:
        return see_to(letter, installation)
    except Exception:
        # one letter must not hold back the others
        log.exception("dead letter not seen to", extra={"queue": letter.address.queue})
        return Seen(Fate.LATER, "it could not be seen to")
