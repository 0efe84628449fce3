"""A job, as its creator sees it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, Final

from remotejob import managing, payloads
from remotejob.domain.errors import (
    JobFailed,
    JobNotFound,
    JobUnfinished,
    OutputNotFound,
    WaitTimeout,
)
from remotejob.domain.record import (
    Failure,
    InputFile,
    JobRecord,
    LogLine,
    OutputFile,
    log_lines,
    output_prefix,
    outputs_from_json,
)
from remotejob.domain.states import State
from remotejob.domain.times import from_ms
from remotejob.ports import Area, Installation

LOG_NOTES: Final = "log#"
"""Prefix of the notes that hold lines no longer in the record."""

_FIRST_LOOK: Final = timedelta(milliseconds=100)
_LONGEST_LOOK: Final = timedelta(seconds=2)


class JobView:
    """What the creator of a job and the task that runs it both see."""

    def __init__(self, record: JobRecord, installation: Installation) -> None:
        self._record = record
        self._installation = installation

    @property
    def id(self) -> str:
        return self._record.id

    @property
    def task(self) -> str:
        return self._record.task

    @property
    def queue(self) -> str:
        return self._record.queue

    @property
    def priority(self) -> int:
        return self._record.priority

    @property
    def attempt(self) -> int:
        """Number of the current or last run, from 1; 0 before the first."""
        return self._record.attempt

    @property
    def created_at(self) -> datetime:
        return from_ms(self._record.created_ms)

    @property
    def input(self) -> InputFile | None:
        """The file to work on, if the job has one."""
        return self._record.input

    @property
    def filename(self) -> str | None:
        """Name of the input file, without folders."""
        file = self._record.input
        return None if file is None else file.name

    @property
    def data(self) -> Any:
        """What was given at submit, decoded anew at each call; None if nothing was.

        Raises: FileNotFoundError, when it was too long for the record and is kept no longer.
        """
        record = self._record
        text = payloads.load_text(
            self._installation.files, Area.INPUT, record.data_json, record.data_ref
        )
        return None if text is None else json.loads(text)


class Output:
    """A file a job made."""

    def __init__(self, file: OutputFile, installation: Installation) -> None:
        self.name: Final = file.name
        self.size: Final = file.size
        """Bytes."""
        self.etag: Final = file.etag
        self.content_type: Final = file.content_type
        self.key: Final = file.key
        """Where it is in the output bucket."""
        self._files: Final = installation.files

    def open(self) -> BinaryIO:
        """A stream of its bytes; close it."""
        return self._files.open(self._files.bucket(Area.OUTPUT), self.key)

    def download(self, path: Path | str) -> Path:
        """Copy it to a file, or into a folder under its own name. Returns the file's path.

        Nothing is there until all of it is.
        """
        path = Path(path)
        if path.is_dir():
            path = path / Path(self.name).name
        self._files.download(self._files.bucket(Area.OUTPUT), self.key, path)
        return path

    def __repr__(self) -> str:
        return f"<Output {self.name} of {self.size} bytes>"


class Outputs(Mapping[str, Output]):
    """The files of the run that completed the job, by name."""

    def __init__(self, outputs: tuple[Output, ...], *, job_id: str, state: State) -> None:
        self._outputs = {output.name: output for output in outputs}
        self._job_id = job_id
        self._state = state

    def __getitem__(self, name: str) -> Output:
        try:
            return self._outputs[name]
        except KeyError:
            known = ", ".join(self._outputs) or "none"
            raise OutputNotFound(
                f"job {self._job_id} is {self._state} and has no output {name!r}; it has {known}"
            ) from None

    def __contains__(self, name: object) -> bool:
        return name in self._outputs

    def __iter__(self) -> Iterator[str]:
        return iter(self._outputs)

    def __len__(self) -> int:
        return len(self._outputs)


class Job(JobView):
    """A job as it stood when it was last read; `refresh` reads it again."""

    @property
    def state(self) -> State:
        return self._record.state

    @property
    def ended(self) -> bool:
        """Whether it has ended: completed, failed or cancelled."""
        return self._record.terminal

    @property
    def due_at(self) -> datetime | None:
        """When a waiting job may run."""
        due = self._record.due_ms
        return None if due is None else from_ms(due)

    @property
    def started_at(self) -> datetime | None:
        """When the current or last run began."""
        started = self._record.started_ms
        return None if started is None else from_ms(started)

    @property
    def finished_at(self) -> datetime | None:
        finished = self._record.finished_ms
        return None if finished is None else from_ms(finished)

    @property
    def progress(self) -> tuple[float, float]:
        """Done and total, as the task last reported."""
        return self._record.progress

    @property
    def errors(self) -> tuple[Failure, ...]:
        """The last failed runs, oldest first."""
        return self._record.errors

    @property
    def record(self) -> JobRecord:
        """Everything the record says, as it is stored."""
        return self._record

    @property
    def result(self) -> Any:
        """What the task returned.

        Raises: JobUnfinished; JobFailed, with the last error, when it failed or was cancelled.
        """
        record = self._record
        if not record.terminal:
            raise JobUnfinished(f"job {record.id} is {record.state}; call wait() first")
        if record.state is not State.COMPLETED:
            raise JobFailed(_reason(record))
        text = payloads.load_text(
            self._installation.files, Area.OUTPUT, record.result_json, record.result_ref
        )
        return None if text is None else json.loads(text)

    @property
    def outputs(self) -> Outputs:
        """The files the committed run made; none before the job is completed."""
        record = self._record
        files: tuple[OutputFile, ...] = ()
        if record.state is State.COMPLETED and record.run_id is not None:
            text = payloads.load_text(
                self._installation.files, Area.OUTPUT, record.outputs_json, record.outputs_ref
            )
            prefix = output_prefix(queue=record.queue, job_id=record.id, run_id=record.run_id)
            files = outputs_from_json(text, prefix=prefix) if text else ()
        outputs = tuple(Output(file, self._installation) for file in files)
        return Outputs(outputs, job_id=record.id, state=record.state)

    def logs(self) -> list[LogLine]:
        """Everything the job logged, over all its runs, oldest first."""
        record = self._record
        found = list(record.log_tail)
        for _name, text in self._installation.store.notes(record.id, LOG_NOTES):
            found += log_lines(text)
        # by time as well: a run that died may have left notes that the next run knew nothing of
        lines: dict[tuple[int, int], LogLine] = {}
        for line in found:
            # the record keeps a long line cut, and without its data; the note has it whole
            key = (line.at_ms, line.number)
            known = lines.get(key)
            if known is None or line.data is not None or len(line.message) > len(known.message):
                lines[key] = line
        return [lines[key] for key in sorted(lines)]

    def refresh(self) -> Job:
        """Read the record again.

        Raises: JobNotFound.
        """
        record = self._installation.store.get(self.id)
        if record is None:
            raise JobNotFound(self.id)
        self._record = record
        return self

    def pause(self) -> Job:
        """Keep the job from starting, until it is resumed. A running job cannot be paused.

        Raises: CommandRefused, naming the states that allow it; JobNotFound.
        """
        self._record = managing.pause(self.id, self._installation)
        return self

    def resume(self) -> Job:
        """Let a paused job go on, due no earlier than before.

        Raises: CommandRefused; JobNotFound.
        """
        self._record = managing.resume(self.id, self._installation)
        return self

    def cancel(self) -> Job:
        """End the job. If it runs, its task is stopped at the next heartbeat.

        Raises: CommandRefused, when it has ended already; JobNotFound.
        """
        self._record = managing.cancel(self.id, self._installation)
        return self

    def restart(self) -> Job:
        """Run the job again after it failed or was cancelled; its failures count from nothing.

        Raises: CommandRefused; JobNotFound.
        """
        self._record = managing.restart(self.id, self._installation)
        return self

    def wait(self, timeout: timedelta | float | None = None) -> Job:
        """Wait until the job has ended, for `timeout` (seconds if a number) or for ever.

        A job that failed is no error here; `result` says so.

        Raises: WaitTimeout; JobNotFound.
        """
        clock = self._installation.clock
        seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        end = None if seconds is None or seconds == math.inf else clock.monotonic() + seconds
        pause = _FIRST_LOOK
        while not self.refresh().ended:
            if end is not None:
                left = end - clock.monotonic()
                if left <= 0:
                    raise WaitTimeout(f"job {self.id} is still {self.state} after {seconds:g} s")
                pause = min(pause, timedelta(seconds=left))
            clock.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_LOOK)
        return self

    def __repr__(self) -> str:
        return f"<Job {self.id} {self.task} {self.state}>"


def _reason(record: JobRecord) -> str:
    if record.state is State.FAILED and record.errors:
        last = record.errors[-1]
        return f"job {record.id} failed: {last.kind}: {last.message}"
    return f"job {record.id} was {record.state}"
