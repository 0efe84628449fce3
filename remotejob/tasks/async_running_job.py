"""The job that an `async def` task is given."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

from remotejob.domain.job_log import Level
from remotejob.domain.record import InputFile
from remotejob.domain.repeat import Repeat
from remotejob.tasks.async_antecedent import AsyncAntecedent
from remotejob.tasks.async_stream import AsyncStream
from remotejob.tasks.running_job import RunningJob


class AsyncRunningJob:
    """The job that an `async def` task is given: a `RunningJob` whose long calls are awaited.

    Once the run must stop, its handler is cancelled: the current `await` raises
    `asyncio.CancelledError`. The call it awaited may go on for a while on its thread, to no effect.
    """

    def __init__(self, job: RunningJob) -> None:
        from remotejob.tasks.async_calls import AsyncCalls

        self._job = job
        self._calls = AsyncCalls()

    @property
    def id(self) -> str:
        return self._job.id

    @property
    def task(self) -> str:
        return self._job.task

    @property
    def queue(self) -> str:
        return self._job.queue

    @property
    def priority(self) -> int:
        return self._job.priority

    @property
    def resource(self) -> str | None:
        """The resource that it locks while it runs."""
        return self._job.resource

    @property
    def tenant(self) -> str | None:
        """The tenant that it belongs to."""
        return self._job.tenant

    @property
    def repeat(self) -> Repeat | None:
        """How it is repeated; `times` is the number of repeats left."""
        return self._job.repeat

    @property
    def origin_id(self) -> str | None:
        """The job that it repeats, reruns or replays."""
        return self._job.origin_id

    @property
    def depends(self) -> tuple[str, ...]:
        """Ids of the jobs it depends on."""
        return self._job.depends

    @property
    def due_at(self) -> datetime | None:
        """As `RunningJob.due_at`."""
        return self._job.due_at

    @property
    def attempt(self) -> int:
        """Number of this run, from 1."""
        return self._job.attempt

    @property
    def created_at(self) -> datetime:
        return self._job.created_at

    @property
    def run_id(self) -> str:
        """Fencing token of this run: unlike the attempt, it is never the same for two runs."""
        return self._job.run_id

    @property
    def input(self) -> InputFile | None:
        """The file to work on, if the job has one."""
        return self._job.input

    @property
    def filename(self) -> str | None:
        """Name of the input file, without folders."""
        return self._job.filename

    @property
    def cancelled(self) -> bool:
        """Whether the run must stop: cancelled, lease lost, out of time, or worker stopping."""
        return self._job.cancelled

    @property
    def lease_until(self) -> datetime:
        """The end of this run's lease, according to the record."""
        return self._job.lease_until

    def check(self) -> None:
        """Raises: RunInterrupted, when the run must stop. For long loops without other calls."""
        self._job.check()

    def progress(self, done: float, total: float = 1, *, message: str | None = None) -> None:
        """As `RunningJob.progress`."""
        self._job.progress(done, total, message=message)

    def log(self, message: str, *, level: Level = "info", data: Any = None) -> None:
        """As `RunningJob.log`."""
        self._job.log(message, level=level, data=data)

    def time_left(self) -> timedelta | None:
        """The time left until the task's `timeout`; None if it has none."""
        return self._job.time_left()

    def folder(self) -> Path:
        """A folder for this run's files; it is deleted when the run ends."""
        return self._job.folder()

    async def data(self) -> Any:
        """The data given at submit, decoded again at each call; None if none was given.

        Raises: FileGone, when it was too long for the record, and its file was deleted.
        """
        return await self._calls.make(lambda: self._job.data)

    async def antecedents(self) -> tuple[AsyncAntecedent, ...]:
        """The jobs it depends on. Raises: as `RunningJob.antecedents`."""
        found = await self._calls.make(self._job.antecedents)
        return tuple(AsyncAntecedent(one, self._calls) for one in found)

    async def open(self) -> AsyncStream:
        """A stream of the input. Raises: as `RunningJob.open`."""
        return AsyncStream(await self._calls.make(self._job.open), self._calls)

    async def download(self, path: Path | str | None = None) -> Path:
        """Copy the input to the disk. Raises: as `RunningJob.download`."""
        return await self._calls.make(self._job.download, path)

    async def output(
        self,
        name: str,
        body: bytes | Path | str | BinaryIO,
        *,
        content_type: str | None = None,
    ) -> None:
        """Store a file as an output. Raises: as `RunningJob.output`."""
        await self._calls.make(self._job.output, name, body, content_type=content_type)

    async def checkpoint(self, state: Any) -> None:
        """Store the state of the work. Raises: as `RunningJob.checkpoint`."""
        await self._calls.make(self._job.checkpoint, state)

    async def resumed_from(self) -> Any:
        """The last checkpoint of earlier runs. Raises: as `RunningJob.resumed_from`."""
        return await self._calls.make(lambda: self._job.resumed_from)

    def __repr__(self) -> str:
        return f"<AsyncRunningJob {self.id} {self.task} attempt {self.attempt}>"
