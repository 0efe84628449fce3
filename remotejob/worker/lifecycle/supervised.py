"""A worker process under a supervisor: its number, its reports, and the end of its parent."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import MutableMapping
from typing import Final, Self

from remotejob.domain.errors import SettingsError
from remotejob.names import Env
from remotejob.tasks.forked import keep_private

log = logging.getLogger(__name__)

BEGUN: Final = b"b"
"""A child writes this to its supervisor once it can work."""

BUSY: Final = b"+"
IDLE: Final = b"-"
"""A child writes these when it must be protected from being stopped, and when no longer."""


class Supervised:
    """This process as the child of a supervisor. As a `Guard`, it asks the supervisor's."""

    def __init__(self, *, number: int, channel: socket.socket, replaces: int | None = None) -> None:
        self.number: Final = number
        """From 1; a child that replaces a dead one has the same number."""
        self.replaces: Final = replaces
        """The id of the dead process that this one replaces."""
        self._channel = channel
        keep_private(channel)
        self._last_report = IDLE

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str]) -> Self | None:
        """Read what the supervisor put into the environment; None without a supervisor.

        The variable is removed: a program that a task starts is not the supervisor's child.
        Raises: SettingsError.
        """
        value = environment.pop(Env.CHILD, None)
        if value is None:
            return None
        number, _, rest = value.partition(":")
        descriptor, _, before = rest.partition(":")
        try:
            replaces = int(before) if before else None
            channel = socket.socket(fileno=int(descriptor))
            # else a program that a task starts could keep it open for ever
            channel.set_inheritable(False)
            return cls(number=int(number), channel=channel, replaces=replaces)
        except (ValueError, OSError) as problem:
            raise SettingsError(
                f"{Env.CHILD}={value!r} ({problem}): only a supervisor sets this for its children; "
                f"unset it, and set {Env.PROCESSES} to run child processes"
            ) from None

    def stop_with_parent(self) -> None:
        """From now on, send this process SIGTERM when the supervisor ends, however it ends.

        Until the process handles SIGTERM, this ends it at once.
        """
        threading.Thread(target=self._watch, name="parent", daemon=True).start()

    def begun(self) -> None:
        """Report that the start succeeded: a later death does not count as a failed start."""
        self._write(BEGUN)

    def protect(self) -> None:
        """Ask for the container to be protected, because this child is busy."""
        self._report(BUSY)

    def unprotect(self) -> None:
        self._report(IDLE)

    def _report(self, state: bytes) -> None:
        # called each second: write changes only
        if state != self._last_report:
            self._last_report = state
            self._write(state)

    def _write(self, report: bytes) -> None:
        # if the parent is gone, the thread that watches it stops us
        with contextlib.suppress(OSError):
            self._channel.sendall(report)

    def _watch(self) -> None:
        # the supervisor never writes: recv returns when its side is closed
        with contextlib.suppress(OSError):
            self._channel.recv(1)
        log.error("the supervisor is gone: stopping", extra={"child": self.number})
        main = threading.main_thread().ident
        assert main is not None
        # to the main thread, which may be waiting: a signal to another would not always wake it
        signal.pthread_kill(main, signal.SIGTERM)


def child_environment(
    number: int, descriptor: int, *, replaces: int | None = None
) -> dict[str, str]:
    """The environment of a child: the caller's, and what `Supervised.from_environment` reads."""
    value = f"{number}:{descriptor}" + (f":{replaces}" if replaces is not None else "")
    return {**os.environ, Env.CHILD.value: value}
