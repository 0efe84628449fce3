"""The submission of a job, and all checks on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

from remotejob.domain.argument_checks import (
    check_flag,
    check_items,
    check_kind,
    check_text,
    check_whole,
    is_a,
    plain_text,
)
from remotejob.domain.chain import next_depth
from remotejob.domain.check_times import first_look
from remotejob.domain.crash_limits import check_crashes
from remotejob.domain.dependencies import ANTECEDENTS_AT_MOST
from remotejob.domain.errors import InvalidData, InvalidName, UnknownQueue, UnknownTask
from remotejob.domain.history import Action, first_line
from remotejob.domain.ids import is_job_id, new_job_id
from remotejob.domain.marks import Attention, attention_key
from remotejob.domain.name_rules import (
    check_batch_id,
    check_file_name,
    check_job_id,
    check_resource,
    check_tenant,
    name_from_disk,
)
from remotejob.domain.priority import Priority, check_priority
from remotejob.domain.record import UNNAMED, InputFile, JobRecord
from remotejob.domain.repeat import Repeat
from remotejob.domain.retry import Retry, check_retry
from remotejob.domain.start_limits import (
    check_expires,
    in_words,
    last_start_ms,
    limit_name,
    start_limit,
)
from remotejob.domain.states import State
from remotejob.domain.text import shown
from remotejob.domain.times import check_moment, check_timedelta, from_ms, span_ms, to_ms
from remotejob.jobs.content import payloads
from remotejob.jobs.content.bodies import LARGEST_BODY, Body, check_body
from remotejob.jobs.content.content_types import check_content_type, guess_content_type
from remotejob.jobs.content.input_files import bucket_refused
from remotejob.jobs.content.view import JobView
from remotejob.jobs.coordination.cron import check as check_repeat
from remotejob.jobs.coordination.cron import next_due
from remotejob.jobs.submission.idempotency import check_idempotency
from remotejob.ports import Installation, QueueDescription

_LONGEST_DELAY: Final = timedelta(days=36_500)


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
    priority: Priority | int | str = Priority.NORMAL
    """A `Priority`, its name such as "high", or any whole number; smaller runs sooner."""
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
    expires: timedelta | datetime | None = None
    """No run begins later: a time, or a span from when the job may begin. A job of which no run
    began by then has failed, with `JobExpired`."""
    crashes: int | None = None
    """How many deaths of its worker the job may survive; 0 for a job that must not run again by
    itself. By default the task's own, or two."""
    idempotency_key: str | None = None
    """The same key again within the window returns its job instead of making another."""
    idempotency_window: timedelta = timedelta(days=1)
    paused: bool = False
    """Store it paused: it runs only once it is resumed."""
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
    problem: str | None = None
    """Why it could never run: refused, unless its key has its job already."""


def check(
    submission: Submission, *, queue: QueueDescription, installation: Installation
) -> Checked:
    """Check everything that can be checked without a request.

    Raises: InvalidInput.
    """
    if not is_a(submission, Submission):
        raise InvalidData(
            f"{shown(submission)} is not a Submission; write Submission({queue.tasks[0]!r}, "
            "data=...)"
        )
    task = check_task(submission.task, queue)
    priority = check_priority(submission.priority)
    _check_types(submission)
    _check_names(submission, installation)
    if submission.input is not None:
        problem = bucket_refused(submission.input.bucket, installation)
        if problem is not None:
            raise InvalidName(problem)
    resource, tenant = submission.resource, submission.tenant
    data = submission.data
    text = None if data is None else payloads.encode_data(data)
    inline = text is None or payloads.fits_inline(text)
    body = None if submission.body is None else check_body(submission.body)
    filename = _filename(submission)
    content_type = check_content_type(submission.content_type)
    now = installation.clock.now_ms()
    record = JobRecord(
        id=new_job_id(now, installation.entropy),
        state=State.READY,
        task=task,
        queue=queue.name,
        priority=priority,
        created_ms=now,
        updated_ms=now,
        retry_json=None if submission.retry is None else submission.retry.to_json(),
        crash_limit=check_crashes(submission.crashes),
        data_json=text if inline else None,
        input_json=None if submission.input is None else submission.input.to_json(),
        resource=None if resource is None else check_resource(resource),
        tenant=None if tenant is None else check_tenant(tenant),
        tenant_limit=None if tenant is None else queue.tenant_limit,
        repeat_json=None if submission.repeat is None else submission.repeat.to_json(),
        depth=next_depth(),
        batch=submission.batch,
        origin_id=submission.origin,
        history=_done_before(submission, now, installation),
    )
    depends = _check_antecedents(submission.depends)
    record = _with_due_time(record, submission, installation)
    record = _with_limit(record, submission, blocked=bool(depends))
    problem = _never_begins(record)
    if problem is not None and submission.idempotency_key is None:
        raise InvalidData(problem)
    if submission.paused:
        record = _paused(record)
    if submission.body is not None or submission.input is not None or not inline:
        check_kept(record, submission.repeat, installation)
    return Checked(
        submission=submission,
        record=record,
        depends=depends,
        data_text=None if inline else text,
        body=body,
        filename=filename,
        content_type=content_type or guess_content_type(filename),
        problem=problem,
    )


def _done_before(
    submission: Submission, now_ms: int, installation: Installation
) -> frozenset[str] | None:
    """What was done to a job by the time it is stored; None for most."""
    line = partial(first_line, at_ms=now_ms, actor=installation.actor)
    if submission.origin is not None:
        return line(Action.REPLAYED, detail=submission.origin)
    return line(Action.PAUSED) if submission.paused else None


def queue_named(name: object, installation: Installation) -> QueueDescription:
    """The queue of this name. Raises: UnknownQueue, which names the known ones."""
    description = installation.queues.get(plain_text(name) or "")
    if description is None:
        raise UnknownQueue(name, known=installation.queues)
    return description


def check_task(task: object, queue: QueueDescription) -> str:
    """The name of a task that the queue runs. Raises: UnknownTask."""
    name = plain_text(task)
    if name is None or name not in queue.tasks:
        raise UnknownTask(task, known=queue.tasks, queue=queue.name)
    return name


def _check_types(submission: Submission) -> None:
    """Check what Python does not, and a store would refuse too late."""
    check_flag("paused", submission.paused)
    if submission.delay is not None:
        check_timedelta("delay", submission.delay)
    if submission.after is not None:
        check_moment("after", submission.after)
    if submission.retry is not None:
        check_retry(submission.retry)
    if submission.repeat is not None:
        check_repeat(submission.repeat)
    if submission.expires is not None:
        check_expires(submission.expires)
    if submission.batch is not None:
        check_batch_id(submission.batch)
    if submission.origin is not None:
        check_job_id(submission.origin)
    if submission.input is not None:
        _check_input(submission.input)
    if submission.body is not None and submission.input is not None:
        raise InvalidData("body and input are both given; give one of them")


def _check_input(file: object) -> None:
    known = check_kind("input", file, InputFile, remedy="use the input of another job, `job.input`")
    for name in ("bucket", "key"):
        check_text(f"input.{name}", getattr(known, name), remedy="use `job.input` of another job")
    for name in ("version", "etag", "content_type"):
        if getattr(known, name) is not None:
            check_text(
                f"input.{name}", getattr(known, name), remedy="use `job.input` of another job"
            )
    check_file_name(known.name)
    check_whole("input.size", known.size, least=0, most=LARGEST_BODY)


def _check_names(submission: Submission, installation: Installation) -> None:
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
    delay = submission.delay
    if delay is not None and not timedelta(0) <= delay <= _LONGEST_DELAY:
        what = "is negative; leave it out to run at once" if delay < timedelta(0) else "is too long"
        raise InvalidData(f"delay={shown(delay)} {what}; use 0 to {_LONGEST_DELAY.days} days")
    now = record.created_ms
    if submission.after is not None:
        due = to_ms(submission.after)
    else:
        due = now + span_ms(delay or timedelta(0))
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


def _with_limit(record: JobRecord, submission: Submission, *, blocked: bool) -> JobRecord:
    limit = start_limit(
        submission.expires,
        submission.retry,
        due_ms=record.due_ms or record.created_ms,
        blocked=blocked,
    )
    return replace(record, start_by_ms=limit.start_by_ms, start_in_ms=limit.start_in_ms)


def _never_begins(record: JobRecord) -> str | None:
    """Why a job could never run: it may only begin before it is due, or in the past."""
    limit_ms = last_start_ms(record)
    due_ms = record.due_ms or record.created_ms
    if limit_ms is None or limit_ms >= due_ms:
        return None
    named = limit_name(record, limit_ms)
    when = "is over" if limit_ms < record.created_ms else f"is before it is due, {in_words(due_ms)}"
    return (
        f"{named}, {in_words(limit_ms)}, {when}: no run could begin; give a later time, or leave "
        "it out"
    )


def _paused(record: JobRecord) -> JobRecord:
    """Paused from its first write on, as `pause` leaves a job."""
    return replace(
        record,
        state=State.PAUSED,
        attention=attention_key(Attention.PAUSED, record.id),
        attention_ms=record.created_ms,
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
            f"repeat={shown(repeat)} of a job with a file: {kept}; give the repeat an `until` "
            "before that, or keep the file elsewhere and name it in data"
        )


def _first_scheduled_ms(repeat: Repeat, from_ms_: int) -> int:
    first = next_due(replace(repeat, times=None), after=from_ms(from_ms_))
    if first is None:
        raise InvalidData(
            f"repeat={shown(repeat)}: its schedule has no run before `until`; give a later one"
        )
    return to_ms(first)


def _filename(submission: Submission) -> str:
    if submission.filename is not None:
        return check_file_name(submission.filename)
    if isinstance(submission.body, str | Path):
        return name_from_disk(Path(submission.body).name) or UNNAMED
    return UNNAMED


def _check_antecedents(depends: object) -> tuple[str, ...]:
    """The ids, without duplicates. Raises: InvalidData."""
    if is_a(depends, str, JobView):
        raise InvalidData(f"depends={shown(depends)}: give a list, [job]")
    # not any iterable: map() checks a submission twice
    if not is_a(depends, Sequence):
        raise InvalidData(f"depends={shown(depends)}: give a list of jobs, or of their ids")
    ids = []
    for one in check_items("depends", depends, remedy="give a list of jobs, or of their ids"):
        job_id = one.id if is_a(one, JobView) else plain_text(one)
        if job_id is None or not is_job_id(job_id):
            raise InvalidData(
                f"depends on {shown(one)}: give jobs, or their ids as submit gave them"
            )
        ids.append(job_id)
    unique = tuple(dict.fromkeys(ids))
    if len(unique) > ANTECEDENTS_AT_MOST:
        raise InvalidData(
            f"depends on {len(unique)} jobs: {ANTECEDENTS_AT_MOST:,} at most; make them a batch "
            "with map(), whose on_complete job runs when all are done"
        )
    return unique
