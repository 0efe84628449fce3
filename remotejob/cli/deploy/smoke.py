"""A job for each queue, from an upload to its end: bucket, rule, function, queue and worker.

A deployment can succeed with an image whose workers cannot start, because none starts before there
is a job.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from remotejob.client.job import Job
from remotejob.client.remote_job import Queue, RemoteJob
from remotejob.domain.states import State
from remotejob.jobs.queries.why import Reason, Why
from remotejob.names import SMOKE_PREFIX, SMOKE_TASK

_EVERY_S: Final = 3.0
"""Between two looks."""
_MOST_JOBS: Final = 1000
"""Of a queue, made since the upload, among which the job is looked for."""
_CLOCKS_DIFFER: Final = timedelta(minutes=2)
_BROKEN: Final = frozenset(
    {
        Why.ARCHITECTURE,
        Why.CANNOT_START,
        Why.CRASHED,
        Why.DENIED,
        Why.DEPLOYMENT_FAILED,
        Why.GAVE_UP,
        Why.IMAGE_PULL,
        Why.LOGS,
        Why.NO_SERVICE,
        Why.OUT_OF_MEMORY,
        Why.ROLE,
        Why.SECRET,
        Why.UNHEALTHY,
    }
)
"""What waiting does not mend."""
_CONTENT: Final = b"Can you read this?\n"

Put = Callable[[str, str, bytes], object]
"""Put a file: bucket, key, content."""


class Verdict(StrEnum):
    """How a smoke job ended."""

    PASSED = "passed"
    FAILED = "failed"
    """It failed, or a worker reported that it cannot start."""
    LATE = "late"
    """It has not ended in time."""
    SKIPPED = "skipped"
    """There is none: the queue is stopped."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Smoked:
    """What came of one queue's job."""

    queue: str
    verdict: Verdict
    text: str
    job: str | None = None


@dataclass(kw_only=True)
class _Sent:
    """A file that was uploaded, and its job, once there is one."""

    queue: Queue
    key: str
    job: Job | None = None
    first: Why | None = None
    """What `why` answered first."""
    said: str = ""


class Smoke:
    """Uploads a file for each queue, and waits for the jobs."""

    def __init__(
        self,
        system: RemoteJob,
        *,
        put: Put,
        say: Callable[[str], object],
        monotonic: Callable[[], float],
        sleep: Callable[[float], object],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """say: called with what the jobs wait for, whenever that changes."""
        self._system = system
        self._put, self._say = put, say
        self._monotonic, self._sleep, self._now = monotonic, sleep, now

    def run(self, queues: Iterable[str], *, timeout: timedelta) -> list[Smoked]:
        """Raises: AccessProblem; boto3's errors for the upload."""
        began = self._now()
        deadline = self._monotonic() + timeout.total_seconds()
        waiting: list[_Sent] = []
        found: list[Smoked] = []
        for queue in queues:
            stopped = self._system.queue(queue).stopped()
            if stopped is None:
                waiting.append(self._send(queue))
            else:
                found.append(Smoked(queue=queue, verdict=Verdict.SKIPPED, text=str(stopped)))
        while waiting:
            for sent in list(waiting):
                smoked = self._look(sent, began)
                if smoked is not None:
                    waiting.remove(sent)
                    found.append(smoked)
            if not waiting:
                break
            if self._monotonic() >= deadline:
                found += [_late(sent, timeout) for sent in waiting]
                break
            self._sleep(_EVERY_S)
        return found

    def _send(self, queue: str) -> _Sent:
        key = f"{SMOKE_PREFIX}{queue}/{uuid.uuid4().hex}.txt"
        self._put(self._system.input_bucket, key, _CONTENT)
        return _Sent(queue=self._system.queue(queue), key=key)

    def _look(self, sent: _Sent, began: datetime) -> Smoked | None:
        if sent.job is None:
            sent.job = _job_of(sent, since=began - _CLOCKS_DIFFER)
        else:
            sent.job.refresh()
        if sent.job is None:
            self._tell(sent, "the upload has no job yet")
            return None
        if sent.job.ended:
            sent.queue.remove("input", sent.key)
            return _ended(sent.queue.name, sent.job)
        why = sent.job.why()
        text = _with_remedy(why)
        if sent.first is None:
            sent.first = why.code
        if self._is_broken(sent, why.code, began):
            return Smoked(queue=sent.queue.name, verdict=Verdict.FAILED, text=text, job=sent.job.id)
        self._tell(sent, text)
        return None

    def _is_broken(self, sent: _Sent, code: Why, began: datetime) -> bool:
        """Whether workers of this deployment have failed. What `why` answers first may still be
        about those of the one before."""
        if code in _BROKEN and code is not sent.first:
            return True
        return any(
            worker.cannot_start is not None and worker.seen_at >= began
            for worker in self._system.workers(sent.queue.name)
        )

    def _tell(self, sent: _Sent, text: str) -> None:
        # ages in the text change with each look
        about = "".join(letter for letter in text if not letter.isdigit())
        if about != sent.said:
            sent.said = about
            self._say(f"queue {sent.queue.name}: {text}")


def _with_remedy(reason: Reason) -> str:
    return f"{reason.text}; {reason.remedy}" if reason.remedy else reason.text


def _job_of(sent: _Sent, *, since: datetime) -> Job | None:
    jobs = sent.queue.jobs(limit=_MOST_JOBS, since=since)
    return next(
        (
            job
            for job in jobs
            if job.task == SMOKE_TASK and job.input is not None and job.input.key == sent.key
        ),
        None,
    )


def _ended(queue: str, job: Job) -> Smoked:
    if job.state is State.COMPLETED:
        text = f"job {job.id} ran on a worker of version {job.result['version']}"
        return Smoked(queue=queue, verdict=Verdict.PASSED, text=text, job=job.id)
    last = job.errors[-1] if job.errors else None
    reason = job.state.value if last is None else f"{last.kind}: {last.message}"
    return Smoked(queue=queue, verdict=Verdict.FAILED, text=f"job {job.id}: {reason}", job=job.id)


def _late(sent: _Sent, timeout: timedelta) -> Smoked:
    minutes = f"{timeout.total_seconds() / 60:g} minutes"
    if sent.job is None:
        text = (
            f"s3://…/{sent.key} has no job after {minutes}: the upload rule, its queue or the"
            " upload function does not work; look at the function's log"
        )
        return Smoked(queue=sent.queue.name, verdict=Verdict.LATE, text=text)
    return Smoked(
        queue=sent.queue.name,
        verdict=Verdict.LATE,
        text=f"job {sent.job.id} has not ended after {minutes}: {_with_remedy(sent.job.why())}",
        job=sent.job.id,
    )
