"""What the worker's own process prints, as lines of its log.

Printed text may hold what others chose, such as a file's name: written as it is, it could be a line
that claims anything, or a metric. This is about Python's `print`; a C library, or a program that a
task starts, still writes where it likes.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
from collections.abc import Iterable
from typing import Final

from remotejob.domain.text import printable

LONGEST_LINE: Final = 64 * 1024
"""Characters; a longer line becomes several."""

_log: Final = logging.getLogger("task")


def log_prints() -> None:
    """Log what is written to `sys.stdout` and `sys.stderr` from now on, line by line."""
    # a handler keeps the stream that it was made with
    sys.stdout = _Lines("stdout", 1)
    sys.stderr = _Lines("stderr", 2)


class _Unfinished(threading.local):
    """The line that each thread has begun."""

    def __init__(self) -> None:
        self.text = ""
        self.logging = False


class _Lines(io.TextIOBase):
    """A text stream whose lines are logged. Safe across threads: each has a line of its own."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, name: str, number: int) -> None:
        self.name: Final = f"<{name}>"
        self.mode: Final = "w"
        self.buffer: Final = _Bytes(self)
        self._logger: Final = f"task.{name}"
        self._number: Final = number
        self._unfinished: Final = _Unfinished()

    def fileno(self) -> int:
        return self._number

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def reconfigure(self, **_: object) -> None:
        """Do nothing: it has no encoding and no buffer that one could choose."""

    def write(self, text: str) -> int:
        mine = self._unfinished
        *ended, mine.text = (mine.text + text).split("\n")
        while len(mine.text) > LONGEST_LINE:
            ended.append(mine.text[:LONGEST_LINE])
            mine.text = mine.text[LONGEST_LINE:]
        for line in ended:
            self._log(line)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:  # type: ignore[override]
        for line in lines:
            self.write(line)

    def _log(self, line: str) -> None:
        mine = self._unfinished
        if not line.strip():
            return
        if mine.logging:
            # a handler that fails prints why, and must not be called again for that
            os.write(self._number, f"{printable(line)}\n".encode(errors=self.errors))
            return
        mine.logging = True
        try:
            _log.handle(
                logging.LogRecord(self._logger, logging.INFO, "", 0, printable(line), None, None)
            )
        finally:
            mine.logging = False


class _Bytes(io.RawIOBase):
    """The bytes beneath: what is written here becomes text of the same lines."""

    def __init__(self, lines: _Lines) -> None:
        self._lines: Final = lines

    def fileno(self) -> int:
        return self._lines.fileno()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes | bytearray | memoryview) -> int:  # type: ignore[override]
        self._lines.write(bytes(data).decode(self._lines.encoding, self._lines.errors))
        return len(data)
