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


class Supervised:
    """This process as the child of a supervisor."""

    def __init__(self, *, number: int, channel: socket.socket) -> None:
        self.number: Final = number
        """From 1; a child that is started in place of another has its number."""
        self._channel = channel

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str]) -> Self | None:
        """What the supervisor said, or None when there is none.

        It is taken out of the environment: what a task starts is not the supervisor's child.
        Raises: SettingsError.
        """
        said = environment.pop(Env.CHILD, None)
        if said is None:
            return None
        number, _, descriptor = said.partition(":")
        try:
            channel = socket.socket(fileno=int(descriptor))
            # a program that a task starts could keep it open for ever
            channel.set_inheritable(False)
            return cls(number=int(number), channel=channel)
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
        # a parent that is gone is seen by the thread that watches
        with contextlib.suppress(OSError):
            self._channel.sendall(BEGUN)

    def _watch(self) -> None:
        # the supervisor never writes: what comes is the end of its side
        with contextlib.suppress(OSError):
            self._channel.recv(1)
        log.error("the supervisor is gone: stopping", extra={"child": self.number})
        main = threading.main_thread().ident
        assert main is not None
        # to the main thread, which may be waiting: another would not wake it everywhere
        signal.pthread_kill(main, signal.SIGTERM)


def told(number: int, descriptor: int) -> dict[str, str]:
    """The environment of a child: the caller's, and what `Supervised.from_environment` reads."""
    return {**os.environ, Env.CHILD.value: f"{number}:{descriptor}"}
