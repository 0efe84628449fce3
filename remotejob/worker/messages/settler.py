"""Settles messages: deletes, replaces, hides or dead-letters them, ten to a request."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final

from remotejob.domain.text import cut
from remotejob.jobs.coordination.consequences import carry_out, send_each
from remotejob.jobs.messaging.dead_letters import LONGEST_BODY
from remotejob.jobs.messaging.log_fields import message_log_fields
from remotejob.jobs.messaging.messages import BadMessage, Pending, dead_letter_body
from remotejob.ports import Address, Channel, Installation, Outgoing, Received
from remotejob.worker.messages.settlements import (
    Conclude,
    DeadLetter,
    Delete,
    Hide,
    Leave,
    Replace,
    Settlement,
)

log = logging.getLogger(__name__)

_LONGEST_REASON: Final = 1000


class Settler:
    """Collects settlements until there are enough for a request.

    If a request fails, its messages stay where they are: they reappear and are settled again.
    """

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._lock = threading.Lock()
        self._waiting: list[tuple[float, Settlement]] = []
        """Each with the time when it was added."""

    def add(self, settlement: Settlement) -> None:
        with self._lock:
            self._waiting.append((self._installation.clock.monotonic(), settlement))

    @property
    def any(self) -> bool:
        """Whether any settlement waits."""
        with self._lock:
            return bool(self._waiting)

    def due(self, *, linger: timedelta) -> bool:
        """Whether to flush: a batch is full, or the oldest settlement has waited long enough."""
        with self._lock:
            full = len(self._waiting) >= self._installation.messages.capabilities.batch
            return full or self._lingered(linger)

    def flush_due(self, *, linger: timedelta) -> None:
        """Carry out full batches only, or all if the oldest has waited long enough."""
        with self._lock:
            count = len(self._waiting)
            if not self._lingered(linger):
                # only full batches: the remaining one or two would take a request of their own
                count -= count % self._installation.messages.capabilities.batch
            due = [settlement for _, settlement in self._waiting[:count]]
            del self._waiting[:count]
        self._carry_out(due)

    def flush(self) -> None:
        """Carry out all settlements."""
        self.flush_due(linger=timedelta(0))

    def _lingered(self, linger: timedelta) -> bool:
        if not self._waiting:
            return False
        oldest, _ = self._waiting[0]
        return self._installation.clock.monotonic() - oldest >= linger.total_seconds()

    def _carry_out(self, waiting: Sequence[Settlement]) -> None:
        if not waiting:
            return
        concluded = [one for one in waiting if isinstance(one, Conclude)]
        by_job = {one.record.id: one.record for one in concluded}
        done = {record.id for record in carry_out(list(by_job.values()), self._installation)}
        gone: list[Received] = [one.message for one in concluded if one.record.id in done]
        gone += [one.message for one in waiting if isinstance(one, Delete)]
        gone += self._replaced([one for one in waiting if isinstance(one, Replace)])
        gone += self._set_aside([one for one in waiting if isinstance(one, DeadLetter)])
        # delete last: a crash before this repeats the consequences, but never loses them
        self._deleted(gone)
        self._hidden([one for one in waiting if isinstance(one, Hide)])
        for one in waiting:
            if isinstance(one, Leave):
                log.info(
                    "message left to the run that owns the job", extra=_log_fields(one.message)
                )

    def _replaced(self, settlements: Sequence[Replace]) -> list[Received]:
        return self._sent(
            [
                (
                    one.message.address,
                    one.message,
                    Outgoing(body=one.pending.body(), delay=one.delay, group=one.message.group),
                )
                for one in settlements
            ]
        )

    def _set_aside(self, settlements: Sequence[DeadLetter]) -> list[Received]:
        for one in settlements:
            log.error(
                "message moved to the dead-letter queue: %s",
                one.reason,
                extra=_log_fields(one.message),
            )
        return self._sent(
            [
                (
                    Address(one.message.address.queue, Channel.DEAD_LETTER),
                    one.message,
                    Outgoing(
                        body=dead_letter_body(
                            reason=cut(one.reason, _LONGEST_REASON),
                            lane=one.message.address.channel,
                            body=cut(one.message.body, LONGEST_BODY),
                        )
                    ),
                )
                for one in settlements
            ]
        )

    def _sent(self, moves: list[tuple[Address, Received, Outgoing]]) -> list[Received]:
        """Send the new messages; return the old ones that may be deleted."""
        by_address: defaultdict[Address, list[tuple[Received, Outgoing]]] = defaultdict(list)
        for address, received, outgoing in moves:
            by_address[address].append((received, outgoing))
        gone: list[Received] = []
        for address, pairs in by_address.items():
            messages = [message for message, _ in pairs]
            outgoing_all = [outgoing for _, outgoing in pairs]
            gone += send_each(address, messages, outgoing_all, self._installation)
        return gone

    def _deleted(self, messages: Sequence[Received]) -> None:
        by_address: defaultdict[Address, list[str]] = defaultdict(list)
        for message in messages:
            by_address[message.address].append(message.receipt)
        for address, receipts in by_address.items():
            _log_failure(partial(self._installation.messages.delete, address, receipts))

    def _hidden(self, settlements: Sequence[Hide]) -> None:
        by_span: defaultdict[tuple[Address, timedelta], list[str]] = defaultdict(list)
        for one in settlements:
            by_span[one.message.address, one.span].append(one.message.receipt)
        for (address, span), receipts in by_span.items():
            _log_failure(partial(self._installation.messages.hide, address, receipts, span))


def _log_failure(request: Callable[[], None]) -> None:
    try:
        request()
    except Exception:
        log.exception("messages not settled; they will reappear and be settled again")


def _log_fields(message: Received) -> dict[str, Any]:
    address = message.address
    fields = {
        "queue": address.queue,
        "lane": address.channel,
        "body": cut(message.body, _LONGEST_REASON),
    }
    with contextlib.suppress(BadMessage):
        return {**message_log_fields(message, Pending.read(message.body)), **fields}
    return fields
