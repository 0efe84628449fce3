"""A builder for jobs: set options one by one, then save."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from remotejob.client.job import Job
from remotejob.domain.argument_checks import check_items, is_a, reading
from remotejob.domain.priority import Priority
from remotejob.domain.repeat import Repeat
from remotejob.domain.retry import Retry
from remotejob.jobs.content.bodies import Body


class JobDraft:
    """A job that is not submitted yet. Each method returns a new draft, so calls chain:

        job = queue.new_job("thumbnail").body("cat.jpg").retry(Retry(max_attempts=3)).save()

    You can save a draft more than once; each save makes another job.
    Source: job-collection, `new Job(...)` and its options.
    """

    def __init__(self, submit: Callable[..., Job], task: str, options: Mapping[str, Any]) -> None:
        self._submit = submit
        self.task = task
        self.options = dict(options)
        """The options set so far, as keyword arguments of `Queue.submit`."""

    def data(self, data: Any) -> JobDraft:
        """Anything that can be written as JSON."""
        return self._with(data=data)

    def body(
        self, body: Body, *, filename: str | None = None, content_type: str | None = None
    ) -> JobDraft:
        """The input: a path, bytes, or a file opened in binary mode."""
        return self._with(body=body, filename=filename, content_type=content_type)

    def depends(self, *jobs: str | Job | Iterable[Any]) -> JobDraft:
        """Also run after these jobs, given one by one or in lists. Without any, run after none.

        Source: job-collection, `job.depends`, which takes a list.
        """
        with reading("depends"):
            more = [one for given in jobs for one in _each_job(given)]
        return self._with(depends=(*self.options.get("depends", ()), *more) if more else ())

    def priority(self, priority: Priority | int | str) -> JobDraft:
        """A `Priority`, its name such as "high", or any whole number; smaller ones run sooner."""
        return self._with(priority=priority)

    def retry(self, retry: Retry) -> JobDraft:
        """The retry policy."""
        return self._with(retry=retry)

    def repeat(self, repeat: Repeat) -> JobDraft:
        """Run the job again each time it ends."""
        return self._with(repeat=repeat)

    def delay(self, delay: timedelta) -> JobDraft:
        """Run no earlier than this long after saving."""
        return self._with(delay=delay, after=None)

    def after(self, moment: datetime) -> JobDraft:
        """Run no earlier than this time."""
        return self._with(after=moment, delay=None)

    def expires(self, expires: timedelta | datetime) -> JobDraft:
        """No run begins later: a time, or a span from when the job may begin."""
        return self._with(expires=expires)

    def crashes(self, crashes: int) -> JobDraft:
        """How many deaths of its worker it may survive; 0: it never runs again by itself."""
        return self._with(crashes=crashes)

    def resource(self, resource: str) -> JobDraft:
        """Lock this resource: only one job of a resource runs at a time."""
        return self._with(resource=resource)

    def tenant(self, tenant: str) -> JobDraft:
        """The tenant the job is for."""
        return self._with(tenant=tenant)

    def idempotency_key(self, key: str, *, window: timedelta = timedelta(days=1)) -> JobDraft:
        """Saving again with the same key within the window returns the same job."""
        return self._with(idempotency_key=key, idempotency_window=window)

    def pause(self) -> JobDraft:
        """Save the job paused: it runs only once it is resumed."""
        return self._with(paused=True)

    def resume(self) -> JobDraft:
        """Take back `pause`."""
        return self._with(paused=False)

    def save(self, *, cancel_repeats: bool = False) -> Job:
        """Submit the job. Once this returns, the job is durable and will run.

        Raises: the errors of `Queue.submit`.
        """
        return self._submit(self.task, **self.options, cancel_repeats=cancel_repeats)

    def _with(self, **options: Any) -> JobDraft:
        return JobDraft(self._submit, self.task, {**self.options, **options})

    def __repr__(self) -> str:
        return f"<JobDraft {self.task}>"


def _each_job(given: object) -> Iterator[object]:
    """One job, or all in a list, at any depth. What is neither is left to `submit` to refuse."""
    if is_a(given, str, bytes, Mapping) or not is_a(given, Iterable):
        yield given
        return
    for one in check_items("depends", given, remedy="give jobs, their ids, or a list of them"):
        yield from _each_job(one)
