"""A fake clock, seeded randomness, an in-memory system and a worker that runs step by step."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from remotejob.backends.memory import MemoryFiles, MemoryMessages, MemoryStore
from remotejob.client.hooks import registry
from remotejob.domain.ids import Entropy
from remotejob.domain.priority import Lane
from remotejob.domain.times import span_ms, to_ms
from remotejob.domain.unreadable import SkippedItems
from remotejob.ports import (
    NO_FLEET,
    Address,
    Channel,
    Fleet,
    Installation,
    QueueDescription,
    Received,
)
from remotejob.tasks.registry import Registry
from remotejob.worker.executors.in_thread import call_here
from remotejob.worker.messages.handler import Call, MessageHandler
from remotejob.worker.messages.heartbeats import Heartbeats
from remotejob.worker.messages.settler import Settler
from remotejob.worker.runs.in_flight import InFlight

START: Final = datetime(2026, 1, 15, 12, tzinfo=UTC)


class FakeClock:
    """A clock that only `advance` and `sleep` move."""

    def __init__(self, start: datetime = START) -> None:
        self._start_ms = to_ms(start)
        self._ms = self._start_ms

    def now_ms(self) -> int:
        return self._ms

    def monotonic(self) -> float:
        return (self._ms - self._start_ms) / 1000

    def sleep(self, span: timedelta) -> None:
        self.advance(span)

    def advance(self, span: timedelta) -> None:
        self._ms += span_ms(span)


def seeded_entropy(seed: int = 0) -> Entropy:
    """Random bytes that are the same in every run."""
    return random.Random(seed).randbytes  # noqa: S311 (for tests)


def memory_installation(
    clock: FakeClock | None = None,
    *,
    queues: Mapping[str, tuple[str, ...]] | None = None,
    lease: timedelta = timedelta(seconds=60),
    retention: timedelta = timedelta(days=30),
    fleet: Fleet = NO_FLEET,
) -> Installation:
    """A system in memory. `queues` maps queues to tasks, by default `{"default": ("work",)}`."""
    clock = clock or FakeClock()
    described = queues or {"default": ("work",)}
    skipped = SkippedItems()
    return Installation(
        name="memory",
        store=MemoryStore(skipped=skipped),
        messages=MemoryMessages(clock),
        files=MemoryFiles(),
        clock=clock,
        entropy=seeded_entropy(),
        queues={
            name: QueueDescription(name=name, tasks=tasks) for name, tasks in described.items()
        },
        lease=lease,
        retention=retention,
        fleet=fleet,
        hooks=registry,
        skipped=skipped,
    )


@dataclass(kw_only=True)
class Simulation:
    """A worker without threads: each call runs one step in the test's thread, on the test's clock.

    Even tasks with `runs_in=Process()` run in the test's thread, unless `call` runs them elsewhere.
    """

    installation: Installation
    tasks: Registry = field(default_factory=Registry)
    queue: str = "default"
    worker: str = "simulated"
    call: Call = call_here

    def __post_init__(self) -> None:
        self.runs = InFlight()
        self.handler = MessageHandler(
            self.installation, self.tasks, worker=self.worker, runs=self.runs, call=self.call
        )
        self.heartbeats = Heartbeats(self.installation, self.handler, self.runs)
        self.settler = Settler(self.installation)

    def receive(self) -> list[Received]:
        """The messages visible now, from all lanes, the high lane first."""
        received: list[Received] = []
        for lane in Lane:
            received += self.installation.messages.receive(
                Address(self.queue, Channel(lane.value)),
                limit=10,
                wait=timedelta(0),
                hidden=self.installation.lease,
            )
        return received

    def step(self) -> int:
        """Handle and settle all messages visible now; return how many there were."""
        received = self.receive()
        for message in received:
            settlement = self.handler.attend(message)
            if settlement is not None:
                self.settler.add(settlement)
        self.settler.flush()
        return len(received)

    def beat(self) -> None:
        """Send the heartbeats that are due."""
        for settlement in self.heartbeats.beat():
            self.settler.add(settlement)
