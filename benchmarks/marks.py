"""Marks: handlers append a 16-byte record to a file when a job starts or ends; we count them.

A mark costs a job about two microseconds, makes no AWS request, and is the same for every system.
"""

from __future__ import annotations

import os
import struct
import time
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

VARIABLE = "BENCH_MARKS"
_RECORD = struct.Struct("=iiq")
_NO_NUMBER = -1


class Kind(IntEnum):
    """What happened."""

    START = 0
    END = 1


@dataclass(frozen=True, slots=True)
class Mark:
    """The start or end of one job. `at_ns` is from the clock that all processes share."""

    number: int
    kind: Kind
    at_ns: int


class Marker:
    """The handler's side: writes marks."""

    def __init__(self) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        self._file = os.open(os.environ[VARIABLE], flags, 0o600)

    def mark(self, number: int = _NO_NUMBER, kind: Kind = Kind.START) -> None:
        """Append a mark in one write, because several processes may write at once."""
        os.write(self._file, _RECORD.pack(number, kind, time.monotonic_ns()))

    def nap(self, number: int, seconds: float) -> None:
        """Run a job of `seconds`, with a mark at its start and end."""
        self.mark(number)
        time.sleep(seconds)
        self.mark(number, Kind.END)


class Marks:
    """The benchmark's side: counts and reads marks."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        self.path = path.resolve()

    def count(self) -> int:
        return self.path.stat().st_size // _RECORD.size

    def read(self) -> list[Mark]:
        whole = self.path.read_bytes()
        whole = whole[: len(whole) // _RECORD.size * _RECORD.size]
        return [Mark(n, Kind(kind), at) for n, kind, at in _RECORD.iter_unpack(whole)]
