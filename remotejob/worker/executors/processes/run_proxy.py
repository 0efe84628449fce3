"""A run inside the child process: forwards every call to the worker.

`RunningJob` is the same on both sides; here, the run and the ports behind it have no access to AWS.
"""

from __future__ import annotations

import errno
import io
import json
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

from remotejob.domain.chain import Link
from remotejob.domain.errors import InvalidData, RemoteJobError, RunInterrupted
from remotejob.domain.job_log import Level
from remotejob.domain.record import JobRecord, OutputFile
from remotejob.domain.text import cut
from remotejob.ports import Area, Installation, Stored
from remotejob.tasks.forked import check_owner
from remotejob.tasks.task import Task
from remotejob.worker.executors.processes.channel import CHUNK, Channel, Frame, Garbled, Prepared
from remotejob.worker.executors.processes.transferred_errors import error_of_worker
from remotejob.worker.runs.log_context import JobContext

_LONGEST_LINE: Final = 10_000
"""Characters of a log line that the worker stores."""

_BROKEN_OFF: Final = (
    "This broke off a call of the job: its answer is lost, and no further call can be made. Limit "
    "the time of a task by its timeout, not by signals or errors raised in its calls."
)

_MOST_CLOSED: Final = 1000
"""Closed streams that one request can report."""


class Asking:
    """Requests to the worker during one run, one at a time. Safe across the task's threads."""

    def __init__(self, channel: Channel, run_id: str) -> None:
        self._channel = channel
        self._run_id = run_id
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._over = False
        self._closed: deque[int] = deque()
        self._broken = False
        """Whether a request was sent whose answer was not read to its end."""
        self._broken_by: BaseException | None = None

    def ask(self, kind: str, body: bytes = b"", *, file: int | None = None, **head: Any) -> Frame:
        """Make a request, and wait for the answer.

        Raises: the worker's error; RunInterrupted, when the run is over; InvalidData, when the
        request is too long; the error that broke off an earlier request; RemoteJobError, in a
        forked copy of the task's process.
        """
        # before the lock, which a thread of the process may hold that the copy does not have
        check_owner(self._owner)
        with self._lock:
            if self._over:
                raise RunInterrupted("the run of this job is over: its task has returned")
            self.check()
            closed = [self._closed.popleft() for _ in range(min(len(self._closed), _MOST_CLOSED))]
            try:
                head |= {"run": self._run_id, "closed": closed}
                request = self._channel.prepared(kind, body, **head)
            except ValueError as problem:
                raise InvalidData(f"this is too long for a call of the job: {problem}") from None
            answer = self._answer(request, file)
        if answer.kind == "raised":
            raise error_of_worker(answer.head["error"])
        return answer

    def _answer(self, request: Prepared, file: int | None) -> Frame:
        """Raises: Closed; Garbled."""
        # until the answer is complete: an error from a signal handler, another thread, or a lack of
        # memory would leave a part of it, which the next request must not read as its own answer
        self._broken = True
        try:
            self._channel.transmit(request, file=file)
            answer = self._channel.receive()
            if answer.head.get("run") != self._run_id:
                raise Garbled("the answer to a request of another run")  # noqa: TRY301 (as others)
        except BaseException as error:
            # not the same MemoryError: its traceback keeps the task's memory alive
            self._broken_by = MemoryError() if isinstance(error, MemoryError) else error
            error.add_note(_BROKEN_OFF)
            raise
        self._broken = False
        return answer

    @property
    def broken(self) -> bool:
        """Whether no further request can be made."""
        return self._broken

    @property
    def mute(self) -> bool:
        """Whether no further frame can be sent."""
        return self._channel.in_midst or isinstance(self._broken_by, Garbled)

    def check(self) -> None:
        """Raises: the error that broke off a request; the run must end with it."""
        if self._broken:
            raise self._broken_by or RemoteJobError("a call of the job was broken off")

    def forget(self, number: int) -> None:
        """Report with the next request that a stream is closed.

        Not at once: a stream may be finalized at any time, even in the middle of another request.
        """
        self._closed.append(number)

    def end(self) -> None:
        """Refuse further requests, such as those of threads that the task left running."""
        with self._lock:
            self._over = True


class RunProxy:
    """The `RunHandle` of a child process."""

    def __init__(self, order: Mapping[str, Any], *, task: Task, asking: Asking) -> None:
        """`order` is the result of `run_for_child`."""
        self._asking = asking
        self._record = record_from(order["record"])
        self.run_id: Final = str(self._record.run_id)
        self.job_id: Final = self._record.id
        self.context: Final = JobContext.of(self._record)
        self.prefix: Final = str(order["prefix"])
        self.began: Final = float(order["began"])
        self.task: Final = task
        clock = _Clock(asking)
        self.installation: Final = Installation(
            name=order["system"],
            store=_Absent("records"),
            messages=_Absent("messages"),
            files=_Files(
                asking,
                buckets={Area(name): bucket for name, bucket in order["buckets"].items()},
                prefix=self.prefix,
                folder=self.folder,
            ),
            clock=clock,
            entropy=os.urandom,
            queues={},
            lease=timedelta(milliseconds=order["lease_ms"]),
            readable_buckets=frozenset(order["readable_buckets"]),
            max_depth=order["max_depth"],
        )
        self._depth: int | None = None

    @property
    def lease_length(self) -> timedelta:
        return self.task.lease or self.installation.lease

    @property
    def log_fields(self) -> Mapping[str, Any]:
        return self.context.fields

    @property
    def record(self) -> JobRecord:
        """The record as it was claimed, but with the current lease."""
        return replace(self._record, lease_ms=self._asking.ask("lease").head["lease_ms"])

    @property
    def link(self) -> Link:
        """The job as the end of its chain."""
        return Link(
            depth=self._job_depth,
            bucket=self.installation.files.bucket(Area.INPUT),
            max_depth=self.installation.max_depth,
        )

    def _job_depth(self) -> int:
        if self._depth is None:
            self._depth = int(self._asking.ask("depth").head["depth"])
        return self._depth

    def check(self) -> None:
        self._asking.ask("check")

    def folder(self) -> Path:
        return Path(self._asking.ask("folder").head["path"])

    def antecedents(self) -> list[JobRecord]:
        found: list[JobRecord] = []
        start: int | None = 0
        while start is not None:
            answer = self._asking.ask("antecedents", start=start)
            found += [record_from(item) for item in json.loads(answer.body)]
            start = answer.head["next"]
        return found

    def report_progress(self, progress: str, message: str | None) -> None:
        self._asking.ask("progress", progress=progress, message=message)

    def report_line(self, level: Level, message: str, data: Any) -> None:
        self._asking.ask("log", level=level, message=cut(message, _LONGEST_LINE), data=data)

    def keep(self, checkpoint: str) -> None:
        self._asking.ask("checkpoint", checkpoint.encode())

    def add_output(self, output: OutputFile) -> None:
        """Do nothing: the worker has added it already."""


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
    """An `ObjectStore` limited to the job's own input and outputs."""

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
        once: str | None = None,  # noqa: ARG002 (the worker's process writes, and decides)
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
        _refuse(f"describe {key!r}")

    def open(self, bucket: str, key: str, *, version: str | None = None) -> BinaryIO:
        answer = self._asking.ask("open", bucket=bucket, key=key, version=version)
        return io.BufferedReader(_Stream(self._asking, answer.head["number"]), CHUNK)

    def download(self, bucket: str, key: str, to: Path, *, version: str | None = None) -> None:
        answer = self._asking.ask("download", bucket=bucket, key=key, version=version)
        # the worker writes only to a path of its own choice, so this process moves the file
        file = Path(answer.head["path"])
        _move(file, to)
        # a task that lists its folder must not find ours
        file.parent.rmdir()

    def bucket(self, area: Area) -> str:
        return self._buckets[area]

    def keys(self, area: Area, prefix: str) -> Iterator[str]:  # noqa: ARG002 (the port's)
        _refuse(f"list {prefix!r}")

    def delete(self, area: Area, keys: Iterable[str]) -> None:  # noqa: ARG002 (the port's)
        _refuse("delete files")

    def _as_file(self, body: bytes | BinaryIO) -> io.FileIO | io.BufferedIOBase:
        """An open file, positioned where the body begins, for the worker to read."""
        raw = body.raw if isinstance(body, io.BufferedReader) else body
        # not any body with a descriptor: an archive's member has one, but with other content
        if isinstance(raw, io.FileIO) and raw.seekable():
            # a buffered reader reads ahead, so the file's own position is later
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
    """A file that the worker reads, in chunks."""

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
    """A port that only the worker has."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __getattr__(self, name: str) -> NoReturn:
        # not an AttributeError, which would look as if the port had no such method
        _refuse(f"use the system's {self._what}")


def _move(file: Path, to: Path) -> None:
    """Move a file atomically, even to another disk."""
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
        f"a task in a child process cannot {what}: use the job's methods, or run the task in a "
        "thread"
    )


def record_for_child(record: JobRecord) -> dict[str, Any]:
    """A record in JSON form, to be sent to a child."""
    return {
        name: {"set": sorted(value)} if isinstance(value, frozenset) else value
        for name, value in record.to_item().items()
    }


def record_from(item: Mapping[str, Any]) -> JobRecord:
    """The record that `record_for_child` gave."""
    return JobRecord.from_item(
        {
            name: frozenset(value["set"]) if isinstance(value, dict) else value
            for name, value in item.items()
        }
    )
