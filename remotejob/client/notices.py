"""Notices from the status queues: which jobs have ended, and how."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import BinaryIO, Final

from remotejob.client.job import Job
from remotejob.domain.argument_checks import plain_text
from remotejob.domain.errors import InvalidBody, InvalidName, JobNotFound
from remotejob.domain.ids import is_job_id
from remotejob.domain.states import State
from remotejob.domain.text import shown
from remotejob.domain.times import from_ms
from remotejob.jobs.content.input_files import open_input
from remotejob.jobs.content.outputs import Outputs
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

    Delivery is at least once: a job may cause two notices, and a restarted job ends again.
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
    known = (PENDING, *STATUS)
    text = plain_text(status)
    if text not in known:
        raise InvalidName(f"status {shown(status)}: use one of {', '.join(known)}")
    return text


def receive_notice(
    queue: str, status: str, *, wait: timedelta, installation: Installation
) -> Notice | None:
    """The next notice of a status queue, waiting up to `wait` for one."""
    address = Address(queue, Channel(check_status(status)))
    left = wait
    while True:
        received = installation.messages.receive(
            address, limit=1, wait=min(left, _LONGEST_POLL), hidden=_HIDDEN
        )
        for message in received:
            notice = _read(message, installation)
            if notice is not None:
                return notice
            # not deleted: SQS redelivers it, and moves it to the dead-letter queue in the end
            log.error("unreadable notice", extra={"queue": queue, "body": message.body})
        if not received:
            left -= _LONGEST_POLL
            if left <= timedelta(0):
                return None


def _error_text(error: object) -> str | None:
    match error:
        case {"kind": kind, "message": message}:
            return f"{kind}: {message}"
    return None


def _read(message: Received, installation: Installation) -> Notice | None:
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
            "state": state,
        } if is_job_id(job_id) and state in set(State):
            finished = fields.get("finished_ms")
            return Notice(
                job_id=job_id,
                task=task,
                queue=queue,
                state=State(state),
                attempt=fields.get("attempt", 0),
                run_id=fields.get("run"),
                finished_at=from_ms(finished) if isinstance(finished, int) else None,
                error=_error_text(fields.get("error")),
                receives=message.receives,
                message=message,
                installation=installation,
            )
    return None
