"""The part of `Queue` that takes jobs by hand, and stores files in the buckets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, BinaryIO, Final, Literal, overload

from remotejob.client.job import Job
from remotejob.client.notices import PENDING, Notice, check_status, receive_notice
from remotejob.jobs.content.bodies import Body
from remotejob.jobs.messaging.command_events import command
from remotejob.jobs.submission import stored_files
from remotejob.jobs.submission.stored_files import StoredFile
from remotejob.manual.holder import JobHolder
from remotejob.manual.options import Processing, Taking, check_span, wanted_tasks
from remotejob.manual.processor import Processor
from remotejob.manual.taken_job import TakenJob
from remotejob.ports import Area, Installation, QueueDescription
from remotejob.tasks.functions import check_function

_LONGEST_POLL: Final = timedelta(seconds=20)


class ManualQueue:
    """The methods of `Queue` that come from the worker APIs of job-collection and remotejob."""

    def __init__(
        self, description: QueueDescription, installation: Installation, holder: JobHolder
    ) -> None:
        self._description = description
        self._installation = installation
        self._holder = holder

    @command
    def get_work(
        self,
        tasks: str | Iterable[str] | None = None,
        *,
        max_jobs: int = 1,
        work_timeout: timedelta | None = None,
        wait: timedelta = timedelta(0),
    ) -> list[TakenJob]:
        """Take jobs to work on here, for some tasks or for all tasks of the queue.

        You hold each job, and its lease is renewed, until you end it. With `work_timeout`, a job
        fails unless you call one of its methods at least that often. Without `wait` this polls
        once, and SQS may miss messages when the queue holds few.

        Raises: UnknownTask, InvalidData; both before it receives anything.
        Source: job-collection, `jc.getWork`.
        """
        wanted, whole = wanted_tasks(tasks, self._description)
        taking = Taking(
            tasks=wanted,
            all_tasks=whole,
            max_jobs=max_jobs,
            work_timeout=work_timeout,
            wait=wait,
        )
        return self._holder.take(self._description.name, taking)

    @overload
    def process_jobs(
        self,
        tasks: str | Iterable[str] | None,
        function: Callable[[TakenJob], Any],
        *,
        concurrency: int = ...,
        payload: Literal[1] = ...,
        poll_interval: timedelta = ...,
        prefetch: int = ...,
        work_timeout: timedelta | None = ...,
    ) -> Processor: ...

    @overload
    def process_jobs(
        self,
        tasks: str | Iterable[str] | None,
        function: Callable[[list[TakenJob]], Any],
        *,
        concurrency: int = ...,
        payload: int,
        poll_interval: timedelta = ...,
        prefetch: int = ...,
        work_timeout: timedelta | None = ...,
    ) -> Processor: ...

    def process_jobs(
        self,
        tasks: str | Iterable[str] | None,
        function: Callable[[Any], Any],
        *,
        concurrency: int = 1,
        payload: int = 1,
        poll_interval: timedelta = timedelta(seconds=5),
        prefetch: int = 0,
        work_timeout: timedelta | None = None,
    ) -> Processor:
        """Call a function with each job as it arrives; `Processing` documents the options.

        Its return value becomes the job's result, unless it ended the job itself; an exception
        fails the job. With `payload` greater than 1 it gets a list of jobs, and its return value
        becomes the result of each. An `async def` gets the same, on an event loop of its own.

        Raises: UnknownTask, InvalidData; both before it receives anything. The processor's
        `shutdown` raises errors about missing permissions.
        Source: meteor-job, `Job.processJobs`.
        """
        wanted, whole = wanted_tasks(tasks, self._description)
        check_function("function", function, "job")
        processing = Processing(
            concurrency=concurrency,
            payload=payload,
            poll_interval=poll_interval,
            prefetch=prefetch,
            work_timeout=work_timeout,
        )
        return Processor(
            self._holder,
            self._description.name,
            function,
            taking=Taking(tasks=wanted, all_tasks=whole),
            processing=processing,
        )

    @overload
    def next(self, status: Literal["pending"], *, wait: None = None) -> TakenJob: ...
    @overload
    def next(self, status: Literal["pending"], *, wait: timedelta) -> TakenJob | None: ...
    @overload
    def next(self, status: Literal["completed", "failed"], *, wait: None = None) -> Notice: ...
    @overload
    def next(self, status: Literal["completed", "failed"], *, wait: timedelta) -> Notice | None: ...

    def next(self, status: str, *, wait: timedelta | None = None) -> TakenJob | Notice | None:
        """The next job to work on (`pending`), or a notice of the next job that has ended.

        Waits for ever, or up to `wait` and then returns None.

        Raises: InvalidName, which names the valid statuses; InvalidData, when `wait` is not a
        duration of zero or more.
        Source: remotejob, `next`.
        """
        status = check_status(status)
        if wait is not None:
            check_span("wait", wait)
        while True:
            span = _LONGEST_POLL if wait is None else wait
            found: TakenJob | Notice | None
            if status == PENDING:
                found = next(iter(self.get_work(wait=span)), None)
            else:
                found = receive_notice(
                    self._description.name, status, wait=span, installation=self._installation
                )
            if found is not None or wait is not None:
                return found

    def store(self, data: Mapping[str, Any]) -> str:
        """Store a file without making a job of it; return its key.

        `data` has its `body` (a path, bytes, a file opened in binary mode, or nothing), its
        `filename`, its `key` (default: a new one), and any other metadata, as text. The file is
        kept for `retention_days`.

        Raises: InvalidInput, before storing anything.
        Source: remotejob, `store`.
        """
        return stored_files.store(data, self._installation)

    def store_raw(self, key: str, metadata: Mapping[str, str], body: Body) -> str:
        """Store a file under exactly this key of the input bucket; return the key.

        If a route matches the key, the file becomes a job like any upload.

        Raises: InvalidInput, before storing anything.
        Source: remotejob, `storeRaw`.
        """
        return stored_files.store_raw(key, metadata, body, self._installation)

    @command
    def trigger(self, queue_name: str, key: str, *, task: str | None = None) -> Job:
        """Submit a job for a stored file, a new one at each call.

        The file becomes the job's input, its metadata the job's data. `queue_name` must be
        `pending`. You may leave out `task` if the queue has only one.

        Raises: InvalidName; UnknownTask; FileNotFoundError, when there is no such file.
        Source: remotejob, `trigger`.
        """
        record = stored_files.trigger(
            queue_name,
            key,
            task=task,
            queue=self._description,
            installation=self._installation,
        )
        return Job(record, self._installation)

    def retrieve(self, direction: Area | str, key: str) -> StoredFile:
        """A file of the `input` or `output` bucket, with its metadata.

        Raises: InvalidName; FileNotFoundError.
        Source: remotejob, `retrieve`.
        """
        return stored_files.retrieve(direction, key, self._installation)

    def download(self, direction: Area | str, key: str) -> BinaryIO:
        """A stream of a file in the `input` or `output` bucket; close it when done.

        Raises: InvalidName; FileNotFoundError.
        Source: remotejob, `download`.
        """
        return stored_files.open_stored(direction, key, self._installation)

    def remove(self, direction: Area | str, key: str) -> None:
        """Delete a file of the `input` or `output` bucket. A missing file is not an error.

        Raises: InvalidName.
        Source: remotejob, `remove`.
        """
        stored_files.remove(direction, key, self._installation)
