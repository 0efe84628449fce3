"""Keeps the repeats of a task to their current generation.

Two write and then look: who replaces the repeats begins a generation and then looks for outdated
jobs; who makes a job that repeats for ever stores it and then looks at the head. So at least one of
the two finds the other, whoever is first. `docs/adr/0014-repeats-have-generations.md` has the rest.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from remotejob.domain import series
from remotejob.domain.errors import StoreUnavailable
from remotejob.domain.record import JobRecord
from remotejob.domain.series import Head, head_key, is_endless
from remotejob.domain.states import State
from remotejob.domain.transactions import Step
from remotejob.jobs.messaging.log_fields import log_fields
from remotejob.ports import Installation, Updated

log = logging.getLogger(__name__)

TRIES: Final = 50
"""Each try that fails lets another one through, so this many may begin a generation at a time."""

_CANCEL_TRIES: Final = 5


def read_head(queue: str, task: str, installation: Installation) -> Head:
    """The current generation of a task's repeats."""
    return Head.of(queue, task, installation.store.item(head_key(queue, task)))


def in_generation(
    record: JobRecord, installation: Installation, *, replaces: bool = False
) -> tuple[JobRecord, list[Step]]:
    """A job as it is stored, and the steps that go with it, so that it is not outdated at once.

    With `replaces`, it begins a generation, and all that repeated for ever before is outdated.
    """
    if not is_endless(record):
        return record, []
    head = read_head(record.queue, record.task, installation)
    if not replaces:
        return replace(record, generation=head.generation), [head.check()]
    following, step = head.next(now_ms=installation.clock.now_ms())
    return replace(record, generation=following.generation), [step]


def store_in_generation(
    record: JobRecord, storing: Callable[[JobRecord], Step], installation: Installation
) -> bool:
    """Store a job that repeats for ever in the current generation.

    `storing` builds the step that stores it. Returns whether that was not refused.
    """
    for _ in range(TRIES):
        stored, others = in_generation(record, installation)
        conflict = installation.store.transact([storing(stored), *others])
        if conflict is None:
            return True
        if conflict.step == 0:
            return False
    raise changed_hands(record.task)


def begin_generation(queue: str, task: str, installation: Installation) -> Head:
    """Outdate everything that repeats for ever so far."""
    for _ in range(TRIES):
        head = read_head(queue, task, installation)
        following, step = head.next(now_ms=installation.clock.now_ms())
        if installation.store.transact([step]) is None:
            return following
    raise changed_hands(task)


def changed_hands(task: str) -> StoreUnavailable:
    return StoreUnavailable(
        f"the repeats of task {task!r} were replaced on each of {TRIES} tries; try again"
    )


def stop_if_outdated(record: JobRecord, installation: Installation) -> JobRecord | None:
    """Cancel a job if it belongs to an earlier generation; return it if this ended it."""
    if record.terminal or not is_endless(record):
        return None
    head = read_head(record.queue, record.task, installation)
    return stop(record, installation) if head.outdates(record) else None


def stop(record: JobRecord, installation: Installation) -> JobRecord | None:
    """Cancel an outdated job; return it if this ended it."""
    store = installation.store
    current: JobRecord | None = record
    for _ in range(_CANCEL_TRIES):
        if current is None or current.terminal:
            return None
        now = installation.clock.now_ms()
        change = series.cancel_outdated(current, now_ms=now, actor=installation.actor)
        outcome = store.update(change)
        if isinstance(outcome, Updated):
            return outcome.record
        current = outcome.record
    raise StoreUnavailable(f"job {record.id} changed each time it was read to cancel it")


def refuse_outdated_run(record: JobRecord, installation: Installation) -> JobRecord | None:
    """Cancel a job that was just claimed, if it is outdated; return it if this ended it.

    The last resort: others have looked before. So it lets the run begin if the head cannot be read.
    """
    if record.run_id is None or record.state is not State.RUNNING or not is_endless(record):
        return None
    try:
        if not read_head(record.queue, record.task, installation).outdates(record):
            return None
        now = installation.clock.now_ms()
        change = series.cancel_outdated(
            record, now_ms=now, run_id=record.run_id, actor=installation.actor
        )
        outcome = installation.store.update(change)
    except Exception:
        log.exception("cannot tell whether the job was replaced", extra=log_fields(record))
        return None
    if not isinstance(outcome, Updated):
        return None
    log.info("outdated job cancelled instead of run", extra=log_fields(record))
    return outcome.record
