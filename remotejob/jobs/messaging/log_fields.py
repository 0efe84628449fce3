"""The fields of every log line about a job, the same wherever it is written."""

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
    """What log lines say about a run; `fields` names it as every line does."""

    job: str
    queue: str
    task: str
    run: str | None = None
    """None in a line about the job rather than one of its runs."""
    attempt: int | None = None
    tenant: str | None = None

    @classmethod
    def of(cls, record: JobRecord) -> Self:
        """The run that holds the job, from the record it claimed."""
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
        """As a log line has them, without empty ones."""
        fields: dict[str, Any] = {"job": self.job, "queue": self.queue, "task": self.task}
        if self.run is not None:
            fields["run"] = self.run
            fields["attempt"] = self.attempt
        if self.tenant is not None:
            fields["tenant"] = self.tenant
        return fields

    def packed(self) -> dict[str, Any]:
        """For another process, as JSON: the fields and the current trace context."""
        trace = tracing.carried()
        return self.fields if trace is None else {**self.fields, **trace.fields}

    @classmethod
    def unpacked(cls, packed: Mapping[str, Any]) -> tuple[Self, tracing.Trace | None]:
        """Read what `packed` wrote: the context, and the trace to continue."""
        own = {name: packed[name] for name in cls.__dataclass_fields__ if name in packed}
        return cls(**own), tracing.Trace.read(packed)


def log_fields(record: JobRecord) -> dict[str, Any]:
    """The fields of a line about a job, from its record."""
    return JobContext.of(record).fields


def message_log_fields(message: Received, pending: Pending) -> dict[str, Any]:
    """The fields of a line about a job of which only the message is known."""
    job, queue, task = pending.job_id, message.address.queue, pending.task
    return JobContext(job=job, queue=queue, task=task, tenant=message.group).fields
