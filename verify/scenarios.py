"""What a deployed system must do, as its users see it. The same run against the embedded AWS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from remotejob import Job, RemoteJob, State
from remotejob.domain.errors import JobFailed

PHOTOS: Final = Path(__file__).resolve().parents[1] / "examples/photos"
_PHOTO: Final = PHOTOS / "cat-face.png"
_NO_PHOTO: Final = PHOTOS / "not-a-photo.jpg"


class Failed(Exception):
    """The system did something else than it should."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A deployed system whose queue `default` runs the task `thumbnail`."""

    system: RemoteJob
    s3: Any
    patience_s: float
    """For each job; the first one also waits for a worker to start."""
    sleep: Callable[[float], object]
    jobs: list[Job]
    """Grows with each job that was made, for the bill."""

    def submit(self, *, body: Path = _PHOTO, **options: Any) -> Job:
        job = self.system.queue().submit("thumbnail", body=body, data={"size": 64}, **options)
        self.jobs.append(job)
        return job


def an_upload_becomes_a_completed_job(target: Target) -> None:
    key = "photos/verify/cat-face.png"
    target.s3.upload_file(str(_PHOTO), target.system.input_bucket, key)
    queue = target.system.queue()
    every_s = 3.0
    for _ in range(int(target.patience_s / every_s) + 1):
        made = [job for job in queue.jobs() if job.input is not None and job.input.key == key]
        if made:
            target.jobs.append(made[0])
            made[0].wait(target.patience_s)
            _expect(made[0].state is State.COMPLETED, f"job {made[0].id} is {made[0].state}")
            _expect(len(made[0].outputs) == 1, f"its outputs are {list(made[0].outputs)}")
            return
        target.sleep(every_s)
    raise Failed(f"the upload s3://{target.system.input_bucket}/{key} has no job")


def a_submitted_job_returns_its_result_and_output(target: Target) -> None:
    job = target.submit()
    job.wait(target.patience_s)
    _expect(bool(job.result), f"its result is {job.result!r}")
    (output,) = job.outputs.values()
    _expect(len(output.read_bytes()) > 0, "its output is empty")


def a_job_that_cannot_work_fails_with_the_reason(target: Target) -> None:
    job = target.submit(body=_NO_PHOTO)
    job.wait(target.patience_s)
    _expect(job.state is State.FAILED, f"job {job.id} is {job.state}")
    try:
        _ = job.result
    except JobFailed as reason:
        _expect("not-a-photo.jpg" in str(reason), f"the reason is {reason}")


def a_delayed_job_is_sent_when_it_is_due(target: Target) -> None:
    job = target.submit(delay=timedelta(seconds=5))
    job.wait(target.patience_s)
    _expect(job.state is State.COMPLETED, f"job {job.id} is {job.state}")


def a_cancelled_job_never_runs(target: Target) -> None:
    job = target.submit(delay=timedelta(hours=1))
    job.cancel()
    job.refresh()
    _expect(job.state is State.CANCELLED, f"job {job.id} is {job.state}")
    _expect(job.attempt == 0, f"it ran {job.attempt} times")


def a_dependent_runs_after_its_antecedent(target: Target) -> None:
    first = target.submit()
    second = target.submit(depends=(first.id,))
    second.wait(target.patience_s)
    first.refresh()
    _expect(first.state is State.COMPLETED, f"the antecedent is {first.state}")
    _expect(second.state is State.COMPLETED, f"the dependent is {second.state}")


def an_idempotency_key_makes_one_job(target: Target) -> None:
    first = target.submit(idempotency_key="verify")
    again = target.system.queue().submit(
        "thumbnail", body=_PHOTO, data={"size": 64}, idempotency_key="verify"
    )
    _expect(again.id == first.id, f"{first.id} and {again.id} are two jobs")
    first.wait(target.patience_s)


def a_live_worker_is_listed(target: Target) -> None:
    seen = target.system.workers()
    _expect(any(worker.alive is not False for worker in seen), f"the workers are {seen}")


ALL: Final[tuple[Callable[[Target], None], ...]] = (
    an_upload_becomes_a_completed_job,
    a_submitted_job_returns_its_result_and_output,
    a_live_worker_is_listed,
    a_job_that_cannot_work_fails_with_the_reason,
    a_delayed_job_is_sent_when_it_is_due,
    a_cancelled_job_never_runs,
    a_dependent_runs_after_its_antecedent,
    an_idempotency_key_makes_one_job,
)
"""In this order: the first one wakes the workers."""


def _expect(holds: bool, otherwise: str) -> None:  # noqa: FBT001 (what is expected)
    if not holds:
        raise Failed(otherwise)
