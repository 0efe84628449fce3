"""A system on the backend that a test is run on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from remotejob.backends.clock import SystemClock
from remotejob.backends.memory import MemoryMessages
from remotejob.ports import Installation
from remotejob.testing import FakeClock, memory_installation
from tests.aws import aws_installation

BACKENDS: Final = ("memory", "aws")
"""What a fixture that gives a system is run with."""


@contextmanager
def installation_on(
    backend: str, clock: FakeClock, *, queues: Mapping[str, tuple[str, ...]] | None = None
) -> Iterator[Installation]:
    """A system in memory, or on AWS as moto has it in this process, empty."""
    if backend == "memory":
        yield memory_installation(clock, queues=queues)
    else:
        with aws_installation(clock, queues=queues) as made:
            yield made


def installation_in_real_time(**options: Any) -> Installation:
    """A system in memory, by the machine's own clock: for workers with their threads.

    `options` are those of `memory_installation`.
    """
    clock = SystemClock()
    return replace(
        memory_installation(**options),
        clock=clock,
        messages=MemoryMessages(clock),
        entropy=os.urandom,
    )
