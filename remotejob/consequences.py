"""What follows from the end of a job, carried out before its message is deleted.

Every step is idempotent: a worker that dies on the way leaves the message, and whoever receives
it next carries them all out again.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from typing import TypeVar

from remotejob.domain.changes import settle
from remotejob.domain.errors import QueueUnavailable
from remotejob.domain.record import JobRecord
from remotejob.domain.times import span_ms
from remotejob.envelope import status_address, status_body
from remotejob.ports import Address, Installation, Outgoing

log = logging.getLogger(__name__)

T = TypeVar("T")


def carry_out(records: Sequence[JobRecord], installation: Installation) -> list[JobRecord]:
    """Carry out the consequences of jobs that have ended; return those that are done with.

    Each is carried out by itself: one that is refused does not hold back the others, and is
    left, with its message or its mark, for another try.
    """
    by_address: defaultdict[Address, list[JobRecord]] = defaultdict(list)
    for record in records:
        by_address[status_address(record)].append(record)
    done: list[JobRecord] = []
    for address, ended in by_address.items():
        told = sent(
            address, ended, [Outgoing(body=status_body(job)) for job in ended], installation
        )
        done += [record for record in told if _settled(record, installation)]
    return done


def sent(
    address: Address, what: Sequence[T], messages: Sequence[Outgoing], installation: Installation
) -> list[T]:
    """Send a message for each of `what`; return those whose message was taken."""
    try:
        installation.messages.send(address, messages)
    except QueueUnavailable as refusal:
        log.error("%s; they will be tried again", refusal)  # noqa: TRY400 (it says everything)
        refused = refusal.refused
        if refused is None:
            return []
        return [one for number, one in enumerate(what) if number not in refused]
    except Exception:
        log.exception("messages not sent; they will be tried again", extra={"queue": address})
        return []
    return list(what)


def _settled(record: JobRecord, installation: Installation) -> bool:
    if record.owed is None:
        return True
    try:
        installation.store.update(settle(record, retention_ms=span_ms(installation.retention)))
    except Exception:
        log.exception("cannot note that nothing is owed", extra={"job": record.id})
        return False
    return True
