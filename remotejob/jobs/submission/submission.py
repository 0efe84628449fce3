"""The submission of a job, and all checks on it."""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, Final

from remotejob.domain.check_times import first_look
from remotejob.domain.dependencies import ANTECEDENTS_AT_MOST
from remotejob.domain.errors import InvalidBody, InvalidData, UnknownTask
from remotejob.domain.ids import is_job_id, new_job_id
from remotejob.domain.marks import Attention, attention_key
from remotejob.domain.name_rules import check_file_name, check_resource, check_tenant
from remotejob.domain.priority import Priority
from remotejob.domain.record import InputFile, JobRecord
from remotejob.domain.repeat import Repeat
from remotejob.domain.retry import Retry
from remotejob.domain.states import State
from remotejob.domain.times import check_moment, check_timedelta, from_ms, span_ms, to_ms
from remotejob.jobs.content import payloads
from remotejob.jobs.content.bodies import Body, is_binary, not_a_body
from remotejob.jobs.content.input_files import UNNAMED
from remotejob.jobs.content.view import JobView
from remotejob.jobs.coordination.cron import check as check_repeat
from remotejob.jobs.coordination.cron import next_due
from remotejob.jobs.submission.idempotency import check_idempotency
from remotejob.ports import Installation, QueueDescription

_LARGEST_BODY: Final = 5 * 1024**4
"""Source: Amazon S3, "Uploading objects": 5 TiB at most."""

_LARGEST_PRIORITY: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Submission:
    """A job to submit: `Submission("thumbnail", body="cat.jpg")`."""

    task: str
    _: KW_ONLY
    data: Any = None
    """Anything JSON can represent."""
    body: Body | None = None
    filename: str | None = None
    """Name of the input; by default the path's own name, or `input`."""
    content_type: str | None = None
    """Type of the input; by default guessed from its name."""
    retry: Retry | None = None
    """By default the task's own policy."""
    priority: int = 0
    """A `Priority` or any whole number; smaller runs sooner."""
    delay: timedelta | None = None
    after: datetime | None = None
    """Run no earlier than this. Give this or `delay`, not both."""
    depends: Sequence[str | JobView] = ()
    """Jobs that must complete first. If one fails or is cancelled, this job is cancelled."""
    resource: str | None = None
    """Only one job of a resource runs at a time, across all queues."""
    tenant: str | None = None
    """The tenant it belongs to. Tenants share a queue fairly and may be capped (`tenant_limit`)."""
    repeat: Repeat | None = None
    """Run again each time it ends."""
    idempotency_key: str | None = None
    """The same key again within the window returns its job instead of making another."""
    idempotency_window: timedelta = timedelta(days=1)
    batch: str | None = None
    """Set by `map`."""
    origin: str | None = None
    """The job that `rerun` or `replay` made this one from."""
    input: InputFile | None = None
    """Instead of a body: a file that is already in one of the system's buckets."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """A submission that passed all checks."""

    submission: Submission
    record: JobRecord
    depends: tuple[str, ...]
    data_text: str | None
    """Data too long for the record."""
    body: Body | None
    filename: str
    content_type: str | None


def check(
    submission: Submission, *, queue: QueueDescription, installation: Installation
) -> Checked:
    """Check everything that can be checked without a request.

    Raises: InvalidInput.
    """
    if not isinstance(submission, Submission):
        raise InvalidData(
            f"{submission!r} is not a Submission; write Submission({queue.tasks[0]!r}, data=...)"
        )
    if submission.task not in queue.tasks:
        raise UnknownTask(submission.task, known=queue.tasks, queue=queue.name)
    _check_types(submission)
    _check_names(submission, installation)
    data = submission.data
    text = None if data is None else payloads.encode(data, what="data")
    inline = text is None or payloads.fits_inline(text)
    filename = _filename(submission)
    _check_body(submission.body)
    now = installation.clock.now_ms()
    record = JobRecord(
        id=new_job_id(now, installation.entropy),
        state=State.READY,
        task=submission.task,
        queue=queue.name,
        priority=submission.priority,
        created_ms=now,
        updated_ms=now,
        retry_json=None if submission.retry is None else submission.retry.to_json(),
        data_json=text if inline else None,
        input_json=None if submission.input is None else submission.input.to_json(),
        resource=submission.resource,
        tenant=submission.tenant,
        tenant_limit=None if submission.tenant is None else queue.tenant_limit,
        repeat_json=None if submission.repeat is None else submission.repeat.to_json(),
        batch=submission.batch,
        origin_id=submission.origin,
    )
    record = _with_due_time(record, submission, installation)
    if submission.body is not None or submission.input is not None or not inline:
        check_kept(record, submission.repeat, installation)
    return Checked(
        submission=submission,
        record=record,
        depends=_check_antecedents(
            [one if isinstance(one, str) else one.id for one in submission.depends]
        ),
        data_text=None if inline else text,
        body=submission.body,
        filename=filename,
        content_type=submission.content_type or mimetypes.guess_type(filename)[0],
    )


def _check_types(submission: Submission) -> None:
    """Check what Python does not, and a store would refuse too late."""
    priority, delay, after = submission.priority, submission.delay, submission.after
    if not isinstance(priority, int) or isinstance(priority, bool):
        named = ", ".join(f"Priority.{one.name}" for one in Priority)
        raise InvalidData(f"priority={priority!r}: use one of {named}, or a whole number")
    if abs(priority) > _LARGEST_PRIORITY:
        raise InvalidData(f"priority={priority!r}: use a number between ±{_LARGEST_PRIORITY}")
    if delay is not None:
        check_timedelta("delay", delay)
    if after is not None:
        check_moment("after", after)
    if submission.retry is not None and not isinstance(submission.retry, Retry):
        raise InvalidData(f"retry={submission.retry!r}: use Retry, such as Retry(max_attempts=3)")
    if submission.repeat is not None and not isinstance(submission.repeat, Repeat):
        raise InvalidData(
            f"repeat={submission.repeat!r}: use Repeat, such as "
            "Repeat(schedule='every day at 09:30')"
        )
    _check_depends(submission.depends)
    if submission.body is not None and submission.input is not None:
        raise InvalidData("body and input are both given; give one of them")


def _check_depends(depends: object) -> None:
    if isinstance(depends, str | JobView):
        raise InvalidData(f"depends={depends!r}: give a list, [job]")
    if not isinstance(depends, Sequence):
        raise InvalidData(f"depends={depends!r}: give a list of jobs, or of their ids")
    for one in depends:
        if not isinstance(one, str | JobView):
            raise InvalidData(f"depends has {one!r} in it: give jobs, or their ids")


def _check_names(submission: Submission, installation: Installation) -> None:
    if submission.resource is not None:
        check_resource(submission.resource)
    if submission.tenant is not None:
        check_tenant(submission.tenant)
    if submission.repeat is not None:
        check_repeat(submission.repeat)
    if submission.idempotency_key is not None:
        check_idempotency(
            submission.idempotency_key,
            submission.idempotency_window,
            retention=installation.retention,
        )


def _with_due_time(
    record: JobRecord, submission: Submission, installation: Installation
) -> JobRecord:
    if submission.delay is not None and submission.after is not None:
        raise InvalidData("delay and after are both given; give one of them")
    now = record.created_ms
    if submission.after is not None:
        due = to_ms(submission.after)
    else:
        due = now + span_ms(submission.delay or timedelta(0))
    if due < now and submission.delay is not None:
        raise InvalidData(f"delay={submission.delay!r} is negative; leave it out to run at once")
    if submission.repeat is not None and submission.repeat.schedule is not None:
        # the schedule sets the first run too. Source: job-collection, `job.save`
        due = _first_scheduled_ms(submission.repeat, max(due, now))
    if due <= now:
        return record
    max_delay = installation.messages.capabilities.max_delay
    return replace(
        record,
        state=State.WAITING,
        due_ms=due,
        attention=attention_key(Attention.WAITING, record.id),
        attention_ms=first_look(due, now_ms=now, max_delay=max_delay),
    )


def check_kept(record: JobRecord, repeat: Repeat | None, installation: Installation) -> None:
    """Check that a job with a file or long data in S3 runs for the last time before they expire.

    Raises: InvalidData.
    """
    latest_ms = installation.clock.now_ms() + span_ms(installation.retention)
    kept = f"inputs are kept for {installation.retention.days} days"
    if record.due_ms is not None and record.due_ms > latest_ms:
        raise InvalidData(
            f"due on {from_ms(record.due_ms):%Y-%m-%d}: {kept}; submit it later, or raise "
            "retention_days in remotejob.toml and deploy"
        )
    if repeat is not None and (repeat.until is None or to_ms(repeat.until) > latest_ms):
        raise InvalidData(
            f"repeat={repeat!r} of a job with a file: {kept}; give the repeat an `until` before "
            "that, or keep the file elsewhere and name it in data"
        )


def _first_scheduled_ms(repeat: Repeat, from_ms_: int) -> int:
    first = next_due(replace(repeat, times=None), after=from_ms(from_ms_))
    if first is None:
        raise InvalidData(
            f"repeat={repeat!r}: its schedule has no run before `until`; give a later one"
        )
    return to_ms(first)


def _filename(submission: Submission) -> str:
    if submission.filename is not None:
        return check_file_name(submission.filename)
    if isinstance(submission.body, str | Path):
        return check_file_name(Path(submission.body).name)
    return UNNAMED


def _check_body(body: Body | None) -> None:
    if body is None:
        return
    if isinstance(body, bytes):
        size: int | None = len(body)
        which = "body"
    elif isinstance(body, str | Path):
        which = f"body {str(body)!r}"
        path = Path(body)
        if not path.exists():
            raise InvalidBody(f"{which}: no such file; check the path")
        if not path.is_file():
            raise InvalidBody(f"{which} is not a file; submit the files in it one by one")
        if not os.access(path, os.R_OK):
            raise InvalidBody(f"{which} cannot be read; check its permissions")
        size = path.stat().st_size
    else:
        which = "body"
        if not is_binary(body):
            raise not_a_body(body)
        size = _size_left(body)
    if size == 0:
        raise InvalidBody(f"{which} is empty; there is nothing to work on")
    if size is not None and size > _LARGEST_BODY:
        raise InvalidBody(f"{which} is {size} bytes; S3 takes 5 TiB at most")


def _check_antecedents(job_ids: Sequence[str]) -> tuple[str, ...]:
    """The ids, without duplicates. Raises: InvalidData."""
    unique = tuple(dict.fromkeys(job_ids))
    for job_id in unique:
        if not is_job_id(job_id):
            raise InvalidData(f"depends on {job_id!r}: give jobs, or their ids as submit gave them")
    if len(unique) > ANTECEDENTS_AT_MOST:
        raise InvalidData(
            f"depends on {len(unique)} jobs: {ANTECEDENTS_AT_MOST} at most; make them a batch with "
            "map(), whose on_complete job runs when all are done"
        )
    return unique


def _size_left(stream: BinaryIO) -> int | None:
    if not stream.seekable():
        return None
    here = stream.tell()
    end = stream.seek(0, os.SEEK_END)
    stream.seek(here)
    return end - here
