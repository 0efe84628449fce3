"""Submits jobs: checks the submission, stores input and record, sends the message.

All checks come before the first request. Then the input goes to S3, the record to the table and
the message to its lane, in this order. A crash in between leaves a file without a job, which a
lifecycle rule deletes, or a job without a message, for which the sweep sends one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from remotejob import tracing
from remotejob.domain.errors import (
    AccessProblem,
    InvalidData,
    KeyReused,
    PartlySubmitted,
    QueueFull,
    QueueRetired,
    QueueUnavailable,
    StoreUnavailable,
)
from remotejob.domain.events import Event
from remotejob.domain.record import InputFile, JobRecord
from remotejob.domain.series import is_endless
from remotejob.domain.states import State
from remotejob.domain.text import cut, said_by, shown
from remotejob.domain.transactions import put_record
from remotejob.jobs.content import payloads
from remotejob.jobs.content.bodies import open_body
from remotejob.jobs.content.input_files import (
    data_key,
    input_file,
    input_key,
    submitted_to_another,
)
from remotejob.jobs.coordination.dependencies import not_ended, store_dependent
from remotejob.jobs.coordination.linking import try_to_link
from remotejob.jobs.coordination.replacement import cancel_outdated
from remotejob.jobs.coordination.series import TRIES, in_generation
from remotejob.jobs.messaging.send import send_for
from remotejob.jobs.submission.idempotency import KeyHolder, job_under, take_key
from remotejob.jobs.submission.payload import payload_of, what_differs
from remotejob.jobs.submission.room import check_room, lanes_of
from remotejob.jobs.submission.submission import Checked, Submission, check
from remotejob.ports import Area, Installation, QueueDescription
from remotejob.tracing import Trace

RECORDS_AT_A_TIME: Final = 500


def submit(
    submission: Submission,
    *,
    queue: QueueDescription,
    installation: Installation,
    cancel_repeats: bool = False,
) -> JobRecord:
    """Submit one job. Once this returns, the job will run.

    `cancel_repeats` lets it take the place of the jobs of its task that repeat for ever, in the
    write that stores it. Under a key that has its job already, nothing is replaced.

    Raises: InvalidInput and QueueFull, before anything is written; QueueUnavailable, when the
    record is stored but the message was not accepted; the sweep will send it.
    """
    checked = check(submission, queue=queue, installation=installation)
    if cancel_repeats and not is_endless(checked.record):
        raise InvalidData(
            "cancel_repeats=True needs a job that repeats for ever; pass a repeat without times"
        )
    _check_room([checked], installation)
    with tracing.submitting(queue=queue.name, tasks={checked.record.task}) as span:
        record = _submit(checked, installation, span.trace, replaces=cancel_repeats)
        span.made(record.id)
    if cancel_repeats:
        # after the message: what is outdated is cancelled by the scheduler, too
        cancel_outdated(record.queue, record.task, installation)
    return record


def _submit(
    checked: Checked, installation: Installation, trace: Trace | None, *, replaces: bool
) -> JobRecord:
    if _needs_own_transaction(checked):
        record = _store_in_transaction(checked, installation, replaces=replaces)
    else:
        record = _store_files(checked, installation)
        # if an answer is lost, botocore stores again and our own record refuses it; nobody else
        # has a fresh id, so a refusal means that the record is stored
        installation.store.put_new(record)
    if record.id == checked.record.id:
        # otherwise the job existed before, under the same key
        installation.hooks.tell(Event.CREATED, record, installation)
    try:
        send_for(_not_started([record]), installation, trace=trace)
    except Exception as problem:
        raise QueueUnavailable(
            f"job {record.id} is stored, but its message was not accepted "
            f"({cut(said_by(problem), 300)}); do not submit it again: the sweep will send the "
            "message within hours"
        ) from problem
    return record


def submit_many(
    submissions: Sequence[Submission], *, queue: QueueDescription, installation: Installation
) -> list[JobRecord]:
    """Submit many jobs, with several requests at a time and ten messages per request.

    Raises: InvalidInput, before anything is written, naming the first invalid one; QueueFull, if
    not all fit; AccessProblem, when permissions are missing and nothing was stored;
    PartlySubmitted, on any other failure, with the jobs that will run.
    """
    checked = [
        check(submission, queue=queue, installation=installation) for submission in submissions
    ]
    _check_keys(checked)
    _check_room(checked, installation)
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
        why = "" if cause is None else f" ({type(cause).__name__}: {cut(said_by(cause), 300)})"
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
    """Store jobs and send their messages; return the stored ones by index, and the first error.

    The messages carry `trace`. It raises nothing: the stored jobs will run even if others failed.
    """
    made, cause = _store_page(page, installation)
    fresh = [made[number] for number in sorted(made)]
    for number in sorted(made):
        if made[number].id == page[number].record.id:
            installation.hooks.tell(Event.CREATED, made[number], installation)
    try:
        send_for(_not_started(fresh), installation, trace=trace)
    except Exception as problem:  # noqa: BLE001 (they are stored: the sweep will send the messages)
        cause = cause or problem
    return made, cause


def _store_page(
    page: Sequence[Checked], installation: Installation
) -> tuple[dict[int, JobRecord], Exception | None]:
    """Store jobs; return the stored ones by index, and why others were not."""
    made: dict[int, JobRecord] = {}
    records: dict[int, JobRecord] = {}
    try:
        for number, one in enumerate(page):
            if _needs_own_transaction(one):
                made[number] = _store_in_transaction(one, installation)
            else:
                records[number] = _store_files(one, installation)
        installation.store.put_fresh(list(records.values()))
    except Exception as problem:  # noqa: BLE001 (whatever it is, find out what was stored)
        ids = [record.id for record in records.values()]
        there = {record.id for record in installation.store.get_many(ids)}
        found = {number: one for number, one in records.items() if one.id in there}
        return {**made, **found}, problem
    return {**made, **records}, None


def _check_room(checked: Sequence[Checked], installation: Installation) -> None:
    """Check that what is new fits. Only a refusal makes us look for the jobs of keys.

    Raises: QueueFull, QueueRetired.
    """
    try:
        check_room(lanes_of((one.record for one in checked), installation), installation)
    except (QueueFull, QueueRetired):
        fresh = [one for one in checked if not _made_before(one, installation)]
        if len(fresh) == len(checked):
            raise
        check_room(lanes_of((one.record for one in fresh), installation), installation)


def _check_keys(checked: Sequence[Checked]) -> None:
    """Check that those with the same key ask for the same. Raises: InvalidData."""
    seen: dict[str, str] = {}
    for one in checked:
        key = one.submission.idempotency_key
        if key is None:
            continue
        payload = payload_of(one)
        differs = what_differs(seen.setdefault(key, payload), payload)
        if differs:
            raise InvalidData(
                f"idempotency_key={shown(key)} is given twice, with another "
                f"{' and another '.join(differs)}; give each job its own key"
            )


def _made_before(checked: Checked, installation: Installation) -> bool:
    key = checked.submission.idempotency_key
    return key is not None and job_under(key, checked.record.queue, installation).job is not None


def _not_started(records: Sequence[JobRecord]) -> list[JobRecord]:
    """Without jobs that existed before under the same key, and have started or ended."""
    return [record for record in records if record.state in (State.READY, State.WAITING)]


def _needs_own_transaction(checked: Checked) -> bool:
    """Whether it needs a transaction of its own."""
    return (
        bool(checked.depends)
        or checked.submission.idempotency_key is not None
        or is_endless(checked.record)
    )


def _store_in_transaction(
    checked: Checked, installation: Installation, *, replaces: bool = False
) -> JobRecord:
    """Store a job with its idempotency key and its edges, or find the job that has the key.

    One that repeats for ever joins the current generation, or begins the next if it `replaces`.

    Raises: DependencyEnded; KeyReused.
    """
    submission, queue = checked.submission, checked.record.queue
    key, record = submission.idempotency_key, None
    # before the body is read, which may tell the size of a stream no longer
    payload = "" if key is None else payload_of(checked)
    for _ in range(TRIES):
        holder = KeyHolder() if key is None else job_under(key, queue, installation)
        if holder.job is not None:
            return _same_under(key, holder.job, holder.payload, payload)
        if checked.problem is not None:
            raise InvalidData(checked.problem)
        if record is None:
            if checked.body is not None or checked.data_text is not None:
                # check first, so as not to upload a file for a job that is refused
                not_ended(checked.depends, installation)
            record = _store_files(checked, installation)
        record, others = in_generation(record, installation, replaces=replaces)
        if key is not None:
            step = take_key(
                key,
                queue,
                record.id,
                window=submission.idempotency_window,
                gone=holder.gone,
                payload=payload,
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
            try_to_link(there, installation)
            return there
    taken = "the repeats of its task" if key is None else f"the key {shown(key)}"
    raise StoreUnavailable(f"{taken} changed hands on each of {TRIES} tries; submit again")


def _same_under(key: str | None, job: JobRecord, before: str | None, payload: str) -> JobRecord:
    """The job that has a key already, if it is of the same payload. Raises: KeyReused."""
    differs = what_differs(before, payload)
    if key is not None and differs:
        raise KeyReused(key, job_id=job.id, differs=differs)
    return job


def _store_files(checked: Checked, installation: Installation) -> JobRecord:
    record, files = checked.record, installation.files
    if checked.data_text is not None:
        key = data_key(record.queue, record.id)
        payloads.store_text(files, Area.INPUT, key, checked.data_text)
        record = replace(record, data_ref=key)
    if checked.body is None:
        return _with_own_input(record, installation)
    key = input_key(record.queue, record.id, checked.filename)
    with open_body(checked.body) as body:
        stored = files.put(Area.INPUT, key, body, content_type=checked.content_type)
    file = replace(input_file(stored, name=checked.filename), content_type=checked.content_type)
    return replace(record, input_json=file.to_json())


def _with_own_input(record: JobRecord, installation: Installation) -> JobRecord:
    """Give it its own copy of a file that only another queue's workers may be able to read."""
    file, files = record.input, installation.files
    if file is None or not _is_of_another_queue(file, record, installation):
        return record
    key = input_key(record.queue, record.id, file.name)
    with files.open(file.bucket, file.key, version=file.version) as body:
        stored = files.put(Area.INPUT, key, body, content_type=file.content_type)
    copied = replace(input_file(stored, name=file.name), content_type=file.content_type)
    return replace(record, input_json=copied.to_json())


def _is_of_another_queue(file: InputFile, record: JobRecord, installation: Installation) -> bool:
    if submitted_to_another(file, record.queue, installation):
        return True
    if record.origin_id is None:
        return False
    # a replay: an upload that a route gave to another queue
    origin = installation.store.get(record.origin_id)
    return origin is not None and origin.queue != record.queue
