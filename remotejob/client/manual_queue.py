"""A queue, as a process sees it that takes jobs itself, or keeps files in its buckets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, BinaryIO, Final, Literal, overload

from remotejob.client.job import Job
from remotejob.client.notices import PENDING, Notice, check_status, receive_notice
from remotejob.jobs.messaging.command_events import command
from remotejob.jobs.submission import stored_files
from remotejob.jobs.submission.stored_files import StoredFile
from remotejob.jobs.submission.submission import Body
from remotejob.manual.holder import JobHolder
from remotejob.manual.options import Processing, Taking, check_span, wanted_tasks
from remotejob.manual.processor import Processor
from remotejob.manual.taken_job import TakenJob
from remotejob.ports import Area, Installation, QueueDescription

_A_WHILE: Final = timedelta(seconds=20)


class ManualQueue:
    """What a `Queue` has of job-collection's worker API, and of remotejob's."""

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
        """Take jobs to work on here: of some tasks, or of all the queue has.

        They are yours until you end each, and are kept alive meanwhile; with `work_timeout`, as
        long as you call them at least so often, and else failed. Without `wait` it looks once, and
        SQS may miss the messages of a queue that holds few.

        Raises: UnknownTask, InvalidData; before anything is asked for.
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
        """Call a function with jobs as they come; `Processing` says what the options mean.

        What it returns is the job's result, unless it has ended the job itself; what it raises
        fails the job. With `payload` beyond one it is given a list, and what it returns is the
        result of each.

        Raises: UnknownTask, InvalidData; before anything is asked for. What these credentials may
        not do is raised by the processor's `shutdown`.
        Source: meteor-job, `Job.processJobs`.
        """
        wanted, whole = wanted_tasks(tasks, self._description)
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
        """The next job to work on (`pending`), or the news of the next one that has ended.

        Waits for ever, or up to `wait`; then None.

        Raises: InvalidName, naming the statuses there are; InvalidData, when `wait` is no span.
        Source: remotejob, `next`.
        """
        check_status(status)
        if wait is not None:
            check_span("wait", wait)
        while True:
            span = _A_WHILE if wait is None else wait
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
        """Keep a file, without making a job of it; return its key.

        `data` says its `body` (a path, bytes, or a file open for reading in binary; or nothing),
        its `filename`, the `key` to keep it under (default a new one), and whatever else is to be
        noted of it, as text. It is kept for `retention_days`.

        Raises: InvalidInput, before anything is stored.
        Source: remotejob, `store`.
        """
        return stored_files.store(data, self._installation)

    def store_raw(self, key: str, metadata: Mapping[str, str], body: Body) -> str:
        """Put a file under exactly that key of the input bucket; return the key.

        Where a route takes such keys, a job is made of it as of any upload.

        Raises: InvalidInput, before anything is stored.
        Source: remotejob, `storeRaw`.
        """
        return stored_files.store_raw(key, metadata, body, self._installation)

    @command
    def trigger(self, queue_name: str, key: str, *, task: str | None = None) -> Job:
        """Make a job of a stored file, a new one each time: its body is the job's input, what is
        noted of it the job's data.

        `queue_name` is `pending`; `task` may be left out where the queue has but one.

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
        """A file of the `input` or the `output` bucket, and what is noted of it.

        Raises: InvalidName; FileNotFoundError.
        Source: remotejob, `retrieve`.
        """
        return stored_files.retrieve(direction, key, self._installation)

    def download(self, direction: Area | str, key: str) -> BinaryIO:
        """A stream of a file of the `input` or the `output` bucket; close it.

        Raises: InvalidName; FileNotFoundError.
        Source: remotejob, `download`.
        """
        return stored_files.open_stored(direction, key, self._installation)

    def remove(self, direction: Area | str, key: str) -> None:
        """Remove a file of the `input` or the `output` bucket. One that is gone is no error.

        Raises: InvalidName.
        Source: remotejob, `remove`.
        """
        stored_files.remove(direction, key, self._installation)
