"""A system in memory, a worker to step through it, and one that must not be touched."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from remotejob import Queue, RemoteJob
from remotejob.backends import limits
from remotejob.backends.memory import MemoryMessages
from remotejob.ports import Address, Channel, Installation
from remotejob.testing import FakeClock, memory_installation


class Untouchable:
    """A port that fails the test when it is asked for anything but what it can do."""

    capabilities = limits.SQS

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was called, before everything was checked")


class Pipe(io.RawIOBase):
    """A stream as from a pipe: it cannot seek, tells no size, and is not read at once."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._content.readinto(buffer)

    def readall(self) -> bytes:
        raise AssertionError("the whole stream was asked for")


Sent = Callable[[Channel], list[str]]


@pytest.fixture
def installation(clock: FakeClock) -> Installation:
    return memory_installation(clock, queues={"default": ("work", "other"), "second": ("work",)})


@pytest.fixture
def untouched(installation: Installation) -> Queue:
    """A queue of a system none of whose ports may be used."""
    port: Any = Untouchable()
    return RemoteJob(replace(installation, store=port, messages=port, files=port)).queue()


@pytest.fixture
def queue(installation: Installation) -> Queue:
    return RemoteJob(installation).queue("default")


@pytest.fixture
def sent(installation: Installation) -> Sent:
    """Bodies of the messages in a channel of the default queue."""

    def bodies(channel: Channel) -> list[str]:
        assert isinstance(installation.messages, MemoryMessages)
        return installation.messages.bodies(Address("default", channel))

    return bodies
