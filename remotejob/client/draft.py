"""A job being put together, option by option, before it is saved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from remotejob.client.job import Job
from remotejob.domain.repeat import Repeat
from remotejob.domain.retry import Retry
from remotejob.jobs.submission.submission import Body


class JobDraft:
    """A job that is not submitted yet. Each method gives a new draft, so that they chain:

        job = queue.new_job("thumbnail").body("cat.jpg").retry(Retry(max_attempts=3)).save()

    A draft can be saved more than once; each time makes another job.
    Source: job-collection, `new Job(...)` and its options.
    """

    def __init__(self, submit: Callable[..., Job], task: str, options: Mapping[str, Any]) -> None:
        self._submit = submit
        self.task = task
        self.options = dict(options)
        """What is asked for so far, as `Queue.submit` takes it."""

    def data(self, data: Any) -> JobDraft:
        """Anything JSON can write."""
        return self._with(data=data)

    def body(
        self, body: Body, *, filename: str | None = None, content_type: str | None = None
    ) -> JobDraft:
        """The input: a path, its bytes, or a file open for reading in binary."""
        return self._with(body=body, filename=filename, content_type=content_type)

    def depends(self, *jobs: str | Job) -> JobDraft:
        """Run after these as well; without any, after none."""
        return self._with(depends=(*self.options.get("depends", ()), *jobs) if jobs else ())

    def priority(self, priority: int) -> JobDraft:
        """A `Priority`, or any whole number; smaller is sooner."""
        return self._with(priority=priority)

    def retry(self, retry: Retry) -> JobDraft:
        """What happens when it fails."""
        return self._with(retry=retry)

    def repeat(self, repeat: Repeat) -> JobDraft:
        """Run it again each time it completes."""
        return self._with(repeat=repeat)

    def delay(self, delay: timedelta) -> JobDraft:
        """Not before so long after it is saved."""
        return self._with(delay=delay, after=None)

    def after(self, moment: datetime) -> JobDraft:
        """Not before this time."""
        return self._with(after=moment, delay=None)

    def resource(self, resource: str) -> JobDraft:
        """Of the jobs of one resource one runs at a time."""
        return self._with(resource=resource)

    def tenant(self, tenant: str) -> JobDraft:
        """For whom it is."""
        return self._with(tenant=tenant)

    def idempotency_key(self, key: str, *, window: timedelta = timedelta(days=1)) -> JobDraft:
        """Saved under the same key again within the window, it is the same job."""
        return self._with(idempotency_key=key, idempotency_window=window)

    def save(self, *, cancel_repeats: bool = False) -> Job:
        """Make the job. Once this returns it is durable, and will run.

        Raises: as `Queue.submit`.
        """
        return self._submit(self.task, **self.options, cancel_repeats=cancel_repeats)

    def _with(self, **options: Any) -> JobDraft:
        return JobDraft(self._submit, self.task, {**self.options, **options})

    def __repr__(self) -> str:
        return f"<JobDraft {self.task}>"
