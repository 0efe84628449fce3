"""Explains why a job does not run: what it waits for, as far as can be seen from outside.

The record alone does not say that a lock is held, that a queue is long, or that no live worker can
run the job. `own_state` reads the record, `limits` its locks, `queue_state` its queue, `crew` the
workers' signs of life, and `ecs` and `ecs_messages` what ECS says of its service.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from remotejob.domain.record import JobRecord
from remotejob.domain.start_limits import last_start_ms
from remotejob.domain.states import State
from remotejob.domain.text import cut, said_by
from remotejob.jobs.queries.why.clocks import own_clock
from remotejob.jobs.queries.why.crew import THROTTLED, throttled
from remotejob.jobs.queries.why.limits import at_a_limit
from remotejob.jobs.queries.why.own_state import in_its_own_state
from remotejob.jobs.queries.why.queue_state import in_its_queue
from remotejob.jobs.queries.why.reasons import Reason, Why, iso
from remotejob.jobs.queries.workers import workers
from remotejob.ports import Installation

__all__ = ["Reason", "Why", "throttled_by", "unable", "why"]


def why(record: JobRecord, installation: Installation) -> Reason:
    """The first thing that keeps a job from running, or that it runs.

    Raises: boto3's errors, when AWS cannot be reached.
    """
    now_ms = installation.clock.now_ms()
    own = in_its_own_state(record, installation, now_ms=now_ms)
    reason = (
        own_clock(own, record, installation)
        or own
        or at_a_limit(record, installation, now_ms=now_ms)
        or in_its_queue(record, installation, now_ms=now_ms)
    )
    return _with_last_start(reason, record)


def _with_last_start(reason: Reason, record: JobRecord) -> Reason:
    """The reason of a job that has not begun, with until when it may, if there is a limit."""
    last = last_start_ms(record)
    waits = record.state in (State.WAITING, State.READY, State.PAUSED)
    if last is None or not waits or reason.code is Why.TOO_LATE:
        return reason
    return replace(
        reason,
        text=f"{reason.text}; a run may begin until {iso(last)}",
        details={**reason.details, "begins_until": iso(last)},
    )


def throttled_by(problem: Exception) -> Reason | None:
    """The reason that the table could not be read because it is throttled; None for other errors.

    A client for boto3 or ours has retried for some seconds by then.
    """
    said = said_by(problem)
    if not THROTTLED.search(said):
        return None
    return throttled(f"this program was answered {cut(said, 300)}", {"worker": None, "error": said})


def unable(records: Iterable[JobRecord], installation: Installation) -> list[JobRecord]:
    """The jobs that have not ended, do not run, and that no live worker can run."""
    waiting = [one for one in records if not one.terminal and one.state is not State.RUNNING]
    doable = {
        (name, task)
        for name in {record.queue for record in waiting} & set(installation.queues)
        for status in workers(installation, name)
        if status.takes_jobs
        for task in status.abilities
    }
    return [record for record in waiting if (record.queue, record.task) not in doable]
