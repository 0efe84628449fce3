"""What a child process writes to standard output and error, as lines of the worker's log.

A line that a child wrote straight into the log could claim anything: that another job completed, or
a metric, which CloudWatch bills. So both streams of a child, and of all it starts, are pipes to the
worker, which logs each line as one of the run's.
"""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
import select
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from remotejob.tasks.forked import keep_private
from remotejob.worker.executors.processes.output_lines import log_line

log = logging.getLogger(__name__)

LONGEST_LINE: Final = 64 * 1024
"""Bytes of a line; the rest of a longer one is dropped."""

MOST_LINES: Final = 10_000
MOST_BYTES: Final = 2 * 1024 * 1024
"""What one run may write; the rest is dropped. CloudWatch bills each byte."""

_READ: Final = 64 * 1024
"""Bytes to read at once: what a pipe holds."""

_AT_THE_END: Final = 16
"""Reads at most when a run ends, if something that it left goes on writing."""

_LONGEST_CLOSE: Final = 1.0
"""Seconds; the reader ends at once, unless the log takes no more lines."""

_PAUSE: Final = 0.001
"""Seconds between two reads of what is dropped: else a child that writes without end would take
the worker's CPU."""


@dataclass(kw_only=True, slots=True)
class _Stream:
    name: str
    ours: io.FileIO
    theirs: io.FileIO
    line: bytearray = field(default_factory=bytearray)
    """The part of a line that has come."""
    is_cut: bool = False


class ChildOutput:
    """The two streams of a child process, and the thread that reads them. Safe across threads.

    It reads whatever comes and drops what is too much, so a child neither blocks nor fills
    anything.
    """

    def __init__(self) -> None:
        """Raises: OSError."""
        self._lock = threading.Lock()
        self._pid = 0
        self._fields: Mapping[str, Any] = {}
        self._lines_left, self._bytes_left = MOST_LINES, MOST_BYTES
        self._closed = False
        self._reader: threading.Thread | None = None
        with contextlib.ExitStack() as undone:
            self._woken, self._wake = _pipe(undone)
            self._streams = tuple(_stream(name, undone) for name in ("stdout", "stderr"))
            undone.pop_all()

    @property
    def stdout(self) -> io.FileIO:
        """For the child."""
        return self._streams[0].theirs

    @property
    def stderr(self) -> io.FileIO:
        """For the child."""
        return self._streams[1].theirs

    def start(self, pid: int) -> None:
        """Read what the child of this number writes. Raises: OSError, when no thread can start."""
        self._pid = pid
        for stream in self._streams:
            stream.theirs.close()
        reader = threading.Thread(target=self._read_all, name=f"output-{pid}", daemon=True)
        try:
            reader.start()
        except RuntimeError as problem:
            raise OSError(errno.EAGAIN, str(problem)) from None
        self._reader = reader

    @contextmanager
    def of_run(self, fields: Mapping[str, Any]) -> Iterator[None]:
        """Give each line these fields, up to the last one that was written inside."""
        with self._lock:
            self._fields = fields
            self._lines_left, self._bytes_left = MOST_LINES, MOST_BYTES
        try:
            yield
        finally:
            with self._lock:
                self._drain()
                self._fields = {}

    def close(self) -> None:
        """Take what has been written, and no more: a program that outlived the child may go on."""
        with self._lock:
            if self._closed:
                return
            self._drain()
            self._closed = True
        self._wake.close()
        if self._reader is not None:
            self._reader.join(_LONGEST_CLOSE)

    def discard(self) -> None:
        """Close all files of a child that was not started."""
        for stream in self._streams:
            stream.theirs.close()
            stream.ours.close()
        self._woken.close()
        self._wake.close()

    def _read_all(self) -> None:
        poller = select.poll()
        streams = {stream.ours.fileno(): stream for stream in self._streams}
        for number in (self._woken.fileno(), *streams):
            poller.register(number, select.POLLIN)
        try:
            while True:
                ready = [number for number, _ in poller.poll()]
                with self._lock:
                    if self._closed:
                        return
                    for number in ready:
                        if number in streams and not self._read(streams[number]):
                            poller.unregister(number)
                    dropping = self._is_spent()
                if dropping:
                    time.sleep(_PAUSE)
        finally:
            # here: no other thread may close a file that this one waits for
            with self._lock:
                self._closed = True
            self.discard()

    def _drain(self) -> None:
        if self._closed:
            return
        for stream in self._streams:
            for _ in range(_AT_THE_END):
                if not self._read(stream, if_empty=False):
                    break
            self._end_line(stream)

    def _read(self, stream: _Stream, *, if_empty: bool = True) -> bool:
        """Read once. Returns whether there may be more; `if_empty` when there is nothing now."""
        try:
            data = os.read(stream.ours.fileno(), _READ)
        except BlockingIOError:
            return if_empty
        if data and not self._is_spent():
            self._take(stream, data)
            if self._is_spent():
                self._say_dropped()
        return bool(data)

    def _take(self, stream: _Stream, data: bytes) -> None:
        *ended, rest = data.split(b"\n")
        for part in ended:
            self._add(stream, part)
            self._end_line(stream)
        self._add(stream, rest)
        self._bytes_left -= len(data)

    def _add(self, stream: _Stream, part: bytes) -> None:
        room = LONGEST_LINE - len(stream.line)
        stream.line += part[:room]
        stream.is_cut = stream.is_cut or len(part) > room

    def _end_line(self, stream: _Stream) -> None:
        line, is_cut = bytes(stream.line), stream.is_cut
        stream.line.clear()
        stream.is_cut = False
        self._lines_left -= 1
        if line.strip() and self._lines_left >= 0:
            log_line(line, is_cut=is_cut, stream=stream.name, pid=self._pid, fields=self._fields)

    def _say_dropped(self) -> None:
        for stream in self._streams:
            stream.line.clear()
        log.warning(
            "the output of process %d is dropped from here: a run may write %d lines and %d bytes",
            self._pid,
            MOST_LINES,
            MOST_BYTES,
            extra=dict(self._fields),
        )

    def _is_spent(self) -> bool:
        return self._lines_left <= 0 or self._bytes_left <= 0


def _stream(name: str, undone: contextlib.ExitStack) -> _Stream:
    ours, theirs = _pipe(undone)
    os.set_blocking(ours.fileno(), False)
    return _Stream(name=name, ours=ours, theirs=theirs)


def _pipe(undone: contextlib.ExitStack) -> tuple[io.FileIO, io.FileIO]:
    reading, writing = os.pipe()
    ours, theirs = io.FileIO(reading, "rb"), io.FileIO(writing, "wb")
    for end in (ours, theirs):
        undone.callback(end.close)
        keep_private(end)
    return ours, theirs
