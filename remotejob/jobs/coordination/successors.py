"""The successor of a repeating job, stored in the transaction that records the job's end.

Whatever became of a run, the next one is made, unless its `Repeat` says to stop on failure. Only a
command ends a series, or that its queue is retired: a cancelled job has no successor.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import datetime

from remotejob.domain import missed, run_changes
from remotejob.domain.changes import Change
from remotejob.domain.check_times import first_look
from remotejob.domain.events import Event
from remotejob.domain.history import Action, entered, lapsed
from remotejob.domain.ids import new_job_id
from remotejob.domain.marks import Attention, attention_key
from remotejob.domain.record import JobRecord
from remotejob.domain.repeat import PreviousRun, Repeat
from remotejob.domain.retry import Retry
from remotejob.domain.start_limits import limit_again
from remotejob.domain.states import State
from remotejob.domain.times import from_ms, span_ms, to_ms
from remotejob.domain.transactions import Put, put_record, text
from remotejob.jobs.coordination import cron
from remotejob.jobs.messaging.log_fields import log_fields
from remotejob.names import Field
from remotejob.ports import Installation, Refused, Updated

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """The end of a job: the change that records it, and the job that repeats it, if any."""

    change: Change
    following: JobRecord | None = None

    @property
    def steps(self) -> list[Change | Put]:
        """The steps of a transaction that store both."""
        return [self.change, *([] if self.following is None else [put_record(self.following)])]


def completed(record: JobRecord, change: Change, installation: Installation) -> End:
    """The end of a job that completes.

    Raises: InvalidData, when its schedule can no longer be read.
    """
    now = from_ms(installation.clock.now_ms())
    return _end(record, change, PreviousRun(state=State.COMPLETED, at=now), installation)


def failed(record: JobRecord, change: Change, installation: Installation) -> End:
    """The end of a job that fails for good, or is cancelled because another one failed."""
    if record.repeat_json is None:
        return End(change=change)
    try:
        if Repeat.from_json(record.repeat_json).on_failure == "stop":
            return End(change=change)
        failure = replace(record, errors_json=text(change.set[Field.ERRORS])).errors[-1]
        previous = PreviousRun(
            state=State(text(change.set[Field.STATE])),
            at=from_ms(failure.at_ms),
            error=f"{failure.kind}: {failure.message}",
        )
        return _end(record, change, previous, installation)
    except Exception:
        # the failure must be recorded, even if the schedule can no longer be read
        log.exception("the repeating job gets no successor", extra=log_fields(record))
        return End(change=change)


def store_end(end: End, installation: Installation) -> Updated | Refused:
    """Store the end of a job and its successor: both or neither."""
    store = installation.store
    if end.following is None:
        return store.update(end.change)
    conflict = store.transact(end.steps)
    record = store.get(end.change.job_id)
    return Refused(record) if conflict is not None or record is None else Updated(record)


def expire(record: JobRecord, installation: Installation, *, now_ms: int) -> Updated | Refused:
    """Fail a job whose workers died too often."""
    change = run_changes.expire(record, now_ms=now_ms, skew_ms=span_ms(installation.skew))
    change = lapsed(change, record, actor=installation.actor)
    return _store_failed(record, change, installation)


def miss(
    record: JobRecord, installation: Installation, *, now_ms: int, until_ms: int | None = None
) -> Updated | Refused:
    """Fail a job whose last time to begin is over; `until_ms` is its task's limit, if that is."""
    change = missed.miss(
        record, now_ms=now_ms, skew_ms=span_ms(installation.skew), until_ms=until_ms
    )
    if record.state is State.RUNNING:
        change = lapsed(change, record, actor=installation.actor)
    else:
        change = entered(change, record, Action.EXPIRED, actor=installation.actor)
    return _store_failed(record, change, installation)


def _store_failed(
    record: JobRecord, change: Change, installation: Installation
) -> Updated | Refused:
    end = failed(record, change, installation)
    outcome = store_end(end, installation)
    if isinstance(outcome, Updated):
        tell_of_successor(end, installation)
    return outcome


def tell_of_successor(end: End, installation: Installation) -> None:
    """Notify the hooks that the successor was created."""
    if end.following is not None:
        installation.hooks.tell(Event.CREATED, end.following, installation)


def _end(
    record: JobRecord, change: Change, previous: PreviousRun, installation: Installation
) -> End:
    if record.repeat_json is None or record.next_id is not None:
        # a job that was restarted may have its successor already, and gets no second one
        return End(change=change)
    queue = installation.queues.get(record.queue)
    if queue is not None and queue.retired:
        log.warning("its queue is retired: it is not repeated", extra=log_fields(record))
        return End(change=change)
    repeat = Repeat.from_json(record.repeat_json)
    due = cron.next_due(repeat, after=from_ms(installation.clock.now_ms()))
    if due is None:
        return End(change=change)
    made = made_from(record, cron.after_run(repeat), due, installation)
    return End(
        change=replace(change, set={**change.set, Field.NEXT: made.id}),
        following=replace(made, previous_json=previous.to_json(), generation=record.generation),
    )


def made_from(
    record: JobRecord, repeat: Repeat | None, due: datetime, installation: Installation
) -> JobRecord:
    """A new job like another one."""
    now = installation.clock.now_ms()
    job_id, due_ms = new_job_id(now, installation.entropy), to_ms(due)
    # as with any submitted job, its message is sent now or the scheduler sends it in time
    look = first_look(due_ms, now_ms=now, max_delay=installation.messages.capabilities.max_delay)
    retry_json = _retry_policy(record, repeat)
    retry = None if retry_json is None else Retry.from_json(retry_json)
    limit = limit_again(record, retry, due_ms=due_ms)
    return JobRecord(
        id=job_id,
        state=State.WAITING,
        task=record.task,
        queue=record.queue,
        priority=record.priority,
        created_ms=now,
        updated_ms=now,
        due_ms=due_ms,
        attention=attention_key(Attention.WAITING, job_id),
        attention_ms=look,
        retry_json=retry_json,
        start_by_ms=limit.start_by_ms,
        start_in_ms=limit.start_in_ms,
        crash_limit=record.crash_limit,
        data_json=record.data_json,
        data_ref=record.data_ref,
        input_json=record.input_json,
        resource=record.resource,
        tenant=record.tenant,
        tenant_limit=record.tenant_limit,
        repeat_json=None if repeat is None else repeat.to_json(),
        origin_id=record.id,
        depth=record.depth,
    )


def _retry_policy(record: JobRecord, repeat: Repeat | None) -> str | None:
    """The policy with the repeat's `until`: the first run's would leave later runs no retries.

    Source: job-collection, `until` of `job.retry`.
    """
    retry = record.retry
    if retry is None or retry.until is None:
        return record.retry_json
    return replace(retry, until=None if repeat is None else repeat.until).to_json()
