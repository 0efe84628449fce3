"""Collects what a run reports, progress and log lines, and writes it with the next heartbeat."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from remotejob.domain.conditions import Item, Value
from remotejob.domain.job_log import Level, LogLine, log_tail, log_to_json
from remotejob.domain.record import JobRecord
from remotejob.domain.text import cut
from remotejob.domain.times import span_ms
from remotejob.jobs.messaging.log_fields import log_fields
from remotejob.names import LOG_NOTES, Field
from remotejob.ports import Installation

log = logging.getLogger(__name__)

_LONGEST_LINE: Final = 10_000
_BYTES_IN_A_NOTE: Final = 200_000
"""Half of DynamoDB's limit for an item; one line takes about 40 KB at most."""

_INLINE_LINE: Final = 200

_MOST_LINES: Final = 100_000
_MOST_CHARACTERS: Final = 16 * 1024 * 1024
"""Of one run's log; more would cost the run its lease while they are written."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What to write into the record, and its version."""

    values: Item
    version: int


class Reporter:
    """What a run has reported, and what of it may not be in the record. Safe across threads."""

    def __init__(self, record: JobRecord, installation: Installation) -> None:
        self._claimed = record
        self._installation = installation
        self._lock = threading.Lock()
        self._progress: str | None = None
        # lines of an earlier run that are in the record may be in no note yet
        self._unnoted = list(record.log_tail)
        self._tail = record.log_tail
        self._count = record.log_count
        self._lines = 0
        self._characters = 0
        self._full = False
        self._version = 0
        """Goes up with each report."""
        self._written = 0
        """The version that is certainly in the record."""

    def progress(self, progress: str) -> None:
        with self._lock:
            self._progress = progress
            self._version += 1

    def line(self, level: Level, message: str, data: Any) -> None:
        """Add a line; after too many of them, one that says so, and then none."""
        with self._lock:
            if self._full:
                return
            self._lines += 1
            self._characters += len(message) + (0 if data is None else len(json.dumps(data)))
            if self._lines > _MOST_LINES or self._characters > _MOST_CHARACTERS:
                self._full = True
                level, message, data = "warning", "the log is full: no more lines are kept", None
            line = LogLine(
                number=self._count,
                at_ms=self._installation.clock.now_ms(),
                level=level,
                message=cut(message, _LONGEST_LINE),
                data=data,
            )
            self._count += 1
            self._unnoted.append(line)
            self._tail = log_tail((*self._tail, _short(line)))
            self._version += 1

    def written(self, version: int) -> None:
        """The report of that version is in the record."""
        with self._lock:
            self._written = max(self._written, version)

    def report(self) -> Report:
        """What may not be in the record yet.

        Lines that do not fit the record go into notes first, so none is lost.
        """
        with self._lock:
            if self._version == self._written:
                return Report(values={}, version=self._written)
            values, noted, version = self._values(), self._for_notes(), self._version
        self._write_notes(noted)
        return Report(values=values, version=version)

    def last_report(self) -> Item:
        """Everything the run has reported, even while another report is on its way."""
        with self._lock:
            values, noted = self._values(), self._for_notes()
        try:
            self._write_notes(noted)
        except Exception:
            # an outcome never waits for log lines
            log.exception("log lines not kept", extra=log_fields(self._claimed))
        return values

    def _values(self) -> dict[str, Value]:
        values: dict[str, Value] = {}
        if self._progress is not None:
            values[Field.PROGRESS] = self._progress
        if self._count:
            values[Field.LOG] = log_to_json(self._tail)
            values[Field.LOG_COUNT] = self._count
        return values

    def _for_notes(self) -> list[LogLine]:
        """The lines that are in no note yet, unless the record holds each of them whole."""
        in_record = {line.number: line for line in self._tail}
        lines = self._unnoted
        return [] if all(in_record.get(x.number) == x for x in lines) else list(lines)

    def _write_notes(self, lines: list[LogLine]) -> None:
        retention = self._installation.retention
        expires_s = (self._installation.clock.now_ms() + span_ms(2 * retention)) // 1000
        for chunk in _chunks(lines):
            content = log_to_json(chunk)
            self._installation.store.put_note(
                self._claimed.id,
                f"{LOG_NOTES}{chunk[0].number:09d}#{self._claimed.run_id}",
                content,
                expires_s=expires_s,
            )
            with self._lock:
                # lines logged meanwhile wait for the next report
                self._unnoted = self._unnoted[len(chunk) :]


def _chunks(lines: list[LogLine]) -> Iterator[tuple[LogLine, ...]]:
    """Split the lines into chunks that fit a note."""
    chunk: list[LogLine] = []
    size = 0
    for line in lines:
        length = len(log_to_json((line,)).encode())
        if chunk and size + length > _BYTES_IN_A_NOTE:
            yield tuple(chunk)
            chunk, size = [], 0
        chunk.append(line)
        size += length
    if chunk:
        yield tuple(chunk)


def _short(line: LogLine) -> LogLine:
    """The line as the record keeps it: cut, and without large data."""
    if len(line.message) <= _INLINE_LINE and len(json.dumps(line.data)) <= _INLINE_LINE:
        return line
    return LogLine(
        number=line.number,
        at_ms=line.at_ms,
        level=line.level,
        message=cut(line.message, _INLINE_LINE),
        data=None,
    )
