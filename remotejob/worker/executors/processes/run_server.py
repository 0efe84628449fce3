"""The worker's side of a run in a child process: answers the requests of its task.

A child may have no credentials, so it is not trusted: it reaches only the files of its run, by the
methods that a task has, and the worker opens no path that a child names.
"""

from __future__ import annotations

import io
import json
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Final

from remotejob.domain.checkpoints import checkpoint_key
from remotejob.domain.errors import InvalidBody
from remotejob.domain.record import JobRecord, output_prefix
from remotejob.domain.states import State
from remotejob.domain.times import span_ms
from remotejob.jobs.content.input_files import check_bucket
from remotejob.ports import Area
from remotejob.tasks.running_job import RunningJob
from remotejob.worker.executors.processes.channel import CHUNK, Channel, Frame, Garbled
from remotejob.worker.executors.processes.run_proxy import record_for_child
from remotejob.worker.executors.processes.transferred_errors import described_for_child
from remotejob.worker.runs.depth import JobDepth
from remotejob.worker.runs.run import Run


@dataclass(frozen=True, slots=True)
class _Answer:
    head: dict[str, Any]
    body: bytes = b""


_DONE: Final = _Answer({})

_MOST_STREAMS: Final = 32


def run_for_child(run: Run) -> dict[str, Any]:
    """The data that a child needs to begin a run."""
    installation = run.installation
    return {
        "run": run.run_id,
        "task": run.task.name,
        "record": record_for_child(run.record),
        "prefix": run.prefix,
        "began": run.began,
        "system": installation.name,
        "lease_ms": span_ms(installation.lease),
        "context": run.context.packed(),
        "max_depth": installation.max_depth,
        "buckets": {area.value: installation.files.bucket(area) for area in Area},
        "readable_buckets": sorted(installation.readable_buckets),
    }


class RunServer:
    """Answers the requests of one run, on the run's own thread."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._job = RunningJob(run)
        self._files = run.installation.files
        self._streams: dict[int, BinaryIO] = {}
        self._opened = 0
        self._prefixes: list[str] = []
        """Of the outputs of the jobs that this one depends on, once it has asked for these."""
        self._described: list[str] = []
        self._job_depth: Final = JobDepth(run.record, run.installation)
        self._readable = frozenset(_readable(run))
        self._answers: Final[dict[str, Callable[[Frame], _Answer]]] = {
            "check": self._check,
            "lease": self._lease,
            "clock": self._clock,
            "depth": self._depth,
            "folder": self._folder,
            "antecedents": self._antecedents,
            "progress": self._progress,
            "log": self._log,
            "checkpoint": self._checkpoint,
            "output": self._output,
            "open": self._open,
            "read": self._read,
            "download": self._download,
        }

    def __enter__(self) -> RunServer:
        return self

    def __exit__(self, *_: object) -> None:
        with ExitStack() as stack:
            for stream in self._streams.values():
                stack.callback(stream.close)

    def answers(self, frame: Frame) -> bool:
        """Whether the frame is a request. Raises: Garbled, when it comes from another run."""
        if frame.head.get("run") != self._run.run_id:
            if frame.file is not None:
                os.close(frame.file)
            raise Garbled(f"{frame.kind[:100]!r}, of another run")
        return frame.kind in self._answers

    def answer(self, frame: Frame, channel: Channel) -> None:
        """Answer a request; errors are raised in the child. Raises: Closed."""
        self._run.stop_signal.stir()
        try:
            self._close(frame.head.get("closed", ()))
            answer = self._answers[frame.kind](frame)
        except Exception as error:  # noqa: BLE001 (the child raises it in the task)
            channel.send("raised", run=self._run.run_id, error=described_for_child(error))
        else:
            channel.send("answer", answer.body, run=self._run.run_id, **answer.head)
        finally:
            if frame.file is not None:
                os.close(frame.file)

    def _check(self, _: Frame) -> _Answer:
        self._run.check()
        return _DONE

    def _lease(self, _: Frame) -> _Answer:
        return _Answer({"lease_ms": self._run.record.lease_ms})

    def _clock(self, _: Frame) -> _Answer:
        clock = self._run.installation.clock
        return _Answer({"now_ms": clock.now_ms(), "monotonic": clock.monotonic()})

    def _depth(self, _: Frame) -> _Answer:
        return _Answer({"depth": self._job_depth()})

    def _folder(self, _: Frame) -> _Answer:
        return _Answer({"path": str(self._run.workspace.folder())})

    def _antecedents(self, frame: Frame) -> _Answer:
        """The records from a number on, as many as a frame holds."""
        start = int(frame.head["start"])
        if start == 0:
            self._read_antecedents()
        end, size = start, 0
        while end < len(self._described) and (end == start or size < CHUNK // 4):
            size += len(self._described[end])
            end += 1
        following = end if end < len(self._described) else None
        body = f"[{','.join(self._described[start:end])}]".encode()
        return _Answer({"next": following}, body)

    def _read_antecedents(self) -> None:
        records = self._run.antecedents()
        self._described = [json.dumps(record_for_child(_brief(record))) for record in records]
        self._prefixes = [
            output_prefix(queue=record.queue, job_id=record.id, run_id=record.run_id)
            for record in records
            if record.state is State.COMPLETED and record.run_id is not None
        ]
        area = self._files.bucket(Area.INPUT)
        data = {(area, one.data_ref, None) for one in records if one.data_ref is not None}
        self._readable |= data

    def _progress(self, frame: Frame) -> _Answer:
        done, total = json.loads(frame.head["progress"])
        self._job.progress(done, total, message=frame.head["message"])
        return _DONE

    def _log(self, frame: Frame) -> _Answer:
        head = frame.head
        self._job.log(head["message"], level=head["level"], data=head["data"])
        return _DONE

    def _checkpoint(self, frame: Frame) -> _Answer:
        self._job.checkpoint(json.loads(frame.body))
        return _DONE

    def _output(self, frame: Frame) -> _Answer:
        name = str(frame.head["name"])
        if frame.file is None or not stat.S_ISREG(os.fstat(frame.file).st_mode):
            raise InvalidBody(f"output {name!r}: give a file on the disk")
        content_type = frame.head["content_type"]
        with io.BufferedReader(io.FileIO(os.dup(frame.file)), CHUNK) as body:
            self._job.output(
                name, body, content_type=None if content_type is None else str(content_type)
            )
        kept = next(output for output in self._run.workspace.outputs if output.name == name)
        return _Answer({"stored": {"size": kept.size, "etag": kept.etag}})

    def _open(self, frame: Frame) -> _Answer:
        self._run.check()
        if len(self._streams) >= _MOST_STREAMS:
            # each is a file of the worker, which has so many for all its jobs
            raise InvalidBody(f"a run may have {_MOST_STREAMS} files open at a time; close some")
        self._opened += 1
        self._streams[self._opened] = self._opened_file(frame)
        return _Answer({"number": self._opened})

    def _opened_file(self, frame: Frame) -> BinaryIO:
        bucket, key, version = self._allowed(frame)
        return self._files.open(bucket, key, version=version)

    def _read(self, frame: Frame) -> _Answer:
        self._run.check()
        size = min(int(frame.head["size"]), CHUNK)
        return _Answer({}, self._streams[frame.head["number"]].read(size))

    def _close(self, numbers: Any) -> None:
        for number in numbers:
            stream = self._streams.pop(number, None)
            if stream is not None:
                stream.close()

    def _download(self, frame: Frame) -> _Answer:
        self._run.check()
        bucket, key, version = self._allowed(frame)
        # a new folder: the task cannot have put a file or link there before
        to = Path(tempfile.mkdtemp(prefix=".download-", dir=self._run.workspace.folder())) / "input"
        self._files.download(bucket, key, to, version=version)
        return _Answer({"path": str(to)})

    def _allowed(self, frame: Frame) -> tuple[str, str, str | None]:
        """The requested file, if the job may read it. Raises: PermissionError, FileUnreadable."""
        head = frame.head
        for file in self._readable:
            if file == (head["bucket"], head["key"], head["version"]):
                check_bucket(file[0], self._run.installation)
                return file
        outputs, key = self._files.bucket(Area.OUTPUT), str(head["key"])
        # what the runs that completed its antecedents have made
        theirs = any(key.startswith(prefix) for prefix in self._prefixes)
        if theirs and (head["bucket"], head["version"]) == (outputs, None):
            return outputs, key, None
        raise PermissionError(f"job {self._run.job_id} has no file {head['key']!r}")


def _brief(record: JobRecord) -> JobRecord:
    """What a child needs of a job that its own depends on, so that it fits a frame."""
    return replace(record, blocked=None, depends_json=None, log_json=None, errors_json=None)


def _readable(run: Run) -> Iterator[tuple[str, str, str | None]]:
    """Bucket, key and version of the files that a run may read."""
    record, files = run.record, run.installation.files
    if record.input is not None:
        yield record.input.bucket, record.input.key, record.input.version
    if record.data_ref is not None:
        yield files.bucket(Area.INPUT), record.data_ref, None
    checkpoint = checkpoint_key(record)
    if checkpoint is not None:
        yield files.bucket(Area.OUTPUT), checkpoint, None
