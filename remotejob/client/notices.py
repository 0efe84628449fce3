"""The status queues: how jobs ended, read by whoever waits for them."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import BinaryIO, Final

from remotejob.client.job import Job
from remotejob.domain.errors import InvalidBody, InvalidName, JobNotFound
from remotejob.domain.ids import is_job_id
from remotejob.domain.states import State
from remotejob.domain.times import from_ms
from remotejob.jobs.content.outputs import Outputs
from remotejob.ports import Address, Channel, Installation, Received

log = logging.getLogger(__name__)

PENDING: Final = "pending"
STATUS: Final = (Channel.COMPLETED, Channel.FAILED)

_HIDDEN: Final = timedelta(seconds=30)
"""How long a notice is its reader's. Source: remotejob, index.js: a VisibilityTimeout of 30 s."""

_LOOK: Final = timedelta(seconds=20)
"""The longest SQS offers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """The news that a job has ended. It comes again after half a minute unless acknowledged.

    At least once: a job may be told of twice, and one that was restarted ends again.
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
    """Why it failed: the kind and the message of the last failure."""
    receives: int
    """How often this message was received, this time included; after ten it is given up, and goes
    to the status queue's own dead-letter queue."""
    message: Received
    installation: Installation

    @property
    def job(self) -> Job:
        """The job as it stands now, read at each call. Raises: JobNotFound."""
        record = self.installation.store.get(self.job_id)
        if record is None:
            raise JobNotFound(self.job_id)
        return Job(record, self.installation)

    @property
    def outputs(self) -> Outputs:
        """The files of a job that completed. Raises: JobNotFound."""
        return self.job.outputs

    def open(self, name: str | None = None) -> BinaryIO:
        """A stream of the job's input, or of the output of that name; close it.

        Raises: OutputNotFound, naming those there are; InvalidBody, when the job has no input;
        JobNotFound; FileNotFoundError, when the file is gone.
        Source: remotejob, `Job#createReadStream`.
        """
        job = self.job
        if name is not None:
            return job.outputs[name].open()
        file = job.input
        if file is None:
            raise InvalidBody(f"job {job.id} was submitted without a body; read job.data instead")
        return self.installation.files.open(file.bucket, file.key, version=file.version)

    def acknowledge(self) -> None:
        """Delete the message: this has been seen to.

        Source: remotejob, `Job#acknowledge`.
        """
        self.installation.messages.delete(self.message.address, [self.message.receipt])


def check_status(status: str) -> str:
    """Raises: InvalidName, naming the statuses there are. Source: remotejob, `next`."""
    known = (PENDING, *STATUS)
    if status not in known:
        raise InvalidName(f"status {status!r}: there are queues for {', '.join(known)}")
    return status


def receive_notice(
    queue: str, status: str, *, wait: timedelta, installation: Installation
) -> Notice | None:
    """The next notice of a status queue, waiting up to `wait` for one."""
    address = Address(queue, Channel(check_status(status)))
    left = wait
    while True:
        received = installation.messages.receive(
            address, limit=1, wait=min(left, _LOOK), hidden=_HIDDEN
        )
        for message in received:
            notice = _read(message, installation)
            if notice is not None:
                return notice
            # left where it is: it comes again, and SQS sets it aside in the end
            log.error("no notice of a job's end", extra={"queue": queue, "body": message.body})
        if not received:
            left -= _LOOK
            if left <= timedelta(0):
                return None


def _said(error: object) -> str | None:
    match error:
        case {"kind": kind, "message": message}:
            return f"{kind}: {message}"
    return None


def _read(message: Received, installation: Installation) -> Notice | None:
    try:
        told = json.loads(message.body)
    except (ValueError, RecursionError):
        return None
    match told:
        case {
            "v": 1,
            "id": str(job_id),
            "task": str(task),
            "queue": str(queue),
            "state": state,
        } if is_job_id(job_id) and state in set(State):
            finished = told.get("finished_ms")
            return Notice(
                job_id=job_id,
                task=task,
                queue=queue,
                state=State(state),
                attempt=told.get("attempt", 0),
                run_id=told.get("run"),
                finished_at=from_ms(finished) if isinstance(finished, int) else None,
                error=_said(told.get("error")),
                receives=message.receives,
                message=message,
                installation=installation,
            )
    return None
