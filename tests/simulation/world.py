"""A whole system in one test: a creator, workers, the scheduler, and the passing of time.

Everybody acts through a process of their own, which a fault may end. The steps of a scenario
survive that, as the steps of a deployed system do: the next one is another process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from remotejob.domain.changes import Change
from remotejob.domain.errors import (
    CommandRefused,
    DependencyEnded,
    JobNotFound,
    RemoteJobError,
    RunInterrupted,
    StillRunning,
)
from remotejob.domain.marks import Attention
from remotejob.domain.record import JobRecord
from remotejob.domain.retry import NO_RETRY, Retry
from remotejob.domain.states import State
from remotejob.jobs.coordination.consequences import carry_out
from remotejob.jobs.scheduler.sweep import sweep
from remotejob.jobs.scheduler.tick import tick
from remotejob.jobs.submission.submission import Submission
from remotejob.jobs.submission.submit import submit as submit_one
from remotejob.jobs.submission.submit import submit_many
from remotejob.jobs.submission.uploads import Upload, ingest
from remotejob.ports import (
    Address,
    Channel,
    Clock,
    Installation,
    JobStore,
    Outgoing,
    QueueDescription,
    Updated,
)
from remotejob.settings import parse
from remotejob.tasks import Registry
from remotejob.tasks.completion import Completion
from remotejob.tasks.running_job import RunningJob
from remotejob.testing import FakeClock, Simulation
from remotejob.testing.crashes import Call, Crash
from remotejob.testing.interception import intercepted
from remotejob.worker.messages.settlements import Settlement
from remotejob.worker.runs.run import Run
from tests.simulation.backstage import Backstage
from tests.simulation.trace import Trace

QUEUE = "default"
LANES = tuple(Address(QUEUE, channel) for channel in (Channel.HIGH, Channel.NORMAL, Channel.LOW))
QUEUES = {QUEUE: QueueDescription(name=QUEUE, tasks=("work",), tenant_limit=2)}
PAST_THE_LEASE = timedelta(seconds=65)

_MOMENT = timedelta(milliseconds=1)
"""A command is given some time after what it reacts to."""

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


def _nothing() -> None:
    pass


class FaultInjector(Protocol):
    """What `Faults` and `HttpFaults` have in common."""

    calls: list[Call]
    struck: Call | None

    def process(self, installation: Installation, name: str) -> Installation: ...
    def disarm(self) -> None: ...
    def report(self) -> str: ...


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
        self.patience: Sequence[timedelta] = MINUTES
        """How long everything may take to end without the sweep."""
        self.clocks: dict[str, Clock] = {}
        """Of workers whose clocks differ."""
        self._backstage = backstage
        self._began_ms = clock.now_ms()
        self._workers: dict[str, Simulation] = {}

    def task(
        self,
        function: Callable[[RunningJob], Any],
        *,
        name: str = "work",
        retry: Retry = NO_RETRY,
        crashes: int | None = None,
    ) -> None:
        """Say what a task does."""

        def noted(job: RunningJob) -> Any:
            self.starts.append((job.id, self.clock.now_ms()))
            return function(job)

        self.tasks.task(name, retry=retry, crashes=crashes)(noted)

    def surviving(self) -> _Surviving:
        """Whatever ends a process here, the others go on."""
        return _Surviving(self)

    def submit(self, *submissions: Submission) -> list[str]:
        """The ids of the jobs made; none, when the creator met a fault."""
        installation = self.faults.process(self.base, "creator")
        queue = installation.queues[QUEUE]
        with self.surviving():
            if len(submissions) == 1:
                records = [submit_one(submissions[0], queue=queue, installation=installation)]
            else:
                records = submit_many(submissions, queue=queue, installation=installation)
            ids = [record.id for record in records]
            self.promised += ids
            return ids
        return []

    def upload(self, uploaded: Uploaded) -> None:
        """Deliver the event of an upload until a function has handled it."""
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
                if record is None:
                    assert self.trace.removed, "the upload was ignored"
                    return
                self.uploads[record.id] = uploaded
                self.promised.append(record.id)
                return

    def step(self, worker: str = "worker", *, tasks: Registry | None = None) -> int:
        """A worker sees to everything visible now; how many messages that were."""
        simulation = self._new_worker(worker, tasks)
        with self.surviving():
            return simulation.step()
        return 0

    def _new_worker(self, worker: str, tasks: Registry | None) -> Simulation:
        clock = self.clocks.get(worker, self.clock)
        self._workers[worker] = Simulation(
            installation=replace(self.faults.process(self.base, worker), clock=clock),
            tasks=self.tasks if tasks is None else tasks,
            queue=QUEUE,
            worker=worker,
        )
        return self._workers[worker]

    def beat(self, worker: str = "worker") -> None:
        """The heartbeats of a worker, in the middle of its step."""
        if worker in self._workers:
            self._workers[worker].beat()

    def stop(self, worker: str, reason: RunInterrupted) -> None:
        """End a worker's runs from outside, in the middle of its step."""
        simulation = self._workers.get(worker)
        if simulation is None:
            return
        for run in simulation.runs.running():
            settlement = simulation.handler.end_run(run, reason)
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
        self.advance(_MOMENT)
        for record in list(self.trace.records.values()):
            with self.surviving():
                outcome = installation.store.update(change(record, now_ms=self.clock.now_ms()))
                if isinstance(outcome, Updated) and outcome.record.terminal:
                    carry_out([outcome.record], installation)

    def command(self, command: Callable[..., object], *job_ids: str, **options: Any) -> None:
        """A manager gives a command of `jobs.commands` to jobs, one by one."""
        installation = self.faults.process(self.base, "manager")
        for job_id in job_ids:
            self.advance(_MOMENT)
            with self.surviving():
                command(job_id, installation, **options)

    def command_if_allowed(
        self, command: Callable[..., object], *job_ids: str, **options: Any
    ) -> None:
        """As `command`, of jobs whose state may refuse it."""

        def tried(job_id: str, installation: Installation) -> None:
            with suppress(CommandRefused, DependencyEnded, JobNotFound, StillRunning):
                command(job_id, installation, **options)

        self.command(tried, *job_ids)

    def run_by_hand(self, completion: Completion, worker: str = "worker") -> None:
        """A worker handles everything visible now; its tasks end as the test says here."""
        with self.surviving():
            simulation = self._new_worker(worker, None)
            for settlement in self._ended_by_hand(simulation, completion, _nothing):
                simulation.settler.add(settlement)
            simulation.settler.flush()

    def complete_and_die(self, meanwhile: Callable[[], object] = _nothing) -> None:
        """A worker completes what is visible now, and dies before anything follows from it."""
        with self.surviving():
            list(self._ended_by_hand(self._new_worker("dying", None), Completion(), meanwhile))

    def _ended_by_hand(
        self, simulation: Simulation, completion: Completion, meanwhile: Callable[[], object]
    ) -> Iterator[Settlement]:
        for message in simulation.receive():
            begun = simulation.handler.begin(message)
            if not isinstance(begun, Run):
                yield begun
                continue
            meanwhile()
            settlement = simulation.handler.complete(begun, completion)
            if settlement is not None:
                yield settlement

    def advance(self, span: timedelta) -> None:
        self.clock.advance(span)

    def deliver(self, address: Address, body: str) -> None:
        """Put a message where workers find it, from any sender."""
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
        return not self.pending() and not self._restless()

    def _restless(self) -> list[JobRecord]:
        records = self.trace.records
        return [record for record in records.values() if not _at_rest(record, records)]

    def run_to_quiet(self) -> None:
        """Let new workers and the scheduler go on; the sweep only where it is what must help."""
        self.faults.disarm()
        # a deployed system sweeps every few hours: a message lost is found while its job is young
        if self._passes(self.patience, self.sweep if self.message_lost else None):
            return
        if not self.message_lost:
            self.violations += [
                f"1: {record.id} was promised, and only the sweep found it"
                for record in self._restless()
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


def held_up(record: JobRecord, records: Mapping[str, JobRecord]) -> bool:
    """Whether it waits, perhaps by way of others, for a job that is paused."""
    antecedents = [records[job_id] for job_id in record.blocked or () if job_id in records]
    return record.state is State.WAITING and any(
        one.state is State.PAUSED or held_up(one, records) for one in antecedents
    )


def _at_rest(record: JobRecord, records: Mapping[str, JobRecord]) -> bool:
    if held_up(record, records):
        return True
    kind = None if record.attention is None else record.attention.split("#")[0]
    ended = record.terminal or record.state is State.PAUSED
    return ended and record.owed is None and kind not in Attention.ACTED_ON
