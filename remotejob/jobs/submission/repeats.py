"""Makes jobs from others: the successor of a repeating job, and reruns."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from remotejob.domain.check_times import first_look
from remotejob.domain.errors import InvalidData, JobNotFound
from remotejob.domain.events import Event
from remotejob.domain.ids import new_job_id
from remotejob.domain.marks import Attention, attention_key
from remotejob.domain.record import JobRecord
from remotejob.domain.repeat import Repeat
from remotejob.domain.states import Command, State, check
from remotejob.domain.text import shown
from remotejob.domain.times import check_timedelta, from_ms, to_ms
from remotejob.jobs.content import payloads
from remotejob.jobs.content.input_files import data_key
from remotejob.jobs.messaging.send import send_for
from remotejob.jobs.submission import cron
from remotejob.jobs.submission.submission import check_kept
from remotejob.ports import Area, Installation


def successor(record: JobRecord, installation: Installation) -> JobRecord | None:
    """The job that repeats one completing now, or None if that was the last."""
    if record.repeat_json is None:
        return None
    repeat = Repeat.from_json(record.repeat_json)
    due = cron.next_due(repeat, after=from_ms(installation.clock.now_ms()))
    if due is None:
        return None
    return _made_from(record, cron.after_run(repeat), due, installation)


def rerun(
    job_id: str,
    installation: Installation,
    *,
    repeat: Repeat | None = None,
    wait: timedelta = timedelta(0),
) -> JobRecord:
    """Make a new job like one that completed; it repeats only if `repeat` is given.

    Raises: JobNotFound; CommandRefused, unless it is completed; InvalidData, also when its file
    expires before `wait` is over; FileNotFoundError, when its data was too long for the record and
    has expired.
    Source: job-collection, `job.rerun`.
    """
    if not timedelta(0) <= check_timedelta("wait", wait) <= timedelta(days=365):
        raise InvalidData(f"wait={shown(wait)}: use 0 to 365 days")
    if repeat is not None:
        cron.check(repeat)
    record = installation.store.get(job_id)
    if record is None:
        raise JobNotFound(job_id)
    check(Command.RERUN, job_id=job_id, state=record.state)
    due = from_ms(installation.clock.now_ms()) + wait
    again = _made_from(record, repeat, due, installation)
    if again.input_json is not None or again.data_ref is not None:
        check_kept(again, repeat, installation)
    again = _with_own_data(again, installation)
    installation.store.put_new(again)
    installation.hooks.tell(Event.CREATED, again, installation)
    send_for([again], installation)
    return again


def _with_own_data(again: JobRecord, installation: Installation) -> JobRecord:
    """Give it its own copy of long data: removing the other job deletes the original."""
    if again.data_ref is None:
        return again
    files = installation.files
    text = payloads.load_text(files, Area.INPUT, None, again.data_ref)
    key = data_key(again.id)
    return replace(again, data_ref=payloads.store_text(files, Area.INPUT, key, text or ""))


def _made_from(
    record: JobRecord, repeat: Repeat | None, due: datetime, installation: Installation
) -> JobRecord:
    now = installation.clock.now_ms()
    job_id, due_ms = new_job_id(now, installation.entropy), to_ms(due)
    # as with any submitted job, its message is sent now or the scheduler sends it in time
    look = first_look(due_ms, now_ms=now, max_delay=installation.messages.capabilities.max_delay)
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
        retry_json=_retry_policy(record, repeat),
        data_json=record.data_json,
        data_ref=record.data_ref,
        input_json=record.input_json,
        resource=record.resource,
        tenant=record.tenant,
        tenant_limit=record.tenant_limit,
        repeat_json=None if repeat is None else repeat.to_json(),
        origin_id=record.id,
    )


def _retry_policy(record: JobRecord, repeat: Repeat | None) -> str | None:
    """The policy with the repeat's `until`: the first run's would leave later runs no retries.

    Source: job-collection, `until` of `job.retry`.
    """
    retry = record.retry
    if retry is None or retry.until is None:
        return record.retry_json
    return replace(retry, until=None if repeat is None else repeat.until).to_json()
