"""A job that the running one depends on, as its task sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from remotejob.domain.errors import AccessProblem
from remotejob.domain.record import JobRecord
from remotejob.jobs.content.results import ResultView
from remotejob.ports import Installation, ObjectStore

T = TypeVar("T")


class Antecedent(ResultView):
    """A job that this one depends on: its `data`, `result` and `outputs`.

    A result or data beyond 4 KB, and outputs, are files. The workers of a queue may read those of
    their own queue's jobs; files of another queue's raise `AccessProblem`.
    """

    def __init__(self, record: JobRecord, installation: Installation, *, queue: str) -> None:
        """`queue` is the one whose worker reads."""
        if record.queue != queue:
            files: Any = _FilesOfAnotherQueue(record, queue, installation.files)
            installation = replace(installation, files=files)
        super().__init__(record, installation)

    def __repr__(self) -> str:
        return f"<Antecedent {self.id} {self.task} {self.state}>"


class _FilesOfAnotherQueue:
    """Files that may be out of reach, and then say why."""

    def __init__(self, record: JobRecord, queue: str, files: ObjectStore) -> None:
        self._record = record
        self._queue = queue
        self._files = files

    def __getattr__(self, name: str) -> Any:
        return getattr(self._files, name)

    def open(self, bucket: str, key: str, *, version: str | None = None) -> BinaryIO:
        return self._reached(lambda: self._files.open(bucket, key, version=version))

    def download(self, bucket: str, key: str, to: Path, *, version: str | None = None) -> None:
        self._reached(lambda: self._files.download(bucket, key, to, version=version))

    def _reached(self, request: Callable[[], T]) -> T:
        try:
            return request()
        except AccessProblem as problem:
            raise AccessProblem(
                f"job {self._record.id} belongs to queue {self._record.queue!r}, whose files the "
                f"workers of queue {self._queue!r} may not read: let it return what is needed as a "
                f"result of up to 4 KB, or run both in one queue ({problem})"
            ) from problem
