"""A job, as the task that runs it sees it."""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol, TypeVar

from remotejob.domain.checkpoints import CHECKPOINT_LIMIT
from remotejob.domain.errors import InvalidBody, InvalidData, NoInput, RunInterrupted
from remotejob.domain.events import Event
from remotejob.domain.job_log import LOG_LEVELS, Level
from remotejob.domain.name_rules import check_output_name
from remotejob.domain.record import INLINE_LIMIT, InputFile, JobRecord, OutputFile
from remotejob.domain.text import dumps
from remotejob.domain.times import from_ms
from remotejob.jobs.content import payloads
from remotejob.jobs.content.bodies import is_binary
from remotejob.jobs.content.download_path import destination
from remotejob.jobs.content.view import JobView
from remotejob.outages import Interruptible, retry_while_unavailable
from remotejob.ports import Area
from remotejob.tasks.log_echo import echo_line, echo_progress
from remotejob.tasks.task import Task

T = TypeVar("T")

_REACH: Final = "reach a file"


class RunHandle(Interruptible, Protocol):
    """What a task's job uses of its run: in the worker, or from a child process of it."""

    @property
    def run_id(self) -> str: ...
    @property
    def record(self) -> JobRecord: ...
    @property
    def task(self) -> Task: ...
    @property
    def prefix(self) -> str:
        """Where the keys of its outputs begin."""
        ...

    @property
    def began(self) -> float:
        """When it began, on the clock's monotonic time."""
        ...

    def folder(self) -> Path: ...
    def report_progress(self, progress: str) -> None: ...
    def report_line(self, level: Level, message: str, data: Any) -> None: ...
    def add_output(self, output: OutputFile) -> None: ...
    def keep(self, checkpoint: str) -> None:
        """Make a checkpoint durable."""
        ...


class RunningJob(JobView):
    """What a task is given. Its methods raise `RunInterrupted` once the run must stop.

    Let that pass: the worker knows what to do. It may be used from threads of the task's own.
    """

    def __init__(self, run: RunHandle) -> None:
        super().__init__(run.record, run.installation)
        self._run = run

    def _touch(self) -> RunHandle:
        """The run, for one call by the task."""
        return self._run

    @property
    def run_id(self) -> str:
        """Fencing token of this run: unlike the attempt it never repeats."""
        return self._touch().run_id

    @property
    def cancelled(self) -> bool:
        """Whether the run must stop: cancelled, lease lost, out of time, or worker stopping."""
        try:
            self._touch().check()
        except RunInterrupted:
            return True
        return False

    @property
    def lease_until(self) -> datetime:
        """How long the job is surely ours, as the record says."""
        return from_ms(self._touch().record.lease_ms or 0)

    def check(self) -> None:
        """Raises: RunInterrupted, when the run must stop. For long loops without other calls."""
        self._touch().check()

    def open(self) -> BinaryIO:
        """A stream of the input, which cannot seek; close it. While S3 does not answer, it is
        opened again until the run must stop; what breaks off later raises ConnectionError.

        Raises: NoInput, when the job has none: it fails for good, for no other run would find one;
        FileNotFoundError, when it is gone.
        """
        self._touch().check()
        file = self._file()
        files = self._installation.files
        return self._tried(lambda: files.open(file.bucket, file.key, version=file.version))

    def download(self, path: Path | str | None = None) -> Path:
        """Copy the input to the disk; default into a folder that goes when the run ends.

        `path` is a file's, or a folder's: one that is there, or text that ends in a slash. While
        S3 does not answer, it is begun again until the run must stop.

        Raises: as `open`.
        """
        run = self._touch()
        run.check()
        file = self._file()
        to = destination(run.folder() if path is None else path, file.name)
        files = self._installation.files
        self._tried(lambda: files.download(file.bucket, file.key, to, version=file.version))
        return to

    def folder(self) -> Path:
        """A folder for this run's files; it goes when the run ends."""
        return self._touch().folder()

    def progress(self, done: float, total: float = 1) -> None:
        """Say how far the work is. It shows at the next heartbeat.

        Raises: InvalidData, unless 0 <= done <= total and total > 0.
        Source: job-collection, `job.progress`.
        """
        run = self._touch()
        run.check()
        if not 0 <= done <= total or total <= 0 or total == float("inf"):
            raise InvalidData(f"progress({done!r}, {total!r}): it takes 0 <= done <= total > 0")
        run.report_progress(dumps([done, total]))
        echo_progress(run.record, done, total)
        self._installation.hooks.tell(
            Event.PROGRESS, run.record, self._installation, progress=(done, total)
        )

    @property
    def resumed_from(self) -> Any:
        """The last checkpoint of the runs before this one, decoded anew at each call; None when
        there is none, and the work is to begin from the beginning.

        Raises: RunInterrupted, for a run that has lost its job may know of an older one;
        FileNotFoundError, when it was too long for the record and is gone.
        """
        self._touch().check()
        return self._checkpoint()

    def checkpoint(self, state: Any) -> None:
        """Keep how far the work is, for the run that may have to go on with it.

        `state` is what JSON can write; it takes the place of the one before, and None says that
        there is nothing to go on from. Once this returns it is durable, and survives whatever
        befalls the worker. Up to 512 bytes cost one write of the record, more a file as well.

        Raises: RunInterrupted, when the run must stop: the state was not kept, and another run
        goes on from the one before; InvalidData, when JSON cannot write it, or it is longer than
        10 MiB; what AWS answered, when the state could not be written for as long as a lease lasts.
        """
        run = self._touch()
        run.check()
        text = payloads.encode(state, what="the checkpoint")
        size = len(text.encode())
        if size > CHECKPOINT_LIMIT:
            raise InvalidData(
                f"a checkpoint of {size} bytes: {CHECKPOINT_LIMIT} at most; keep large parts in "
                "files of your own (S3), and where they are in the checkpoint"
            )
        run.keep(text)

    def log(self, message: str, *, level: Level = "info", data: Any = None) -> None:
        """Add a line to the job's log, which outlives the job.

        Raises: InvalidData, when the level is none of info, success, warning and danger.
        Source: job-collection, `job.log`.
        """
        run = self._touch()
        run.check()
        if level not in LOG_LEVELS:
            raise InvalidData(f"log level {level!r}: use one of {', '.join(LOG_LEVELS)}")
        if data is not None:
            text = payloads.encode(data, what="log data")
            if not payloads.fits_inline(text):
                raise InvalidData(
                    f"log data of {len(text.encode())} bytes: {INLINE_LIMIT} at most; "
                    "keep more in an output"
                )
        run.report_line(level, str(message), data)
        echo_line(run.record, level, str(message), data)

    def output(
        self,
        name: str,
        body: bytes | Path | str | BinaryIO,
        *,
        content_type: str | None = None,
    ) -> None:
        """Keep a file: bytes, a path, or a file open for reading in binary, which is streamed.

        Nobody sees it unless this run completes the job. The same name again replaces it. While S3
        does not answer, bytes and paths are tried again until the run must stop; a stream is not.

        Raises: InvalidName; InvalidBody, when there is no such file. It may be empty.
        """
        run = self._touch()
        run.check()
        check_output_name(name)
        content_type = content_type or mimetypes.guess_type(name)[0]
        key = run.prefix + name
        if isinstance(body, str | Path):
            try:
                with Path(body).open("rb") as file:
                    stored = self._tried(lambda: self._put_file(key, file, content_type))
            except (FileNotFoundError, IsADirectoryError):
                raise InvalidBody(
                    f"output {name!r}: {str(body)!r} is not a file; "
                    "give the path of one, or the content as bytes"
                ) from None
        elif not isinstance(body, bytes) and not is_binary(body):
            raise InvalidBody(f"output {name!r}: open the file in mode 'rb'")
        else:
            _check_not_spent(name, body)
            if isinstance(body, bytes):
                stored = self._tried(lambda: self._put(key, body, content_type))
            else:
                # what was read of it is gone: where that fails, the task's own retry helps
                stored = self._put(key, body, content_type)
        self._touch().add_output(
            OutputFile(
                name=name,
                key=key,
                size=stored.size,
                etag=stored.etag,
                content_type=content_type,
            )
        )

    def _tried(self, request: Callable[[], T]) -> T:
        return retry_while_unavailable(self._touch(), request, what=_REACH)

    def _put_file(self, key: str, file: BinaryIO, content_type: str | None) -> Any:
        file.seek(0)
        return self._put(key, file, content_type)

    def _put(self, key: str, body: bytes | BinaryIO, content_type: str | None) -> Any:
        return self._installation.files.put(Area.OUTPUT, key, body, content_type=content_type)

    def _file(self) -> InputFile:
        file = self.input
        if file is None:
            raise NoInput(self.id, task=self.task)
        return file

    def time_left(self) -> timedelta | None:
        """What is left of the task's `timeout`; None if it has none."""
        run = self._touch()
        timeout = run.task.timeout
        if timeout is None:
            return None
        spent = timedelta(seconds=self._installation.clock.monotonic() - run.began)
        return max(timedelta(0), timeout - spent)

    def __repr__(self) -> str:
        return f"<RunningJob {self.id} {self.task} attempt {self.attempt}>"


def _check_not_spent(name: str, body: bytes | BinaryIO) -> None:
    """Refuse a buffer that was written and not rewound: it would be kept as an empty file."""
    if isinstance(body, bytes) or not body.seekable():
        return
    here = body.tell()
    if here and here == body.seek(0, os.SEEK_END):
        raise InvalidBody(f"output {name!r}: the file stands at its end; call seek(0) first")
    body.seek(here)
