"""What the messages say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from remotejob.domain.ids import is_job_id
from remotejob.domain.priority import Lane, Order
from remotejob.domain.record import JobRecord
from remotejob.domain.states import State
from remotejob.ports import Address, Channel, QueueDescription
from remotejob.tracing import Trace


class BadMessage(Exception):
    """A message that cannot be understood; it belongs in the dead-letter queue."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pending:
    """The promise that somebody will see to a job."""

    job_id: str
    task: str
    declined: int = 0
    """How often a worker that does not have the task passed it on."""
    trace: Trace | None = None
    """Where in which trace the job was submitted; None where nobody traces."""

    def body(self) -> str:
        message: dict[str, Any] = {"v": 1, "id": self.job_id, "task": self.task}
        if self.declined:
            message["declined"] = self.declined
        if self.trace is not None:
            message.update(self.trace.fields)
        return _to_body(message)

    @classmethod
    def of(cls, record: JobRecord, *, trace: Trace | None = None) -> Pending:
        return cls(job_id=record.id, task=record.task, trace=trace)

    @classmethod
    def read(cls, body: str) -> Pending:
        """Raises: BadMessage, saying what is wrong with it."""
        try:
            message = json.loads(body)
        except (ValueError, RecursionError):
            raise BadMessage("it is not JSON") from None
        match message:
            case {"v": 1, "id": str(job_id), "task": str(task)} if is_job_id(job_id):
                declined = message.get("declined", 0)
                if isinstance(declined, int):
                    # a trace that is not understood is lost, and no job with it
                    trace = Trace.read(message)
                    return cls(job_id=job_id, task=task, declined=declined, trace=trace)
        raise BadMessage("it is not a pending message of version 1, with an id and a task")


def status_body(record: JobRecord) -> str:
    """The message that tells the world how a job ended."""
    message: dict[str, Any] = {
        "v": 1,
        "id": record.id,
        "task": record.task,
        "queue": record.queue,
        "state": record.state,
        "run": record.run_id,
        "attempt": record.attempt,
        "finished_ms": record.finished_ms,
    }
    if record.state is State.FAILED and record.errors:
        last = record.errors[-1]
        message["error"] = {"kind": last.kind, "message": last.message}
    return _to_body(message)


def dead_letter_body(*, reason: str, lane: str, body: str) -> str:
    """A message that was set aside, and why."""
    return _to_body({"reason": reason, "lane": lane, "body": body})


def _to_body(message: dict[str, Any]) -> str:
    # in ASCII: SQS refuses some letters, and with one message its whole batch
    return json.dumps(message, separators=(",", ":"))


def status_address(record: JobRecord) -> Address:
    """Completed jobs report to one queue, all that ended otherwise to the other."""
    completed = record.state is State.COMPLETED
    return Address(record.queue, Channel.COMPLETED if completed else Channel.FAILED)


def pending_address(record: JobRecord, queues: Mapping[str, QueueDescription]) -> Address:
    """The lane of the job's priority, or the one lane of a queue that goes by none."""
    queue = queues.get(record.queue)
    weighted = queue is None or queue.order is Order.WEIGHTED
    lane = record.lane if weighted else Lane.NORMAL
    return Address(record.queue, Channel(lane.value))
