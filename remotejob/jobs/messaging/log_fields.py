"""What a line of the log says of a job: the same fields, whoever writes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from remotejob import tracing
from remotejob.domain.record import JobRecord
from remotejob.jobs.messaging.messages import Pending
from remotejob.ports import Received


@dataclass(frozen=True, kw_only=True, slots=True)
class JobContext:
    """What the log says of a run. `fields` are the names used in every line."""

    job: str
    queue: str
    task: str
    run: str | None = None
    """None where a line is of the job and not of one of its runs."""
    attempt: int | None = None
    tenant: str | None = None

    @classmethod
    def of(cls, record: JobRecord) -> Self:
        """Of the run that has the job, as its record was claimed."""
        return cls(
            job=record.id,
            queue=record.queue,
            task=record.task,
            run=record.run_id,
            attempt=record.attempt,
            tenant=record.tenant,
        )

    @property
    def fields(self) -> dict[str, Any]:
        """As a line of the log has them: without those there are none of."""
        fields: dict[str, Any] = {"job": self.job, "queue": self.queue, "task": self.task}
        if self.run is not None:
            fields["run"] = self.run
            fields["attempt"] = self.attempt
        if self.tenant is not None:
            fields["tenant"] = self.tenant
        return fields

    def packed(self) -> dict[str, Any]:
        """For another process: what JSON can write, the trace that goes on here included."""
        trace = tracing.carried()
        return self.fields if trace is None else {**self.fields, **trace.fields}

    @classmethod
    def unpacked(cls, packed: Mapping[str, Any]) -> tuple[Self, tracing.Trace | None]:
        """What `packed` gave: the context, and the trace to go on with."""
        own = {name: packed[name] for name in cls.__dataclass_fields__ if name in packed}
        return cls(**own), tracing.Trace.read(packed)


def log_fields(record: JobRecord) -> dict[str, Any]:
    """The fields of a line that is about a job, whoever has it."""
    return JobContext.of(record).fields


def message_log_fields(message: Received, pending: Pending) -> dict[str, Any]:
    """The fields of a line that is about a job of which no more is known than its message says."""
    job, queue, task = pending.job_id, message.address.queue, pending.task
    return JobContext(job=job, queue=queue, task=task, tenant=message.group).fields
