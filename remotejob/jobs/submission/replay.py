"""Replays an ended job as a new one, with the same data and the same version of its input."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from remotejob.domain.errors import CommandRefused, InvalidBody, JobNotFound
from remotejob.domain.record import InputFile, JobRecord
from remotejob.domain.retry import Retry
from remotejob.domain.start_limits import fixed_expiry_ms
from remotejob.domain.states import TERMINAL
from remotejob.domain.text import shown
from remotejob.domain.times import from_ms
from remotejob.jobs.content.input_files import open_input
from remotejob.jobs.content.view import JobView
from remotejob.jobs.submission.submission import Submission, queue_named
from remotejob.jobs.submission.submit import submit
from remotejob.ports import Area, Installation


def replay(job_id: str, installation: Installation, *, queue: str | None = None) -> JobRecord:
    """Make a new job with the data and the input version of one that has ended.

    It keeps priority, retry policy, expiry, crash limit, resource and tenant. Limits of when it may
    begin that are over are left out. It depends on no other job and does not
    repeat.

    Raises: JobNotFound; CommandRefused; UnknownQueue; UnknownTask; InvalidBody, when that version
    has expired; FileUnreadable.
    """
    if queue is not None:
        queue_named(queue, installation)
    record = installation.store.get(job_id)
    if record is None:
        raise JobNotFound(job_id)
    if not record.terminal:
        raise CommandRefused("replay", job_id=job_id, state=record.state, allowed=TERMINAL)
    description = queue_named(record.queue if queue is None else queue, installation)
    submission = Submission(
        task=record.task,
        data=replay_data(record, installation),
        retry=_still_ahead(record.retry, installation),
        expires=_expires_again(record, installation),
        crashes=record.crash_limit,
        priority=record.priority,
        resource=record.resource,
        tenant=record.tenant,
        origin=record.id,
        input=replay_input(record, installation),
    )
    return submit(submission, queue=description, installation=installation)


def _still_ahead(retry: Retry | None, installation: Installation) -> Retry | None:
    """The policy; without its `until`, if that is over."""
    now = from_ms(installation.clock.now_ms())
    over = retry is not None and retry.until is not None and retry.until < now
    return replace(retry, until=None) if retry is not None and over else retry


def _expires_again(record: JobRecord, installation: Installation) -> timedelta | datetime | None:
    """A span counts anew; a fixed time only if it is ahead."""
    if record.start_in_ms is not None:
        return timedelta(milliseconds=record.start_in_ms)
    fixed = fixed_expiry_ms(record)
    ahead = fixed is not None and fixed > installation.clock.now_ms()
    return from_ms(fixed) if fixed is not None and ahead else None


def replay_data(record: JobRecord, installation: Installation) -> Any:
    """Raises: InvalidBody, when it was too long for the record and has expired."""
    try:
        return JobView(record, installation).data
    except FileNotFoundError:
        raise _gone("data", record, installation) from None


def replay_input(record: JobRecord, installation: Installation) -> InputFile | None:
    """The input, if it still exists.

    Raises: InvalidBody, when it is gone or was overwritten; FileUnreadable.
    """
    file, files = record.input, installation.files
    if file is None:
        return None
    try:
        open_input(file, installation).close()
        if file.version is None and file.etag is not None:
            # the bucket keeps no versions, so the key may hold another file by now
            there = files.describe(Area.INPUT, file.key)
            if there.bucket == file.bucket and there.etag != file.etag:
                raise InvalidBody(
                    f"the input of job {record.id}, {shown(file.key)}, was overwritten, and its "
                    "bucket keeps no versions; submit the original file"
                )
    except FileNotFoundError:
        raise _gone(
            f"input {shown(file.key)}, version {file.version},", record, installation
        ) from None
    return file


def _gone(what: str, record: JobRecord, installation: Installation) -> InvalidBody:
    days = installation.retention.days
    return InvalidBody(
        f"the {what} of job {record.id} is gone: inputs are kept for {days} days (retention_days "
        "in remotejob.toml); submit it again as a new job"
    )
