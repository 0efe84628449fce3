"""A run as the child process sees it: every question and every word goes to the worker.

`RunningJob` is the same on both sides; what is beneath it here has no AWS to talk to.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO, Final, NoReturn
from uuid import uuid4

from remotejob.domain.errors import InvalidData, RemoteJobError, RunInterrupted
from remotejob.domain.job_log import Level
from remotejob.domain.record import JobRecord, OutputFile
from remotejob.domain.text import cut
from remotejob.ports import Area, Installation, Stored
from remotejob.tasks.task import Task
from remotejob.worker.executors.processes.channel import CHUNK, Channel, Frame, Garbled, Prepared
from remotejob.worker.executors.processes.transferred_errors import raised_here
from remotejob.worker.runs.log_context import JobContext

_LONGEST_LINE: Final = 10_000
"""Characters of a line that the worker keeps."""

_BROKEN_OFF: Final = (
    "This broke off a call of the job, whose answer is lost: no other can be made. Limit the time "
    "of a task by its timeout, not by signals or errors raised in its calls."
)

_MOST_CLOSED: Final = 1000
"""Streams of which one question says that they are closed."""


class Asking:
    """Questions to the worker during one run, one at a time. Safe across the task's threads."""

    def __init__(self, channel: Channel, run_id: str) -> None:
        self._channel = channel
        self._run_id = run_id
        self._lock = threading.Lock()
        self._over = False
        self._closed: deque[int] = deque()
        self._broken = False
        """Whether a question has no answer, or none that was read to its end."""
        self._broken_by: BaseException | None = None

    def ask(self, kind: str, body: bytes = b"", *, file: int | None = None, **head: Any) -> Frame:
        """Raises: what the worker's side of it raised; RunInterrupted, when the run is over;
        InvalidData, when it is too long; what an earlier one was broken off by."""
        with self._lock:
            if self._over:
                raise RunInterrupted("the run of this job is over: its task has returned")
            self.check()
            closed = [self._closed.popleft() for _ in range(min(len(self._closed), _MOST_CLOSED))]
            try:
                said = {**head, "run": self._run_id, "closed": closed}
                question = self._channel.prepared(kind, body, **said)
            except ValueError as problem:
                raise InvalidData(f"what the job is told is too long: {problem}") from None
            answer = self._answer(question, file)
        if answer.kind == "raised":
            raise raised_here(answer.head["error"])
        return answer

    def _answer(self, question: Prepared, file: int | None) -> Frame:
        """Raises: Closed; Garbled."""
        # until the answer is whole: whatever is raised here, by a handler of signals, by another
        # thread, or for want of memory, leaves an answer that is nobody else's to read
        self._broken = True
        try:
            self._channel.transmit(question, file=file)
            answer = self._channel.receive()
            if answer.head.get("run") != self._run_id:
                raise Garbled("the answer to another run's question")  # noqa: TRY301 (as others)
        except BaseException as error:
            # another one for want of memory: the first holds what the task had taken
            self._broken_by = MemoryError() if isinstance(error, MemoryError) else error
            error.add_note(_BROKEN_OFF)
            raise
        self._broken = False
        return answer

    @property
    def broken(self) -> bool:
        """Whether nothing more can be asked."""
        return self._broken

    @property
    def mute(self) -> bool:
        """Whether nothing more can be said."""
        return self._channel.in_midst or isinstance(self._broken_by, Garbled)

    def check(self) -> None:
        """Raises: what broke a question off, which is to be the end of the run."""
        if self._broken:
            raise self._broken_by or RemoteJobError("a call of the job was broken off")

    def forget(self, number: int) -> None:
        """That stream is closed: said with the next question.

        Not asked at once: a stream may be finalized anywhere, in the middle of another question.
        """
        self._closed.append(number)

    def end(self) -> None:
        """No more from here: what the task has left running asks in vain."""
        with self._lock:
            self._over = True


class RunProxy:
    """What `RunningJob` needs of a run."""

    def __init__(self, said: Mapping[str, Any], *, task: Task, asking: Asking) -> None:
        self._asking = asking
        self._record = record_from(said["record"])
        self.run_id: Final = str(self._record.run_id)
        self.job_id: Final = self._record.id
        self.context: Final = JobContext.of(self._record)
        self.prefix: Final = str(said["prefix"])
        self.began: Final = float(said["began"])
        self.task: Final = task
        clock = _Clock(asking)
        self.installation: Final = Installation(
            name=said["system"],
            store=_Absent("records"),
            messages=_Absent("messages"),
            files=_Files(
                asking,
                buckets={Area(name): bucket for name, bucket in said["buckets"].items()},
                prefix=self.prefix,
                folder=self.folder,
            ),
            clock=clock,
            entropy=os.urandom,
            queues={},
            lease=timedelta(milliseconds=said["lease_ms"]),
        )

    @property
    def lease_length(self) -> timedelta:
        return self.task.lease or self.installation.lease

    @property
    def log_fields(self) -> Mapping[str, Any]:
        return self.context.fields

    @property
    def record(self) -> JobRecord:
        """As it was claimed; its lease as it is now."""
        return replace(self._record, lease_ms=self._asking.ask("lease").head["lease_ms"])

    def check(self) -> None:
        self._asking.ask("check")

    def folder(self) -> Path:
        return Path(self._asking.ask("folder").head["path"])

    def report_progress(self, progress: str) -> None:
        self._asking.ask("progress", progress=progress)

    def report_line(self, level: Level, message: str, data: Any) -> None:
        self._asking.ask("log", level=level, message=cut(message, _LONGEST_LINE), data=data)

    def keep(self, checkpoint: str) -> None:
        self._asking.ask("checkpoint", checkpoint.encode())

    def add_output(self, output: OutputFile) -> None:
        """Nothing: the worker has noted it when it stored it."""


class _Clock:
    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    def now_ms(self) -> int:
        return int(self._asking.ask("clock").head["now_ms"])

    def monotonic(self) -> float:
        return float(self._asking.ask("clock").head["monotonic"])

    def sleep(self, span: timedelta) -> None:
        time.sleep(span.total_seconds())


class _Files:
    """An `ObjectStore` that reaches the job's own input and outputs."""

    def __init__(
        self, asking: Asking, *, buckets: Mapping[Area, str], prefix: str, folder: Any
    ) -> None:
        self._asking = asking
        self._buckets = buckets
        self._prefix = prefix
        self._folder = folder

    def put(
        self,
        area: Area,
        key: str,
        body: bytes | BinaryIO,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Stored:
        if area is not Area.OUTPUT or metadata or not key.startswith(self._prefix):
            _refuse(f"store {key!r}")
        with self._as_file(body) as file:
            answer = self._asking.ask(
                "output",
                file=file.fileno(),
                name=key.removeprefix(self._prefix),
                content_type=content_type,
            )
        return Stored(bucket=self.bucket(area), key=key, **answer.head["stored"])

    def describe(self, area: Area, key: str) -> Stored:  # noqa: ARG002 (the port's)
        _refuse(f"look at {key!r}")

    def open(self, bucket: str, key: str, *, version: str | None = None) -> BinaryIO:
        answer = self._asking.ask("open", bucket=bucket, key=key, version=version)
        return io.BufferedReader(_Stream(self._asking, answer.head["number"]), CHUNK)

    def download(self, bucket: str, key: str, to: Path, *, version: str | None = None) -> None:
        answer = self._asking.ask("download", bucket=bucket, key=key, version=version)
        # moved by this process: the worker writes where it chose alone
        file = Path(answer.head["path"])
        _moved(file, to)
        # what lists the run's folder finds what it put there alone
        file.parent.rmdir()

    def bucket(self, area: Area) -> str:
        return self._buckets[area]

    def keys(self, area: Area, prefix: str) -> Iterator[str]:  # noqa: ARG002 (the port's)
        _refuse(f"list {prefix!r}")

    def delete(self, area: Area, keys: Iterable[str]) -> None:  # noqa: ARG002 (the port's)
        _refuse("delete files")

    def _as_file(self, body: bytes | BinaryIO) -> io.FileIO | io.BufferedIOBase:
        """An open file that stands where the body begins: the worker reads it by itself."""
        raw = body.raw if isinstance(body, io.BufferedReader) else body
        # not what merely has a descriptor, as an archive's member has: its bytes are others
        if isinstance(raw, io.FileIO) and raw.seekable():
            # what reads ahead has moved the file's own place
            os.lseek(raw.fileno(), body.tell(), os.SEEK_SET)  # type: ignore[union-attr]
            return os.fdopen(os.dup(raw.fileno()), "rb", buffering=0)
        spooled = tempfile.TemporaryFile(dir=self._folder())  # noqa: SIM115 (the caller closes it)
        if isinstance(body, bytes):
            spooled.write(body)
        else:
            shutil.copyfileobj(body, spooled, CHUNK)
        spooled.seek(0)
        return spooled


class _Stream(io.RawIOBase):
    """A file that the worker reads, by chunks."""

    def __init__(self, asking: Asking, number: int) -> None:
        self._asking = asking
        self._number = number

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._asking.ask("read", number=self._number, size=min(len(buffer), CHUNK)).body
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        if not self.closed:
            self._asking.forget(self._number)
        super().close()


class _Absent:
    """What only the worker has."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __getattr__(self, name: str) -> NoReturn:
        # as an AttributeError it would look as if there were no such thing anywhere
        _refuse(f"use the system's {self._what}")


def _moved(file: Path, to: Path) -> None:
    """Whole or not at all, also to another disk."""
    try:
        file.replace(to)
    except OSError as problem:
        if problem.errno != errno.EXDEV:
            raise
        part = to.with_name(f".part-{uuid4().hex}")
        try:
            shutil.copyfile(file, part)
            part.replace(to)
            file.unlink()
        finally:
            part.unlink(missing_ok=True)


def _refuse(what: str) -> NoReturn:
    raise PermissionError(
        f"a task in a process of its own cannot {what}: use the job's methods, or run it in a "
        "thread"
    )


def record_said(record: JobRecord) -> dict[str, Any]:
    """A record as a frame takes it."""
    return {
        name: {"set": sorted(value)} if isinstance(value, frozenset) else value
        for name, value in record.to_item().items()
    }


def record_from(said: Mapping[str, Any]) -> JobRecord:
    return JobRecord.from_item(
        {
            name: frozenset(value["set"]) if isinstance(value, dict) else value
            for name, value in said.items()
        }
    )
