"""A whole system in one test: a creator, workers, the scheduler, and the passing of time.

Everybody acts through a process of their own, which a fault may end. The steps of a scenario
survive that, as the steps of a deployed system do: the next one is another process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from remotejob.backends.memory import MemoryMessages
from remotejob.consequences import carry_out
from remotejob.domain.changes import Attention, Change
from remotejob.domain.errors import RemoteJobError, RunInterrupted
from remotejob.domain.record import JobRecord
from remotejob.domain.retry import NO_RETRY, Retry
from remotejob.domain.states import State
from remotejob.ingest import Upload, ingest
from remotejob.ports import Address, Channel, Clock, Installation, JobStore, Outgoing, Updated
from remotejob.scheduler import tick
from remotejob.settings import parse
from remotejob.submitting import Submission, submit_many
from remotejob.submitting import submit as submit_one
from remotejob.sweep import sweep
from remotejob.tasks import Registry
from remotejob.testing import FakeClock, Simulation
from remotejob.testing.crashes import Call, Crash
from remotejob.testing.interception import intercepted
from remotejob.worker.running import RunningJob
from tests.simulation.trace import Trace

QUEUE = "default"
LANES = tuple(Address(QUEUE, channel) for channel in (Channel.HIGH, Channel.NORMAL, Channel.LOW))
PAST_THE_LEASE = timedelta(seconds=65)

MINUTES = (PAST_THE_LEASE,) * 8 + (timedelta(minutes=10),) * 20
"""Within this a job goes on after a crash, by its message and the scheduler alone."""

DAYS = (timedelta(hours=2),) * 40
"""Within this the sweep finds whatever is left."""


SETTINGS = parse({"queues": {QUEUE: {"tasks": ["work"]}}, "routes": [{"task": "work"}]})


@dataclass(frozen=True, kw_only=True, slots=True)
class Uploaded:
    """One version of an object, put that many seconds after the beginning."""

    version: str
    at: int


class FaultInjector(Protocol):
    """What `Faults` and `HttpFaults` have in common."""

    calls: list[Call]
    struck: Call | None

    def process(self, installation: Installation, name: str) -> Installation: ...
    def disarm(self) -> None: ...
    def report(self) -> str: ...


class Backstage(Protocol):
    """What only a test may see of the queues."""

    def bodies(self, address: Address) -> list[str]: ...
    def lose(self, address: Address, which: int) -> str:
        """Take a message away; return what it said."""
        ...


class MemoryBackstage:
    """Of the queues in memory."""

    def __init__(self, messages: MemoryMessages) -> None:
        self._messages = messages

    def bodies(self, address: Address) -> list[str]:
        return self._messages.bodies(address)

    def lose(self, address: Address, which: int) -> str:
        queue = self._messages._queues[address]
        return queue.pop(sorted(queue)[which]).body


class World:
    """One run of one scenario."""

    def __init__(
        self,
        installation: Installation,
        *,
        clock: FakeClock,
        faults: FaultInjector,
        backstage: Backstage,
        observer: JobStore | None = None,
        skew_ms: int = 0,
    ) -> None:
        self.observer = observer or installation.store
        self.trace = Trace(self.observer, clock)
        self.base = intercepted(installation, self.trace)
        self.clock = clock
        self.faults = faults
        self.skew_ms = skew_ms
        self.tasks = Registry()
        self.promised: list[str] = []
        """Jobs whose submit has returned."""
        self.unannounced: set[str] = set()
        """Jobs whose message was lost after their end, perhaps before it was announced."""
        self.violations: list[str] = []
        self.starts: list[tuple[str, int]] = []
        """Who began to run, and when."""
        self.uploads: dict[str, Uploaded] = {}
        """Uploads by the job made of them."""
        self.nonsense: list[str] = []
        self.message_lost = False
        self.clocks: dict[str, Clock] = {}
        """Of workers whose clocks differ."""
        self._backstage = backstage
        self._began_ms = clock.now_ms()
        self._workers: dict[str, Simulation] = {}

    def task(
        self, function: Callable[[RunningJob], Any], *, name: str = "work", retry: Retry = NO_RETRY
    ) -> None:
        """Say what a task does."""

        def noted(job: RunningJob) -> Any:
            self.starts.append((job.id, self.clock.now_ms()))
            return function(job)

        self.tasks.task(name, retry=retry)(noted)

    def surviving(self) -> _Surviving:
        """Whatever ends a process here, the others go on."""
        return _Surviving(self)

    def submit(self, *submissions: Submission) -> None:
        installation = self.faults.process(self.base, "creator")
        queue = installation.queues[QUEUE]
        with self.surviving():
            if len(submissions) == 1:
                records = [submit_one(submissions[0], queue=queue, installation=installation)]
            else:
                records = submit_many(submissions, queue=queue, installation=installation)
            self.promised += [record.id for record in records]

    def upload(self, uploaded: Uploaded) -> None:
        """The event of an upload is delivered, until somebody has seen to it."""
        upload = Upload(
            bucket="uploads",
            key="photo.jpg",
            size=5,
            etag="e",
            version=uploaded.version,
            sequencer=None,
            at_ms=self._began_ms + uploaded.at * 1000,
        )
        for _ in range(2):
            with self.surviving():
                record = ingest(upload, SETTINGS, self.faults.process(self.base, "on_upload"))
                assert record is not None
                self.uploads[record.id] = uploaded
                self.promised.append(record.id)
                return

    def step(self, worker: str = "worker", *, tasks: Registry | None = None) -> int:
        """A worker sees to everything visible now; how many messages that were."""
        clock = self.clocks.get(worker, self.clock)
        installation = replace(self.faults.process(self.base, worker), clock=clock)
        simulation = Simulation(
            installation=installation,
            tasks=self.tasks if tasks is None else tasks,
            queue=QUEUE,
            worker=worker,
        )
        self._workers[worker] = simulation
        with self.surviving():
            return simulation.step()
        return 0

    def beat(self, worker: str = "worker") -> None:
        """The heartbeats of a worker, in the middle of its step."""
        if worker in self._workers:
            self._workers[worker].beat()

    def stop(self, worker: str, reason: RunInterrupted) -> None:
        """End a worker's runs from outside, in the middle of its step."""
        simulation = self._workers[worker]
        for run in simulation.runs.running():
            settlement = simulation.attendant.end_run(run, reason)
            if settlement is not None:
                simulation.settler.add(settlement)
        simulation.settler.flush()

    def tick(self) -> None:
        with self.surviving():
            tick(self.faults.process(self.base, "scheduler"))

    def sweep(self) -> None:
        with self.surviving():
            sweep(self.faults.process(self.base, "sweep"))

    def manage(self, change: Callable[..., Change]) -> None:
        """A manager changes every job, and carries out what follows."""
        installation = self.faults.process(self.base, "manager")
        for record in list(self.trace.records.values()):
            with self.surviving():
                outcome = installation.store.update(change(record, now_ms=self.clock.now_ms()))
                if isinstance(outcome, Updated) and outcome.record.terminal:
                    carry_out([outcome.record], installation)

    def advance(self, span: timedelta) -> None:
        self.clock.advance(span)

    def deliver(self, address: Address, body: str) -> None:
        """Put a message where workers find it, whoever sent it."""
        self.base.messages.send(address, [Outgoing(body=body)])

    def deliver_nonsense(self, body: str) -> None:
        """A message that nobody can understand."""
        self.nonsense.append(body)
        self.deliver(LANES[0], body)

    def duplicate(self) -> None:
        """Deliver once more whatever is pending."""
        for address in LANES:
            for body in self.bodies(address):
                self.deliver(address, body)

    def duplicate_one(self) -> None:
        """Deliver once more the first message that is pending."""
        address, body = next((lane, body) for lane in LANES for body in self.bodies(lane))
        self.deliver(address, body)

    def lose_messages(self) -> None:
        """What is pending is gone."""
        for address in LANES:
            for _ in range(len(self.bodies(address))):
                self.lose_message(address)

    def lose_message(self, address: Address, which: int = 0) -> None:
        """One message of a lane is gone."""
        bodies = self.bodies(address)
        if not bodies:
            return
        lost = self._backstage.lose(address, which % len(bodies))
        self.message_lost = True
        self.nonsense = [body for body in self.nonsense if body != lost]
        self.unannounced |= {record.id for record in self.trace.records.values() if record.terminal}

    def bodies(self, address: Address) -> list[str]:
        return self._backstage.bodies(address)

    def pending(self) -> list[str]:
        """Messages in the lanes, hidden ones included."""
        return [body for address in LANES for body in self.bodies(address)]

    def quiet(self) -> bool:
        """Whether nothing is left to do."""
        return not self.pending() and all(map(_at_rest, self.trace.records.values()))

    def run_to_quiet(self) -> None:
        """Let new workers and the scheduler go on; the sweep only where it is what must help."""
        self.faults.disarm()
        if self._passes(MINUTES):
            return
        left = [record for record in self.trace.records.values() if not _at_rest(record)]
        if not self.message_lost:
            self.violations += [
                f"1: {record.id} was promised, and only the sweep found it"
                for record in left
                if record.id in self.promised
            ]
        self._passes(DAYS, self.sweep)

    def _passes(self, spans: Sequence[timedelta], helper: Callable[[], None] | None = None) -> bool:
        for span in spans:
            while self.step("another worker"):
                pass
            if self.quiet():
                return True
            self.advance(span)
            self.tick()
            if helper is not None:
                helper()
        return self.quiet()


class _Surviving:
    """Ends a process without ending the test."""

    def __init__(self, world: World) -> None:
        self._world = world

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, problem: BaseException | None, trace: object) -> bool:
        if isinstance(problem, OSError | RemoteJobError | BotoCoreError | ClientError):
            if self._world.faults.struck is None:
                self._world.violations.append(f"failed though nothing was wrong: {problem!r}")
            return True
        return isinstance(problem, Crash)


def _at_rest(record: JobRecord) -> bool:
    kind = None if record.attention is None else record.attention.split("#")[0]
    ended = record.terminal or record.state is State.PAUSED
    return ended and record.owed is None and kind not in Attention.ACTED_ON
