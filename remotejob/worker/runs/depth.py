"""How deep in a chain of jobs a run's job is (see `domain.chain`)."""

from __future__ import annotations

import logging
import threading
from typing import Final

from remotejob.domain.chain import Link, depth_in
from remotejob.domain.record import InputFile, JobRecord
from remotejob.names import INPUT_PREFIX_SUBMITTED
from remotejob.ports import Area, Installation

log = logging.getLogger(__name__)


class JobDepth:
    """The depth of one job, looked up once, when the job makes something. Safe across threads.

    The record knows it unless the job was made of an upload: the event of an upload does not carry
    the file's metadata. Most jobs make no others, so only those that do pay for the request.
    """

    def __init__(self, record: JobRecord, installation: Installation) -> None:
        self._record: Final = record
        self._installation: Final = installation
        self._lock = threading.Lock()
        self._known: int | None = None

    def __call__(self) -> int:
        """Raises: S3's error, if it does not answer."""
        with self._lock:
            if self._known is None:
                self._known = max(self._record.depth, self._of_upload())
            return self._known

    def _of_upload(self) -> int:
        file, files = self._record.input, self._installation.files
        if file is None or not _is_upload(file, files.bucket(Area.INPUT)):
            return 0
        try:
            return depth_in(files.describe(Area.INPUT, file.key).metadata)
        except FileNotFoundError:
            log.info("the input was deleted, so its depth is unknown", extra={"key": file.key})
            return 0


def _is_upload(file: InputFile, bucket: str) -> bool:
    return file.bucket == bucket and not file.key.startswith(INPUT_PREFIX_SUBMITTED)


def link_of(record: JobRecord, installation: Installation) -> Link:
    """The job as the end of its chain."""
    return Link(
        depth=JobDepth(record, installation),
        bucket=installation.files.bucket(Area.INPUT),
        max_depth=installation.max_depth,
    )
