"""The job that a task is given."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol, TypeVar

from remotejob.domain.checkpoints import CHECKPOINT_LIMIT
from remotejob.domain.errors import FileGone, InvalidData, InvalidName, NoInput, RunInterrupted
from remotejob.domain.events import Event
from remotejob.domain.job_log import Level, check_level
from remotejob.domain.name_rules import check_output_name
from remotejob.domain.record import InputFile, JobRecord, OutputFile
from remotejob.domain.text import cut, dumps
from remotejob.domain.times import from_ms
from remotejob.jobs.content.bodies import Body, check_body
from remotejob.jobs.content.content_types import check_content_type, guess_content_type
from remotejob.jobs.content.download_path import destination
from remotejob.jobs.content.input_files import download_input, open_input
from remotejob.jobs.content.view import JobView
from remotejob.jobs.messaging.command_events import command
from remotejob.outages import Interruptible, retry_while_unavailable
from remotejob.ports import Area, Stored
from remotejob.tasks.antecedent import Antecedent
from remotejob.tasks.forked import check_owner
from remotejob.tasks.log_echo import echo_line, echo_progress
from remotejob.tasks.reported import Reported, encoded_state, log_data_of, message_of, progress_of
from remotejob.tasks.task import Task

T = TypeVar("T")

_REACH: Final = "reach a file"
_LONGEST_KEY: Final = 200


class RunHandle(Interruptible, Protocol):
    """The run behind a task's job: a `Run` in the worker, or its proxy in a child process."""

    @property
    def run_id(self) -> str: ...
    @property
    def record(self) -> JobRecord: ...
    @property
    def task(self) -> Task: ...
    @property
    def prefix(self) -> str:
        """The prefix of the keys of its outputs."""
        ...

    @property
    def began(self) -> float:
        """When it began, in the clock's monotonic time."""
        ...

    def folder(self) -> Path: ...
    def antecedents(self) -> list[JobRecord]:
        """The records of the jobs that this one depends on, in any order."""
        ...

    def report_progress(self, progress: str, message: str | None) -> None:
        """Store a progress, and add its message to the log."""
        ...

    def report_line(self, level: Level, message: str, data: Any) -> None: ...
    def add_output(self, output: OutputFile) -> None: ...
    def keep(self, checkpoint: str) -> None:
        """Make a checkpoint durable."""
        ...


class RunningJob(JobView):
    """The job that a task is given. Its methods raise `RunInterrupted` once the run must stop.

    Don't catch that: the worker handles it. Threads that the task starts may use the job, too; a
    process that it forks may not: there, the methods raise `RemoteJobError`.
    """

    def __init__(self, run: RunHandle) -> None:
        super().__init__(run.record, run.installation)
        self._run = run
        self._claimed: Final = run.record
        self._noted: set[str] = set()
        self._owner: Final = os.getpid()

    def _touch(self) -> RunHandle:
        """The run; each call of the job by the task gets it here."""
        check_owner(self._owner)
        return self._run

    @property
    def run_id(self) -> str:
        """Fencing token of this run: unlike the attempt, it is never the same for two runs."""
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
        """The end of this run's lease, according to the record."""
        return from_ms(self._touch().record.lease_ms or 0)

    def check(self) -> None:
        """Raises: RunInterrupted, when the run must stop. For long loops without other calls."""
        self._touch().check()

    @property
    def data(self) -> Any:
        """The data given at submit, decoded again at each call; None if there was none.

        Raises: FileGone, which fails the job for good, when it was too long for the record and its
        file was deleted.
        """
        self._touch()
        with _gone("the data, which is too long for the record,", "submit the job again"):
            return super().data

    def open(self) -> BinaryIO:
        """A stream of the input, which cannot seek; close it.

        While S3 does not answer, opening is retried until the run must stop. A stream that breaks
        off later raises ConnectionError.

        Raises, and fails the job for good: NoInput, when it has no input; FileGone, when the file
        was deleted; FileUnreadable, when it is archived, encrypted with a key of its uploader's, or
        in a bucket that this system does not read.
        """
        self._touch().check()
        file = self._file()
        with _input_gone(file):
            return self._retry(lambda: open_input(file, self._installation))

    def download(self, path: Path | str | None = None) -> Path:
        """Copy the input to the disk; by default to a folder that is deleted when the run ends.

        `path` is a file, an existing folder, or text that ends in a slash for a new folder. While
        S3 does not answer, the download is retried until the run must stop.

        Raises: as `open`.
        """
        run = self._touch()
        run.check()
        file = self._file()
        to = destination(run.folder() if path is None else path, file.name)
        with _input_gone(file):
            self._retry(lambda: download_input(file, to, self._installation))
        return to

    def folder(self) -> Path:
        """A folder for this run's files; it is deleted when the run ends."""
        return self._touch().folder()

    def antecedents(self) -> tuple[Antecedent, ...]:
        """The jobs it depends on, in the order of `depends`, read now; removed ones are left out.

        They have completed, unless somebody restarted one since: their `result` and `outputs` are
        what this job can work on. While the table does not answer, reading is retried until the run
        must stop. Outputs, and results beyond 4 KB, of another queue's job may be out of reach.

        Raises: AccessProblem, when this worker may not read records.
        """
        run = self._touch()
        run.check()
        if not self.depends:
            return ()
        read = retry_while_unavailable(run, run.antecedents, what="read what it depends on")
        found = {record.id: record for record in read}
        return tuple(
            Antecedent(found[one], self._installation, queue=self.queue)
            for one in self.depends
            if one in found
        )

    def progress(self, done: float, total: float = 1, *, message: str | None = None) -> None:
        """Report the progress of the work. The next heartbeat stores it.

        Any number will do: one outside 0 <= done <= total is clamped, and NaN ignored, with one
        warning in the job's log. `message` is a line of the job's log, and hooks get it too. Once
        the job has completed, all is done, whatever was reported.

        Raises: InvalidData, when one is no number at all; True is none, nor is a text.
        Source: job-collection, `job.progress`.
        """
        run = self._touch()
        run.check()
        reported = self._reported(done, total)
        if reported is None:
            if message is not None:
                self.log(message)
            return
        done, total = reported.done, reported.total
        stored, said = dumps([done, total]), None if message is None else message_of(message)
        run.report_progress(stored, said)
        if said is not None:
            echo_line(run.record, "info", said, None)
        echo_progress(run.record, done, total)
        hooks = self._installation.hooks
        if hooks.wants(Event.PROGRESS):
            hooks.tell(
                Event.PROGRESS,
                replace(run.record, progress_json=stored),
                self._installation,
                progress=(done, total),
                message=said,
            )

    @property
    def resumed_from(self) -> Any:
        """The last checkpoint of earlier runs, decoded again at each call; None if there is none,
        so the work starts from the beginning.

        Raises: RunInterrupted, because a run that has lost its job may only know an older one;
        FileGone, which fails the job for good, when it was too long for the record, and its file
        was deleted.
        """
        self._touch().check()
        with _gone("the checkpoint, which is too long for the record,", "submit the job again"):
            return self._checkpoint(self._claimed)

    def checkpoint(self, state: Any) -> None:
        """Store the state of the work, from which another run can resume it.

        `state` is a value that JSON can write; numbers of other libraries, such as numpy's, become
        JSON's. It replaces the last checkpoint; None removes it.
        Once this returns, the state is durable, whatever happens to the worker. Up to 512 bytes
        cost one write of the record; more cost a file as well.

        Raises: RunInterrupted, when the run must stop: the state was not stored, and another run
        resumes from the checkpoint before; InvalidData, when JSON cannot write it, or it is longer
        than 10 MiB; AWS's error, when the state could not be written for the length of a lease.
        """
        run = self._touch()
        run.check()
        text = encoded_state(state)
        size = len(text.encode())
        if size > CHECKPOINT_LIMIT:
            raise InvalidData(
                f"a checkpoint of {size} bytes: {CHECKPOINT_LIMIT} at most; store large parts in "
                "files of your own (S3), and their keys in the checkpoint"
            )
        run.keep(text)

    @command
    def log(self, message: str, *, level: Level = "info", data: Any = None) -> None:
        """Add a line to the job's log, which outlives the run.

        A message of more than 10,000 characters and data of more than 4,096 bytes are cut. What
        has no UTF-8 is replaced, and numbers of other libraries become JSON's, NaN text.

        Raises: InvalidData, when the level is not one of info, success, warning and danger, or JSON
        has nothing like a part of `data`.
        Source: job-collection, `job.log`.
        """
        run = self._touch()
        run.check()
        checked = check_level(level)
        text = message_of(message)
        kept, remark = log_data_of(data)
        run.report_line(checked, text, kept)
        echo_line(run.record, checked, text, kept)
        if remark is not None:
            self._note_once("data", remark)

    def _reported(self, done: float, total: float) -> Reported | None:
        """The progress as it is stored, noted if it is odd; None if it says nothing."""
        reported = progress_of(done, total)
        remark = reported if isinstance(reported, str) else reported.remark
        if remark is not None:
            self._note_once("progress", remark)
        return None if isinstance(reported, str) else reported

    def _note_once(self, what: str, remark: str) -> None:
        """Warn in the job's log, once in a run for each thing that was odd."""
        if what not in self._noted:
            self._noted.add(what)
            self._run.report_line("warning", remark, None)

    def output(
        self,
        name: str,
        body: Body,
        *,
        content_type: str | None = None,
    ) -> None:
        """Store a file as an output: bytes, a path, or a file open in mode 'rb', which is streamed.

        It becomes visible when this run completes the job. The same name again replaces it, or
        is refused if the settings say `write_once_outputs`. While
        S3 does not answer, bytes and paths are retried until the run must stop; a stream is not.
        It may be empty.

        Raises: InvalidName; InvalidBody, when there is no such file.
        """
        run = self._touch()
        run.check()
        name = check_output_name(name)
        content_type = check_content_type(content_type) or guess_content_type(name)
        content = check_body(body, what=f"output {name!r}: body")
        key = run.prefix + name
        try:
            stored = self._store(key, content, content_type)
        except FileExistsError:
            raise InvalidName(
                f"output {name!r} was written already, and the settings say write_once_outputs:"
                " choose another name"
            ) from None
        self._touch().add_output(
            OutputFile(
                name=name,
                key=key,
                size=stored.size,
                etag=stored.etag,
                content_type=content_type,
            )
        )

    def _store(
        self, key: str, content: bytes | Path | str | BinaryIO, content_type: str | None
    ) -> Stored:
        """Raises: FileExistsError, when outputs are written once."""
        made = self._installation
        # one token for all tries: what an earlier one stored is this output's own
        once = made.entropy(16).hex() if made.write_once_outputs else None

        def put(body: bytes | BinaryIO) -> Stored:
            return made.files.put(Area.OUTPUT, key, body, content_type=content_type, once=once)

        def put_again(file: BinaryIO) -> Stored:
            file.seek(0)
            return put(file)

        if isinstance(content, Path | str):
            with Path(content).open("rb") as file:
                return self._retry(lambda: put_again(file))
        if isinstance(content, bytes):
            return self._retry(lambda: put(content))
        # no retry: the part of the stream that was read is gone
        return put(content)

    def _retry(self, request: Callable[[], T]) -> T:
        return retry_while_unavailable(self._touch(), request, what=_REACH)

    def _file(self) -> InputFile:
        file = self.input
        if file is None:
            raise NoInput(self.id, task=self.task)
        return file

    def time_left(self) -> timedelta | None:
        """The time left until the task's `timeout`; None if it has none."""
        run = self._touch()
        timeout = run.task.timeout
        if timeout is None:
            return None
        spent = timedelta(seconds=self._installation.clock.monotonic() - run.began)
        return max(timedelta(0), timeout - spent)

    def __repr__(self) -> str:
        return f"<RunningJob {self.id} {self.task} attempt {self.attempt}>"


def _input_gone(file: InputFile) -> AbstractContextManager[None]:
    version = "" if file.version is None else f", version {file.version}"
    return _gone(
        f"the input {cut(file.key, _LONGEST_KEY)!r}{version}", "upload the file again, or submit it"
    )


@contextmanager
def _gone(what: str, remedy: str) -> Iterator[None]:
    """Raises: FileGone, if the block found that a file was deleted: retries would find the same."""
    try:
        yield
    except FileNotFoundError as problem:
        if problem.errno is not None:  # of this machine's disk, such as a missing folder
            raise
        raise FileGone(f"{what} was deleted: {remedy}") from problem
