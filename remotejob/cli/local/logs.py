"""Follows the log files of workers, without asking AWS anything."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_READ: Final = 256 * 1024
"""Bytes of one log to show at a time."""
_BEHIND: Final = 4 * _READ
"""More than this behind, a log's older bytes are skipped: a terminal is slower than a worker."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LogLine:
    """One line of a worker's log."""

    queue: str
    fields: Mapping[str, Any]
    """Of a JSON line. Of any other line, `message` alone."""

    @property
    def is_json(self) -> bool:
        return "logger" in self.fields

    def text(self, name: str) -> str:
        """A field as text, empty if it has none."""
        value = self.fields.get(name)
        return "" if value is None else str(value)


class WorkerLogs:
    """The logs of workers, old ones too: a replaced worker still writes."""

    def __init__(self) -> None:
        self._logs: list[_Log] = []

    def follow(self, queue: str, path: Path) -> None:
        """Show this log from its beginning: each worker has a new one."""
        self._logs.append(_Log(queue, path))

    def new_lines(self) -> list[LogLine]:
        """The lines since the last call, in the order of their times if all have one."""
        lines = [line for log in self._logs for line in log.new_lines()]
        if all(line.is_json for line in lines):
            lines.sort(key=lambda line: line.text("time"))
        return lines


class _Log:
    def __init__(self, queue: str, path: Path) -> None:
        self._queue = queue
        self._path = path
        self._read = 0
        """Bytes of whole lines that were read."""

    def new_lines(self) -> Iterator[LogLine]:
        try:
            size = self._path.stat().st_size
            if size <= self._read:
                return
            with self._path.open("rb") as file:
                if size - self._read > _BEHIND:
                    file.seek(size - _READ)
                    file.readline()
                    skipped, self._read = file.tell() - self._read, file.tell()
                    yield self._other(
                        f"{skipped:,} bytes are not shown; see {os.path.relpath(self._path)}"
                    )
                file.seek(self._read)
                found = file.read(_READ)
        except FileNotFoundError:
            return
        whole, ended, _ = found.rpartition(b"\n")
        if not ended and len(found) < _READ:
            return
        # a line longer than all that is read at a time becomes several
        complete = whole + ended if ended else found
        self._read += len(complete)
        for line in complete.decode("utf-8", "backslashreplace").split("\n"):
            if line.strip():
                yield self._line(line)

    def _line(self, line: str) -> LogLine:
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError):
            return self._other(line)
        if not isinstance(fields, dict) or not isinstance(fields.get("logger"), str):
            return self._other(line)
        return LogLine(queue=self._queue, fields=fields)

    def _other(self, text: str) -> LogLine:
        return LogLine(queue=self._queue, fields={"message": text})
