"""A whole system in memory, for tests: uploads, workers, the scheduler, and a clock to move."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from datetime import timedelta
from types import TracebackType
from typing import Final, Self

from remotejob.client.job import Job
from remotejob.client.remote_job import RemoteJob
from remotejob.domain.argument_checks import check_whole
from remotejob.domain.errors import RemoteJobError
from remotejob.domain.metadata import check_metadata
from remotejob.domain.record import JobRecord
from remotejob.domain.text import cut, shown
from remotejob.jobs.content.bodies import Body, check_body, open_body
from remotejob.jobs.content.content_types import check_content_type
from remotejob.jobs.content.input_files import check_key
from remotejob.jobs.submission.uploads import Upload, ingest
from remotejob.manual.holder import JobHolder
from remotejob.ports import Area
from remotejob.settings import Route, Settings
from remotejob.testing.connecting import found_by_connect
from remotejob.testing.interception import intercepted
from remotejob.testing.observed_run import from_task
from remotejob.testing.system_engine import Engine
from remotejob.testing.system_faults import SystemFaults
from remotejob.testing.system_settings import (
    SettingsSource,
    UserModules,
    installation_of,
    settings_from,
)
from remotejob.testing.system_time import MovableClock, SystemMessages, length

EVENT_RETRY: Final = timedelta(minutes=3)
"""The visibility timeout of the uploads queue in the stacks."""

EVENT_RECEIVES: Final = 10
"""How often the upload function gets an event there, until it goes to the dead-letter queue."""

_LONGEST_LIST: Final = 600


class NoRoute(RemoteJobError):
    """No route takes the key of an upload, so it makes no job."""


class JobSystem:
    """A system in memory, made from the settings in `remotejob.toml`.

    Nothing runs by itself: `drain` runs what is due, `run_for` lets time pass while the system
    works, and `clock.advance` moves the time while nothing works. Jobs run one at a time, in the
    test's thread. In a `with` block, `RemoteJob.connect` finds it.
    """

    def __init__(self, settings: SettingsSource) -> None:
        """`settings` is a `Path` to a file, the text of one, or parsed settings.

        The modules of a file are imported from its folder, once in a process.

        Raises: SettingsError, when the settings are invalid or a module cannot be imported.
        """
        read, folder = settings_from(settings)
        self.settings: Final[Settings] = read
        modules = UserModules(read, folder)
        modules.load()
        self.faults: Final = SystemFaults()
        self.clock: Final = MovableClock()
        messages = SystemMessages(self.clock, self.faults)
        made = installation_of(self.settings, clock=self.clock, messages=messages)
        self._installation: Final = intercepted(made, self.faults)
        holder = JobHolder(self._installation, start=_start_nothing)
        self.client: Final = RemoteJob(self._installation, holder=holder)
        self._engine: Final = Engine(
            self._installation,
            healthy=made,
            clock=self.clock,
            messages=messages,
            faults=self.faults,
            modules=modules,
            holder=holder,
        )
        self._open = ExitStack()

    def upload(
        self,
        key: str,
        body: Body,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Job:
        """Put a file into the input bucket; return the job that the first matching route makes.

        `body` is bytes, a path, or a file open in binary mode. If the upload function fails, as in
        an outage, it gets the event again every three minutes of the system's time, ten times.

        Raises: NoRoute, when no route takes the key: the file is stored, and there is no job;
        InvalidName; InvalidBody; the function's error, when it has failed ten times.
        """
        key = check_key(key)
        content_type = check_content_type(content_type)
        kept = None if metadata is None else check_metadata(metadata)
        with open_body(check_body(body)) as content:
            stored = self._installation.files.put(
                Area.INPUT, key, content, content_type=content_type, metadata=kept
            )
        upload = Upload(
            bucket=stored.bucket,
            key=key,
            size=stored.size,
            etag=stored.etag,
            version=stored.version,
            sequencer=None,
            at_ms=self.clock.now_ms(),
        )
        copies, late = self.faults.upload_delivery()
        if late:
            self.run_for(late)
        record = self._delivered(upload)
        for _ in range(copies - 1):
            self._delivered(upload)
        if record is None:
            raise NoRoute(_no_route(key, self.settings.routes))
        return Job(record, self._installation)

    def drain(self, *, at_most: int = 1000) -> list[Job]:
        """Run everything that is due now, until nothing is; return the jobs that ran, as they are.

        A job that waits for a later time, such as that of its next attempt, is not due. What a task
        raises fails its run, as in a worker: `raise_failures` raises it.

        Raises: NotDrained, when more than `at_most` runs are due: it says which jobs are left, and
        why; SettingsError, when a task of a queue is not registered.
        """
        at_most = check_whole("at_most", at_most, least=1, most=10_000_000)
        before = len(self._engine.began)
        self._engine.work(at_most)
        return self._jobs(self._engine.began[before:])

    def run_for(
        self,
        span: timedelta = timedelta(0),
        *,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
        at_most: int = 1000,
    ) -> list[Job]:
        """Let time pass while the system works; return the jobs that ran, as they are.

        Jobs begin when they are due, schedules fire, and lapsed leases are noticed. The span is
        `span` and all that is given by name, added together.

        Raises: as `drain`; InvalidData, when the span is negative.
        """
        at_most = check_whole("at_most", at_most, least=1, most=10_000_000)
        span = length(span, days=days, hours=hours, minutes=minutes, seconds=seconds)
        before = len(self._engine.began)
        self._engine.run_for(span, at_most)
        return self._jobs(self._engine.began[before:])

    def raise_failures(self) -> None:
        """Raise what a failed job's last run raised, with the task's own traceback.

        Of several failed jobs, the first that failed counts. Does nothing if no job has failed.

        Raises: JobFailed, if nothing was raised, because its worker died.
        """
        __tracebackhide__ = True
        failed = [job for name in self.client.queues for job in self.client.queue(name).failed()]
        for job in sorted(failed, key=lambda job: job.record.finished_ms or 0):
            error = self._engine.errors.get(job.id)
            if error is None:
                _ = job.result
            else:
                note = f"job {job.id} of task {job.task!r} failed in attempt {job.attempt}"
                with suppress(Exception):
                    # an error may refuse notes; it is raised all the same
                    error.add_note(note)
                raise from_task(error)

    def __enter__(self) -> Self:
        self._open.enter_context(found_by_connect(self.client))
        return self

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        """Raises: FaultNotMet, when a fault was injected that did not happen."""
        self._open.close()
        if error is None:
            self.faults.check_met()

    def __repr__(self) -> str:
        return f"<JobSystem {self.client.name} with queues {', '.join(self.client.queues)}>"

    def _delivered(self, upload: Upload) -> JobRecord | None:
        """What the upload function makes of an event, perhaps only when it comes again."""
        for _ in range(EVENT_RECEIVES - 1):
            try:
                return ingest(upload, self.settings, self._installation)
            except Exception:  # noqa: BLE001 (whatever it is, the message of the event comes back)
                self.run_for(EVENT_RETRY)
        return ingest(upload, self.settings, self._installation)

    def _jobs(self, ids: Iterable[str]) -> list[Job]:
        """The jobs that still exist, in this order, each once."""
        wanted = list(dict.fromkeys(ids))
        found = {record.id: record for record in self._installation.store.get_many(wanted)}
        return [Job(found[job_id], self._installation) for job_id in wanted if job_id in found]


def _start_nothing(beat: Callable[[], None]) -> None:
    """The engine beats for jobs that are taken by hand: no thread is needed."""


def _no_route(key: str, routes: Iterable[Route]) -> str:
    taken = [
        f"{route.prefix!r}{'' if not route.suffixes else ' with ' + ', '.join(route.suffixes)}"
        for route in routes
    ]
    listed = cut("; ".join(taken), _LONGEST_LIST) or "there are no [[routes]]"
    return (
        f"no route takes the key {shown(key)}, so it makes no job; the routes take: {listed}. "
        "Folder markers and what is under jobs/ make none, whatever the routes"
    )
