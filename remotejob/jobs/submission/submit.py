"""Submit: from what a creator asks for to a stored record and a sent message.

Everything is checked before the first request. Then the input goes to S3, the record to the
table, the message to its lane, in this order: a crash between two of them leaves a file without a
job, which its lifecycle rule removes, or a job without a message, which the sweep sends for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Final

from remotejob import tracing
from remotejob.domain.errors import (
    AccessProblem,
    InvalidBody,
    PartlySubmitted,
    QueueUnavailable,
    StoreUnavailable,
)
from remotejob.domain.events import Event
from remotejob.domain.record import InputFile, JobRecord
from remotejob.domain.states import State
from remotejob.domain.transactions import put_record
from remotejob.jobs.content import payloads
from remotejob.jobs.coordination.dependencies import not_ended, store_dependent
from remotejob.jobs.messaging.send import send_for
from remotejob.jobs.submission.idempotency import job_under, take_key
from remotejob.jobs.submission.submission import Body, Checked, Submission, check
from remotejob.names import INPUT_PREFIX_SUBMITTED
from remotejob.ports import Area, Installation, QueueDescription
from remotejob.tracing import Trace

RECORDS_AT_A_TIME: Final = 500
_TRIES: Final = 5


def submit(
    submission: Submission, *, queue: QueueDescription, installation: Installation
) -> JobRecord:
    """Make one job. It will run once this has returned.

    Raises: InvalidInput, before anything is written; QueueUnavailable, when the record is stored
    but the message was not taken: the sweep will send it.
    """
    checked = check(submission, queue=queue, installation=installation)
    with tracing.submitting(queue=queue.name, tasks={submission.task}) as span:
        record = _submit(checked, installation, span.trace)
        span.made(record.id)
    return record


def _submit(checked: Checked, installation: Installation, trace: Trace | None) -> JobRecord:
    if _by_itself(checked):
        record = _store_by_itself(checked, installation)
    else:
        record = _store_files(checked, installation)
        # an answer that was lost makes botocore store again, which our own record refuses: fresh
        # ids belong to nobody else, so a refusal means it is stored
        installation.store.put_new(record)
    if record.id == checked.record.id:
        # else it was there before, under the same key
        installation.hooks.tell(Event.CREATED, record, installation)
    try:
        send_for(_unclaimed([record]), installation, trace=trace)
    except Exception as problem:
        raise QueueUnavailable(
            f"job {record.id} is stored and its message was not taken ({problem}); do not submit "
            "it again: the sweep will send for it within hours"
        ) from problem
    return record


def submit_many(
    submissions: Sequence[Submission], *, queue: QueueDescription, installation: Installation
) -> list[JobRecord]:
    """Make many jobs, 25 records and ten messages to a request.

    Raises: InvalidInput, before anything is written, naming the first that is wrong;
    AccessProblem, when nothing was stored for want of permission; PartlySubmitted, when something
    else failed, or later: it says which jobs will run.
    """
    checked = [
        check(submission, queue=queue, installation=installation) for submission in submissions
    ]
    tasks = {one.record.task for one in checked}
    with tracing.submitting(queue=queue.name, tasks=tasks, jobs=len(checked)) as span:
        return _submit_many(checked, installation, span.trace)


def _submit_many(
    checked: Sequence[Checked], installation: Installation, trace: Trace | None
) -> list[JobRecord]:
    stored: list[JobRecord] = []
    refused: list[Submission] = []
    cause: Exception | None = None
    for start in range(0, len(checked), RECORDS_AT_A_TIME):
        page = checked[start : start + RECORDS_AT_A_TIME]
        made, cause = submit_page(page, installation, trace=trace)
        stored += [made[number] for number in sorted(made)]
        refused += [one.submission for number, one in enumerate(page) if number not in made]
        if cause is not None:
            refused += [one.submission for one in checked[start + RECORDS_AT_A_TIME :]]
            break
    if isinstance(cause, AccessProblem) and not stored:
        raise cause
    if refused or cause is not None:
        why = "" if cause is None else f" ({type(cause).__name__}: {cause})"
        raise PartlySubmitted(
            f"{len(stored)} jobs were submitted, {len(refused)} were not{why}; "
            "submit those in `refused` again",
            stored=[record.id for record in stored],
            refused=refused,
        ) from cause
    return stored


def submit_page(
    page: Sequence[Checked], installation: Installation, *, trace: Trace | None = None
) -> tuple[dict[int, JobRecord], Exception | None]:
    """Store jobs and send for them; those that are stored, by their numbers, and what went wrong.

    The messages carry `trace`. Nothing is raised: those that are stored will run, whatever befell
    the others.
    """
    made, cause = _store_page(page, installation)
    fresh = [made[number] for number in sorted(made)]
    for number in sorted(made):
        if made[number].id == page[number].record.id:
            installation.hooks.tell(Event.CREATED, made[number], installation)
    try:
        send_for(_unclaimed(fresh), installation, trace=trace)
    except Exception as problem:  # noqa: BLE001 (they are stored: the sweep will send for them)
        cause = cause or problem
    return made, cause


def _store_page(
    page: Sequence[Checked], installation: Installation
) -> tuple[dict[int, JobRecord], Exception | None]:
    """Store jobs; those that are stored, by their numbers, and what went wrong with the others."""
    made: dict[int, JobRecord] = {}
    records: dict[int, JobRecord] = {}
    try:
        for number, one in enumerate(page):
            if _by_itself(one):
                made[number] = _store_by_itself(one, installation)
            else:
                records[number] = _store_files(one, installation)
        unstored = set(installation.store.put_fresh(list(records.values())))
    except Exception as problem:  # noqa: BLE001 (whatever it was, find out what is stored)
        ids = [record.id for record in records.values()]
        there = {record.id for record in installation.store.get_many(ids)}
        found = {number: one for number, one in records.items() if one.id in there}
        return {**made, **found}, problem
    kept = {number: one for number, one in records.items() if one.id not in unstored}
    cause = None
    if unstored:
        cause = StoreUnavailable(
            f"the table left out {len(unstored)} of {len(records)} records each time it was asked; "
            "try again later"
        )
    return {**made, **kept}, cause


def _unclaimed(records: Sequence[JobRecord]) -> list[JobRecord]:
    """Without those that were there before, under the same key, and have begun or ended."""
    return [record for record in records if record.state in (State.READY, State.WAITING)]


def _by_itself(checked: Checked) -> bool:
    """Whether it is stored in a transaction of its own."""
    return bool(checked.depends) or checked.submission.idempotency_key is not None


def _store_by_itself(checked: Checked, installation: Installation) -> JobRecord:
    """Store a job with its key and its edges; or find the one that has the key.

    Raises: DependencyEnded.
    """
    submission, queue = checked.submission, checked.record.queue
    key, record = submission.idempotency_key, None
    for _ in range(_TRIES):
        gone, others = "", []
        if key is not None:
            there, gone = job_under(key, queue, installation)
            if there is not None:
                return there
        if record is None:
            if checked.body is not None or checked.data_text is not None:
                # before a file is sent that nobody would work on
                not_ended(checked.depends, installation)
            record = _store_files(checked, installation)
        if key is not None:
            step = take_key(
                key,
                queue,
                record.id,
                window=submission.idempotency_window,
                gone=gone,
                now_ms=installation.clock.now_ms(),
            )
            others.append(step)
        stored = store_dependent(
            record, checked.depends, installation, storing=put_record, others=others
        )
        if stored is not None:
            return stored
        there = installation.store.get(record.id)
        if there is not None:
            # our own write, whose answer was lost
            return there
    raise StoreUnavailable(f"the key {key!r} changed hands each of {_TRIES} times; submit again")


def input_key(job_id: str, name: str) -> str:
    """Where the input of a submitted job goes; uploads there fire no trigger."""
    return f"{INPUT_PREFIX_SUBMITTED}{job_id}/{name}"


def _store_files(checked: Checked, installation: Installation) -> JobRecord:
    record, files = checked.record, installation.files
    if checked.data_text is not None:
        key = input_key(record.id, "-/data.json")
        payloads.store_text(files, Area.INPUT, key, checked.data_text)
        record = replace(record, data_ref=key)
    if checked.body is None:
        return record
    key = input_key(record.id, checked.filename)
    with _opened(checked.body) as body:
        stored = files.put(Area.INPUT, key, body, content_type=checked.content_type)
    if stored.size == 0:
        # a stream that cannot tell its size beforehand
        files.delete(Area.INPUT, [key])
        raise InvalidBody("body is empty; there is nothing to work on")
    file = InputFile(
        bucket=stored.bucket,
        key=stored.key,
        size=stored.size,
        name=checked.filename,
        version=stored.version,
        etag=stored.etag,
        content_type=checked.content_type,
    )
    return replace(record, input_json=file.to_json())


@contextmanager
def _opened(body: Body) -> Iterator[bytes | BinaryIO]:
    if isinstance(body, str | Path):
        with Path(body).open("rb") as file:
            yield file
    else:
        yield body
