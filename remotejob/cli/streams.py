"""Output that may be impossible to write: a full disk, a closed pipe, a narrow encoding."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TextIO, cast

from remotejob.cli.exit_codes import Exit
from remotejob.cli.visible import ESCAPED


class OutputLost(Exception):
    """Standard output could not be written."""

    def __init__(self, problem: OSError) -> None:
        super().__init__(
            f"cannot write to standard output ({problem.strerror or problem}): make room, or write "
            "elsewhere; what the command has changed stays changed"
        )


def with_safe_output(command: Callable[[], int]) -> int:
    """Run a command and return its exit code, or `Exit.TROUBLE` if its output could not be written.

    That prints one line to standard error, but none if the reader of a pipe has ended, as `head`
    does. A standard error that cannot be written is ignored. Characters that an encoding lacks are
    written as escapes.
    """
    before = sys.stdout, sys.stderr
    out, err = _Output(sys.stdout), _Stream(sys.stderr)
    sys.stdout, sys.stderr = cast("TextIO", out), cast("TextIO", err)
    try:
        with suppress(OutputLost):
            code = command()
            out.flush()
            return code if out.problem is None else Exit.TROUBLE
        return Exit.TROUBLE
    finally:
        if out.problem is not None and out.problem.errno != errno.EPIPE:
            err.write(f"remotejob: {OutputLost(out.problem)}\n")
        err.flush()
        sys.stdout, sys.stderr = before


class _Stream:
    """A text stream that after the first failure to write drops everything."""

    def __init__(self, stream: TextIO | None) -> None:
        """None is how Python shows a stream that was closed before it started."""
        self._stream: Final[Any] = _Closed() if stream is None else stream
        self.problem: OSError | None = None
        """Why it could not be written."""
        if isinstance(stream, io.TextIOWrapper):
            with suppress(OSError):
                stream.reconfigure(errors=ESCAPED)

    def write(self, text: str) -> int:
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _try(self, action: Callable[[], object]) -> None:
        if self.problem is not None:
            return
        try:
            action()
        except OSError as problem:
            self.problem = problem
            self._discard()

    def _discard(self) -> None:
        """Send what is still buffered nowhere, or Python would fail on it when it exits."""
        with suppress(OSError), Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), self._stream.fileno())


class _Output(_Stream):
    """Standard output: its loss ends the command."""

    def _try(self, action: Callable[[], object]) -> None:
        lost_before = self.problem is not None
        super()._try(action)
        if self.problem is not None and not lost_before:
            raise OutputLost(self.problem)


class _Closed(io.TextIOBase):
    """A standard stream whose file descriptor is closed."""

    def write(self, _: str) -> int:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
