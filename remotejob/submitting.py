"""Submit: from what a creator asks for to a stored record and a sent message.

Everything is checked before the first request. Then the input goes to S3, the record to the
table, the message to its lane, in this order: a crash between two of them leaves a file without a
job, which its lifecycle rule removes, or a job without a message, which the sweep sends for.
"""

from __future__ import annotations

import io
import mimetypes
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, Final

from remotejob import payloads
from remotejob.domain.changes import Attention
from remotejob.domain.errors import (
    InvalidBody,
    InvalidData,
    PartlySubmitted,
    QueueUnavailable,
    UnknownTask,
)
from remotejob.domain.ids import new_job_id
from remotejob.domain.naming import check_file_name
from remotejob.domain.record import InputFile, JobRecord, attention_key
from remotejob.domain.retry import Retry
from remotejob.domain.schedule import first_look
from remotejob.domain.states import State
from remotejob.domain.times import from_ms, span_ms, to_ms
from remotejob.envelope import Pending, pending_address
from remotejob.names import INPUT_PREFIX_SUBMITTED
from remotejob.ports import Address, Area, Installation, Outgoing, QueueDescription

Body = Path | str | bytes | BinaryIO
"""The input of a job: a path, its content, or a file open for reading."""

_LARGEST_BODY: Final = 5 * 1024**4
"""Source: Amazon S3, "Uploading objects": 5 TiB at most."""

_RECORDS_AT_A_TIME: Final = 500
_LARGEST_PRIORITY: Final = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """One job to be made."""

    task: str
    data: Any = None
    """Anything JSON can write."""
    body: Body | None = None
    filename: str | None = None
    """Of the input; default the path's own name, or `input`."""
    content_type: str | None = None
    """Of the input; default guessed from the name."""
    retry: Retry | None = None
    """Default: the task's own policy."""
    priority: int = 0
    delay: timedelta | None = None
    after: datetime | None = None
    """Not before this time. Not together with `delay`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Checked:
    """A submission nothing is wrong with."""

    submission: Submission
    record: JobRecord
    data_text: str | None
    """Data too long for the record."""
    body: Body | None
    filename: str
    content_type: str | None


def submit(
    submission: Submission, *, queue: QueueDescription, installation: Installation
) -> JobRecord:
    """Make one job. It will run once this has returned.

    Raises: InvalidInput, before anything is written; QueueUnavailable, when the record is stored
    but the message was not taken: the sweep will send it.
    """
    checked = _check(submission, queue, installation)
    record = _store_files(checked, installation)
    # an answer that was lost makes botocore store again, which our own record refuses: fresh ids
    # belong to nobody else, so a refusal means it is stored
    installation.store.put_new(record)
    try:
        send_for([record], installation)
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
    PartlySubmitted, when something failed on the way: it says which jobs will run.
    """
    checked = [_check(submission, queue, installation) for submission in submissions]
    stored: list[JobRecord] = []
    refused: list[Submission] = []
    cause: Exception | None = None
    for start in range(0, len(checked), _RECORDS_AT_A_TIME):
        batch = checked[start : start + _RECORDS_AT_A_TIME]
        fresh, cause = _store_batch(batch, installation)
        stored += fresh
        ids = {record.id for record in fresh}
        refused += [one.submission for one in batch if one.record.id not in ids]
        try:
            send_for(fresh, installation)
        except Exception as problem:  # noqa: BLE001 (they are stored: the sweep will send for them)
            cause = cause or problem
        if cause is not None:
            refused += [one.submission for one in checked[start + _RECORDS_AT_A_TIME :]]
            break
    if refused or cause is not None:
        why = "" if cause is None else f" ({type(cause).__name__}: {cause})"
        raise PartlySubmitted(
            f"{len(stored)} jobs were submitted, {len(refused)} were not{why}; "
            "submit those in `refused` again",
            stored=[record.id for record in stored],
            refused=refused,
        ) from cause
    return stored


def _store_batch(
    batch: Sequence[_Checked], installation: Installation
) -> tuple[list[JobRecord], Exception | None]:
    """Store jobs; those that are stored, and what went wrong with the others."""
    records: list[JobRecord] = []
    try:
        for one in batch:
            records.append(_store_files(one, installation))  # noqa: PERF401 (kept when one fails)
        unstored = set(installation.store.put_fresh(records))
    except Exception as problem:  # noqa: BLE001 (whatever it was, find out what is stored)
        there = installation.store.get_many([record.id for record in records])
        return there, problem
    return [record for record in records if record.id not in unstored], None


def send_for(records: Sequence[JobRecord], installation: Installation) -> None:
    """Send the pending messages of jobs, delayed to their due times.

    A job due beyond the queue's longest delay gets none: the scheduler sends it in time.

    Raises: QueueUnavailable.
    """
    now = installation.clock.now_ms()
    lanes: defaultdict[Address, list[Outgoing]] = defaultdict(list)
    for record in records:
        delay = timedelta(milliseconds=max(0, (record.due_ms or 0) - now))
        if delay <= installation.messages.capabilities.max_delay:
            message = Outgoing(body=Pending.of(record).body(), delay=delay)
            lanes[pending_address(record)].append(message)
    for address, messages in lanes.items():
        installation.messages.send(address, messages)


def input_key(job_id: str, name: str) -> str:
    """Where the input of a submitted job goes; uploads there fire no trigger."""
    return f"{INPUT_PREFIX_SUBMITTED}{job_id}/{name}"


def _check(submission: Submission, queue: QueueDescription, installation: Installation) -> _Checked:
    if submission.task not in queue.tasks:
        raise UnknownTask(submission.task, known=queue.tasks, queue=queue.name)
    _check_types(submission)
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
    )
    record = _delayed(record, submission, installation)
    if record.due_ms is not None and (submission.body is not None or not inline):
        _check_kept(record.due_ms, installation)
    return _Checked(
        submission=submission,
        record=record,
        data_text=None if inline else text,
        body=submission.body,
        filename=filename,
        content_type=submission.content_type or mimetypes.guess_type(filename)[0],
    )


def _check_types(submission: Submission) -> None:
    """What Python does not check, and a store would find out too late."""
    priority, delay, after = submission.priority, submission.delay, submission.after
    if not isinstance(priority, int) or isinstance(priority, bool):
        raise InvalidData(f"priority={priority!r}: use a Priority, or a whole number")
    if abs(priority) > _LARGEST_PRIORITY:
        raise InvalidData(f"priority={priority!r}: between -{_LARGEST_PRIORITY} and as much")
    if delay is not None and not isinstance(delay, timedelta):
        raise InvalidData(f"delay={delay!r}: use a timedelta, such as timedelta(seconds=5)")
    if after is not None and not isinstance(after, datetime):
        raise InvalidData(f"after={after!r}: use a datetime with a time zone")
    if submission.retry is not None and not isinstance(submission.retry, Retry):
        raise InvalidData(f"retry={submission.retry!r}: use Retry, such as Retry(max_attempts=3)")


def _delayed(record: JobRecord, submission: Submission, installation: Installation) -> JobRecord:
    if submission.delay is not None and submission.after is not None:
        raise InvalidData("delay and after are both given; give the one you mean")
    now = record.created_ms
    if submission.after is not None:
        if submission.after.tzinfo is None:
            raise InvalidData(f"after={submission.after!r}: give it a time zone")
        due = to_ms(submission.after)
    else:
        due = now + span_ms(submission.delay or timedelta(0))
    if due < now and submission.delay is not None:
        raise InvalidData(f"delay={submission.delay!r} lies in the past")
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


def _check_kept(due_ms: int, installation: Installation) -> None:
    """A job that has something in S3 must become due while it is kept."""
    latest_ms = installation.clock.now_ms() + span_ms(installation.retention)
    if due_ms > latest_ms:
        raise InvalidData(
            f"due on {from_ms(due_ms):%Y-%m-%d}: inputs are kept for {installation.retention.days} "
            "days; submit it later, or raise retention_days in remotejob.toml and deploy"
        )


def _filename(submission: Submission) -> str:
    if submission.filename is not None:
        return check_file_name(submission.filename)
    if isinstance(submission.body, str | Path):
        return check_file_name(Path(submission.body).name)
    return "input"


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
            raise InvalidBody(f"body={body!r}: give a path, bytes, or a file opened with mode 'rb'")
        size = _size_left(body)
    if size == 0:
        raise InvalidBody(f"{which} is empty; there is nothing to work on")
    if size is not None and size > _LARGEST_BODY:
        raise InvalidBody(f"{which} is {size} bytes; S3 takes 5 TiB at most")


def is_binary(body: object) -> bool:
    """Whether it is a file that gives bytes."""
    return hasattr(body, "read") and not isinstance(body, io.TextIOBase)


def _size_left(stream: BinaryIO) -> int | None:
    if not stream.seekable():
        return None
    here = stream.tell()
    end = stream.seek(0, os.SEEK_END)
    stream.seek(here)
    return end - here


def _store_files(checked: _Checked, installation: Installation) -> JobRecord:
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
