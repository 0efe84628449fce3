"""Reruns: a new job like one that completed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from remotejob.domain.chain import next_depth
from remotejob.domain.errors import InvalidData, JobNotFound
from remotejob.domain.events import Event
from remotejob.domain.history import Action, first_line
from remotejob.domain.record import JobRecord
from remotejob.domain.repeat import Repeat
from remotejob.domain.series import is_endless
from remotejob.domain.start_limits import LIFTED_MS
from remotejob.domain.states import Command, check
from remotejob.domain.text import shown
from remotejob.domain.times import check_timedelta, from_ms
from remotejob.domain.transactions import put_record
from remotejob.jobs.content import payloads
from remotejob.jobs.content.input_files import data_key
from remotejob.jobs.coordination import cron
from remotejob.jobs.coordination.series import store_in_generation
from remotejob.jobs.coordination.successors import made_from
from remotejob.jobs.messaging.send import send_for
from remotejob.jobs.submission.room import check_room, lanes_of
from remotejob.jobs.submission.submission import check_kept
from remotejob.ports import Area, Installation


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
    again = made_from(record, repeat, due, installation)
    history = first_line(
        Action.RERUN, at_ms=again.created_ms, actor=installation.actor, detail=record.id
    )
    again = replace(again, depth=next_depth(), history=history)
    if again.retry_json is None and again.start_by_ms is None:
        # only workers know the `until` of the task's policy, and whoever runs it again wants it run
        again = replace(again, start_by_ms=LIFTED_MS)
    if again.input_json is not None or again.data_ref is not None:
        check_kept(again, repeat, installation)
    check_room(lanes_of([again], installation), installation)
    again = _with_own_data(again, installation)
    if is_endless(again):
        store_in_generation(again, put_record, installation)
    else:
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
    key = data_key(again.queue, again.id)
    return replace(again, data_ref=payloads.store_text(files, Area.INPUT, key, text or ""))
