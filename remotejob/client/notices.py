"""Notices from the status queues: which jobs have ended, and how."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import BinaryIO, Final

from remotejob.client.job import Job
from remotejob.domain.argument_checks import check_word
from remotejob.domain.errors import InvalidBody, JobNotFound, UnreadableItem
from remotejob.domain.ids import is_job_id
from remotejob.domain.record import JobRecord
from remotejob.domain.states import State
from remotejob.domain.text import shown
from remotejob.domain.times import from_ms
from remotejob.jobs.content.input_files import open_input
from remotejob.jobs.content.outputs import Outputs
from remotejob.jobs.messaging.messages import status_address
from remotejob.ports import Address, Channel, Installation, Received

log = logging.getLogger(__name__)

PENDING: Final = "pending"
STATUS: Final = (Channel.COMPLETED, Channel.FAILED)

_HIDDEN: Final = timedelta(seconds=30)
"""Visibility timeout of a received notice. Source: remotejob, index.js, `VisibilityTimeout`."""

_LONGEST_POLL: Final = timedelta(seconds=20)
"""The longest long poll SQS offers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """A message that a job has ended. It is redelivered after 30 s unless acknowledged.

    What it says is what the job's record said when the message was received: a message only says
    where to look. Delivery is at least once: a job may cause two notices, and a restarted job ends
    again.
    """

    job_id: str
    task: str
    queue: str
    state: State
    """Completed, failed or cancelled."""
    attempt: int
    run_id: str | None
    finished_at: datetime | None
    error: str | None
    """Kind and message of the last failure, if the job failed."""
    receives: int
    """How often this message was received, including this time. After ten receives it goes to the
    status queue's own dead-letter queue."""
    message: Received
    installation: Installation

    @property
    def job(self) -> Job:
        """The job as it is now; reads its record at each call. Raises: JobNotFound."""
        record = self.installation.store.get(self.job_id)
        if record is None:
            raise JobNotFound(self.job_id)
        return Job(record, self.installation)

    @property
    def outputs(self) -> Outputs:
        """The output files of a completed job. Raises: JobNotFound."""
        return self.job.outputs

    def open(self, name: str | None = None) -> BinaryIO:
        """A stream of the job's input, or of the named output; close it when done.

        Raises: OutputNotFound, which names the outputs; InvalidBody, when the job has no input;
        FileUnreadable; JobNotFound; FileNotFoundError, when the file was deleted.
        Source: remotejob, `Job#createReadStream`.
        """
        job = self.job
        if name is not None:
            return job.outputs[name].open()
        file = job.input
        if file is None:
            raise InvalidBody(f"job {job.id} was submitted without a body; read job.data instead")
        return open_input(file, self.installation)

    def acknowledge(self) -> None:
        """Delete the message, so it is not redelivered.

        Source: remotejob, `Job#acknowledge`.
        """
        self.installation.messages.delete(self.message.address, [self.message.receipt])


def check_status(status: object) -> str:
    """Return the status if there is a queue for it.

    Raises: InvalidName, which names the valid statuses.
    Source: remotejob, `next`.
    """
    return check_word("status ", status, (PENDING, *STATUS))


def receive_notice(
    queue: str, status: str, *, wait: timedelta, installation: Installation
) -> Notice | None:
    """The next notice of a status queue, waiting up to `wait` for one.

    Reads the record of each: one request a notice, as notices come one at a time. A notice whose
    job's record says otherwise is deleted: somebody else sent it, or the job was restarted or
    removed since.
    """
    address = Address(queue, Channel(check_status(status)))
    left = wait
    while True:
        received = installation.messages.receive(
            address, limit=1, wait=min(left, _LONGEST_POLL), hidden=_HIDDEN
        )
        for message in received:
            told = _read(message)
            if told is None:
                # not deleted: SQS redelivers it, and moves it to the dead-letter queue in the end
                log.error("unreadable notice", extra={"queue": queue, "body": message.body})
                continue
            try:
                record = installation.store.get(told.job_id)
            except UnreadableItem as problem:
                # left like that, too: a newer version may read the record
                installation.skipped.add(problem)
                continue
            reason = _disagrees(told, record, address)
            if record is not None and reason is None:
                return _notice(record, message, installation)
            log.warning("notice deleted: %s", reason, extra={"queue": queue, "job": told.job_id})
            installation.messages.delete(address, [message.receipt])
        if not received:
            left -= _LONGEST_POLL
            if left <= timedelta(0):
                return None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Told:
    """What a message says of its job's end."""

    job_id: str
    task: str
    queue: str
    state: State


def _read(message: Received) -> _Told | None:
    try:
        fields = json.loads(message.body)
    except (ValueError, RecursionError):
        return None
    match fields:
        case {
            "v": 1,
            "id": str(job_id),
            "task": str(task),
            "queue": str(queue),
            "state": str(state),
        } if is_job_id(job_id) and state in set(State):
            return _Told(job_id=job_id, task=task, queue=queue, state=State(state))
    return None


def _disagrees(told: _Told, record: JobRecord | None, address: Address) -> str | None:
    """What a message says that the record of its job does not; None if it is as the record says."""
    if record is None:
        return f"there is no job {told.job_id}, or it was removed"
    if (told.queue, told.task) != (record.queue, record.task):
        return (
            f"it names task {shown(told.task)} of queue {shown(told.queue)}, and the job has task "
            f"{shown(record.task)} of queue {shown(record.queue)}"
        )
    if not record.terminal or told.state is not record.state:
        return f"it says that the job is {told.state}, and the job is {record.state}"
    if status_address(record) != address:
        return f"notices of this job go to {status_address(record)}"
    return None


def _notice(record: JobRecord, message: Received, installation: Installation) -> Notice:
    failed = record.state is State.FAILED and bool(record.errors)
    last = record.errors[-1] if failed else None
    finished = record.finished_ms
    return Notice(
        job_id=record.id,
        task=record.task,
        queue=record.queue,
        state=record.state,
        attempt=record.attempt,
        run_id=record.run_id,
        finished_at=None if finished is None else from_ms(finished),
        error=None if last is None else f"{last.kind}: {last.message}",
        receives=message.receives,
        message=message,
        installation=installation,
    )
