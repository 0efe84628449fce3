"""The child's side of a supervisor: who it is, that it has begun, and that its parent is gone."""

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

log = logging.getLogger(__name__)

BEGUN: Final = b"b"
"""What a child writes to its supervisor once it can work."""

BUSY: Final = b"+"
IDLE: Final = b"-"
"""What it writes when it is to be kept from being stopped, and when no longer."""


class Supervised:
    """This process as the child of a supervisor. It is a `Guard`, by way of the supervisor's."""

    def __init__(self, *, number: int, channel: socket.socket, replaces: int | None = None) -> None:
        self.number: Final = number
        """From 1; a child that is started in place of another has its number."""
        self.replaces: Final = replaces
        """The process, now dead, that was this child before."""
        self._channel = channel
        self._said = IDLE

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str]) -> Self | None:
        """What the supervisor said, or None when there is none.

        It is taken out of the environment: what a task starts is not the supervisor's child.
        Raises: SettingsError.
        """
        said = environment.pop(Env.CHILD, None)
        if said is None:
            return None
        number, _, rest = said.partition(":")
        descriptor, _, before = rest.partition(":")
        try:
            replaces = int(before) if before else None
            channel = socket.socket(fileno=int(descriptor))
            # a program that a task starts could keep it open for ever
            channel.set_inheritable(False)
            return cls(number=int(number), channel=channel, replaces=replaces)
        except (ValueError, OSError) as problem:
            raise SettingsError(
                f"{Env.CHILD}={said!r} ({problem}): a supervisor sets it for its own children; "
                f"unset it, and set {Env.PROCESSES} to have some"
            ) from None

    def stop_with_parent(self) -> None:
        """From now on take the supervisor's end, however it comes, as SIGTERM.

        Before the process handles SIGTERM this ends it at once.
        """
        threading.Thread(target=self._watch, name="parent", daemon=True).start()

    def begun(self) -> None:
        """Tell the supervisor that the start succeeded: a later death is not the start's fault."""
        self._write(BEGUN)

    def protect(self) -> None:
        """Have the container kept from being stopped, while this child is busy."""
        self._say(BUSY)

    def unprotect(self) -> None:
        self._say(IDLE)

    def _say(self, what: bytes) -> None:
        # asked each second: only what changes is said
        if what != self._said:
            self._said = what
            self._write(what)

    def _write(self, what: bytes) -> None:
        # a parent that is gone is seen by the thread that watches
        with contextlib.suppress(OSError):
            self._channel.sendall(what)

    def _watch(self) -> None:
        # the supervisor never writes: what comes is the end of its side
        with contextlib.suppress(OSError):
            self._channel.recv(1)
        log.error("the supervisor is gone: stopping", extra={"child": self.number})
        main = threading.main_thread().ident
        assert main is not None
        # to the main thread, which may be waiting: another would not wake it everywhere
        signal.pthread_kill(main, signal.SIGTERM)


def told(number: int, descriptor: int, *, replaces: int | None = None) -> dict[str, str]:
    """The environment of a child: the caller's, and what `Supervised.from_environment` reads."""
    said = f"{number}:{descriptor}" + (f":{replaces}" if replaces is not None else "")
    return {**os.environ, Env.CHILD.value: said}
