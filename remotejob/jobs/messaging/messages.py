"""The bodies of the messages on the queues, and which queue each goes to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from remotejob.domain.ids import is_job_id
from remotejob.domain.priority import Lane, Order
from remotejob.domain.record import JobRecord
from remotejob.domain.states import State
from remotejob.domain.text import shown
from remotejob.ports import Address, Channel, QueueDescription
from remotejob.tracing import Trace

_MOST_DECLINED: Final = 1_000_000
"""A larger number in a message says nothing more."""


class BadMessage(Exception):
    """A message that cannot be understood; it belongs in the dead-letter queue."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pending:
    """The message that brings a worker to a job."""

    job_id: str
    task: str
    declined: int = 0
    """How often a worker without the task passed it on."""
    trace: Trace | None = None
    """The trace context of the submit; None without tracing."""

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
                if type(declined) is int and declined >= 0:
                    # an unreadable trace is dropped; the job still runs
                    trace = Trace.read(message)
                    declined = min(declined, _MOST_DECLINED)
                    return cls(job_id=job_id, task=task, declined=declined, trace=trace)
                raise BadMessage(f"declined={shown(declined)} is not a count")
        raise BadMessage("it is not a pending message of version 1, with an id and a task")


def odd_message(pending: Pending, queue: str, record: JobRecord) -> str | None:
    """What a message that came on a queue says of its job that the record does not; None if all
    is as the record has it."""
    if record.queue != queue:
        return (
            f"a message on queue {shown(queue)} names job {record.id}, which belongs to queue "
            f"{shown(record.queue)}: nothing was run"
        )
    if record.task != pending.task:
        return (
            f"a message names task {shown(pending.task)} for job {record.id}, whose task is "
            f"{shown(record.task)}: nothing was run"
        )
    return None


def status_body(record: JobRecord) -> str:
    """The message that reports how a job ended."""
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
    """A message for the dead-letter queue: the original, and why it was moved there."""
    return _to_body({"reason": reason, "lane": lane, "body": body})


def _to_body(message: dict[str, Any]) -> str:
    # in ASCII: SQS refuses some characters, and with that message its whole batch
    return json.dumps(message, separators=(",", ":"))


def status_address(record: JobRecord) -> Address:
    """Completed jobs report to one queue, failed and cancelled jobs to the other."""
    completed = record.state is State.COMPLETED
    return Address(record.queue, Channel.COMPLETED if completed else Channel.FAILED)


def pending_address(record: JobRecord, queues: Mapping[str, QueueDescription]) -> Address:
    """The lane for the job's priority; a queue that is not ordered by weight has only one lane."""
    queue = queues.get(record.queue)
    weighted = queue is None or queue.order is Order.WEIGHTED
    lane = record.lane if weighted else Lane.NORMAL
    return Address(record.queue, Channel(lane.value))
