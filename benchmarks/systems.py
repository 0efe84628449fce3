"""The systems side by side: how each is set up, and how its submitter and its worker start."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from benchmarks import marks
from benchmarks.bench import PEERS_PYTHON, Bench, OurQueue
from benchmarks.processes import Program, Running, last_line
from remotejob.local.workers import Worker
from remotejob.names import Env, SystemKey

CONCURRENCY = 8
SHORT_VISIBILITY_S = 5
"""Where a worker is killed: how long until its messages come back."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """One way of submitting no-op jobs."""

    name: str
    command: str
    """What the submitter is told to do."""
    share: float = 1.0
    """Of the jobs that are measured: a second way needs fewer."""
    like: str = "one by one"
    """Which of our ways it is compared with."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """A system that is set up in the embedded AWS, with queues of its own."""

    submitter: Mapping[str, str]
    worker: Mapping[str, str]
    """The environments of the two."""
    ours: OurQueue | None = None


@dataclass(frozen=True, slots=True)
class _OurWorker:
    worker: Worker

    @property
    def session(self) -> int:
        return self.worker.pid

    def tail(self) -> str:
        return last_line(self.worker.log)


@dataclass(frozen=True, kw_only=True, slots=True)
class System:
    """One system of the table."""

    name: str
    app: str
    """The module of its submitter."""
    work: tuple[str, ...] = ()
    """The arguments to Python that start its worker."""
    keeps: str
    """What is kept of a job: a record, its result only, or nothing."""
    ways: tuple[Way, ...] = (Way(name="one by one", command="one"),)
    """The worker is measured with the jobs of all of them."""
    idle_as: str | None = None
    """The system whose worker is the very same, and is watched in its stead."""
    peer: bool = True
    """It has packages of its own, which are not ours."""
    at_a_time: int = CONCURRENCY
    needs: frozenset[str] = frozenset()
    """Of "table" and "bucket"."""
    quick: bool = True
    """There is time for it in the quick run."""
    settings: str = ""
    """What differs from its defaults, for the reader."""
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def user(self) -> str:
        """Whose the requests are, where they are counted; the name of its queues too."""
        return re.sub("[^a-z0-9]+", "-", f"bench-{self.name}".lower())

    @property
    def python(self) -> str:
        return str(PEERS_PYTHON) if self.peer else sys.executable

    def missing(self) -> str | None:
        """Why it cannot run here; None when it can."""
        if self.peer and not PEERS_PYTHON.exists():
            return "its packages are not installed: run it with `make bench`"
        return None

    @contextmanager
    def prepared(self, bench: Bench, *, short: bool = False) -> Iterator[Prepared]:
        """Set it up anew; `short`, with messages that come back soon."""
        visibility_s = SHORT_VISIBILITY_S if short else 120
        queue = bench.fresh(self.user)
        common = {
            "BENCH_QUEUE": queue,
            "BENCH_QUEUE_URL": bench.queue(queue, visibility_s=visibility_s),
            "BENCH_VISIBILITY_S": str(visibility_s),
        }
        if "table" in self.needs:
            common["BENCH_TABLE"] = bench.table(queue)
        if "bucket" in self.needs:
            common["BENCH_BUCKET"] = bench.bucket(queue)
        yield Prepared(
            submitter={**bench.environment(self.submitter_user), **common},
            worker={**bench.environment(self.worker_user), **common},
        )

    @property
    def submitter_user(self) -> str:
        return f"{self.user}-submitter"

    @property
    def worker_user(self) -> str:
        return f"{self.user}-worker"

    def start_submitter(
        self, bench: Bench, prepared: Prepared, marked: marks.Marks
    ) -> AbstractContextManager[Program]:
        return bench.program(
            [self.python, "-m", self.app, "submit"],
            environment={**prepared.submitter, marks.VARIABLE: str(marked.path)},
            piped=True,
        )

    @contextmanager
    def start_worker(
        self, bench: Bench, prepared: Prepared, marked: marks.Marks
    ) -> Iterator[Running]:
        environment = {**prepared.worker, marks.VARIABLE: str(marked.path)}
        with bench.program([self.python, *self.work], environment=environment) as program:
            yield program


@dataclass(frozen=True, kw_only=True, slots=True)
class Ours(System):
    """remotejob, as its template deploys it."""

    peer: bool = False

    @contextmanager
    def prepared(self, bench: Bench, *, short: bool = False) -> Iterator[Prepared]:
        ours = bench.our_queue()
        described = json.loads(ours.task.environment[Env.SYSTEM])
        if short:
            described[SystemKey.LEASE_SECONDS] = SHORT_VISIBILITY_S
        queue = ours.task.environment[Env.QUEUE]
        try:
            yield Prepared(
                submitter={**bench.environment(self.submitter_user), "BENCH_QUEUE": queue},
                worker={Env.SYSTEM: json.dumps(described), **self.variables},
                ours=ours,
            )
        finally:
            bench.rest(queue)

    @property
    def worker_user(self) -> str:
        # the role of the deployed task
        return "workers"

    @contextmanager
    def start_worker(
        self, bench: Bench, prepared: Prepared, marked: marks.Marks
    ) -> Iterator[Running]:
        assert prepared.ours is not None
        environment = {**prepared.worker, marks.VARIABLE: str(marked.path)}
        with bench.our_worker(prepared.ours, environment) as worker:
            yield _OurWorker(worker)


_CELERY: dict[str, Any] = {
    "app": "benchmarks.apps.celery_app",
    "work": (
        *("-m", "celery", "-A", "benchmarks.apps.celery_app", "worker", "--pool", "prefork"),
        *("--concurrency", str(CONCURRENCY), "--loglevel", "WARNING", "--without-gossip"),
        *("--without-mingle", "--without-heartbeat"),
    ),
}

OURS = Ours(
    name="remotejob",
    app="benchmarks.apps.remotejob_app",
    keeps="yes",
    ways=(
        Way(name="one by one", command="one", share=0.5),
        Way(name="in bulk", command="bulk", like="in bulk"),
    ),
    settings="threads; deployed from its template, with a task role",
)
OURS_WITH_BODY = Ours(
    name="remotejob, 10 KB in, 1 output",
    app="benchmarks.apps.remotejob_app",
    keeps="yes",
    ways=(
        Way(name="one by one", command="body", share=0.5),
        Way(name="in bulk", command="bodies", share=0.5, like="in bulk"),
    ),
    idle_as=OURS.name,
    settings="as above; input and output in S3",
)
_IN_BATCHES = Way(name="ten at a time", command="one", like="in bulk")
SYSTEMS: tuple[System, ...] = (
    OURS,
    OURS_WITH_BODY,
    System(
        name="Celery prefork",
        keeps="no",
        quick=False,
        settings="predefined queue, no remote control, gossip, mingle or heartbeat; no results",
        **_CELERY,
    ),
    System(
        name="Celery prefork + DynamoDB results",
        keeps="result only",
        needs=frozenset({"table"}),
        settings="as without results; dynamodb:// result backend",
        **_CELERY,
    ),
    System(
        name="Celery prefork + S3 results",
        keeps="result only",
        needs=frozenset({"bucket"}),
        quick=False,
        settings="as without results; s3 result backend",
        **_CELERY,
    ),
    System(
        name="dramatiq-sqs",
        app="benchmarks.apps.dramatiq_app",
        work=(
            *("-m", "dramatiq", "benchmarks.apps.dramatiq_app", "--processes", "1"),
            *("--threads", str(CONCURRENCY)),
        ),
        keeps="no",
        settings="one process, 8 threads; defaults",
    ),
    System(
        name="taskiq-aio-sqs + S3 results",
        app="benchmarks.apps.taskiq_app",
        work=(
            *("-m", "taskiq", "worker", "benchmarks.apps.taskiq_app:broker", "--workers", "1"),
            *("--max-async-tasks", str(CONCURRENCY), "--log-level", "WARNING"),
        ),
        keeps="result only",
        needs=frozenset({"bucket"}),
        ways=(_IN_BATCHES,),
        settings="one worker, 8 async tasks; sends and receives ten at a time; 20 s of polling",
    ),
    System(
        name="plain boto3, batches of 10",
        app="benchmarks.apps.plain_app",
        work=("-m", "benchmarks.apps.plain_app", "work"),
        keeps="no",
        peer=False,
        ways=(_IN_BATCHES,),
        at_a_time=1,
        settings="receive ten, run one after another, delete ten",
    ),
    System(
        name="sketch: put, claim, complete",
        app="benchmarks.apps.sketch_app",
        work=("-m", "benchmarks.apps.sketch_app", "work"),
        keeps="yes",
        peer=False,
        needs=frozenset({"table"}),
        quick=False,
        settings="boto3 and a pool of 8 threads; no heartbeat, no retry, no order",
    ),
)
