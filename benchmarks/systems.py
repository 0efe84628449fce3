"""The systems we compare: the settings of each, and how to start its submitter and worker."""

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
"""Visibility timeout when the worker is killed: its messages return after this."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """One way of submitting no-op jobs."""

    name: str
    command: str
    """The command for the submitter."""
    share: float = 1.0
    """Fraction of the planned jobs to submit this way."""
    like: str = "one by one"
    """Name of the way of remotejob to compare with."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """A system set up in the embedded AWS, with its own queues."""

    submitter: Mapping[str, str]
    """Environment of the submitter."""
    worker: Mapping[str, str]
    """Environment of the worker."""
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
    """One system of the comparison."""

    name: str
    app: str
    """The module of its submitter."""
    work: tuple[str, ...] = ()
    """The arguments to Python that start its worker."""
    keeps: str
    """Whether it keeps a record of a job ("yes"), only its result, or nothing ("no")."""
    ways: tuple[Way, ...] = (Way(name="one by one", command="one"),)
    """Ways to submit; the worker is measured with the jobs of all ways."""
    idle_as: str | None = None
    """Another system with the same worker; its idle figures apply here too."""
    peer: bool = True
    """Whether it needs packages that remotejob does not."""
    at_a_time: int = CONCURRENCY
    sign_of_life: tuple[str, str] | None = None
    """The request by which its worker says that it lives, and which none of the jobs makes."""
    needs: frozenset[str] = frozenset()
    """The resources to create for it: "table", "bucket"."""
    quick: bool = True
    """Whether the quick run includes it."""
    settings: str = ""
    """Its settings, where they differ from its defaults, for the report."""
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def user(self) -> str:
        """Prefix of its users, by which requests are counted, and of its queues."""
        return re.sub("[^a-z0-9]+", "-", f"bench-{self.name}".lower())

    @property
    def python(self) -> str:
        return str(PEERS_PYTHON) if self.peer else sys.executable

    def missing(self) -> str | None:
        """Why it cannot run here; None when it can."""
        if self.peer and not PEERS_PYTHON.exists():
            return "its packages are not installed; run `make bench`"
        return None

    @contextmanager
    def prepared(self, bench: Bench, *, short: bool = False) -> Iterator[Prepared]:
        """Set it up from scratch; with `short`, messages return after a short time."""
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
    """remotejob, deployed from its template."""

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
            bench.release(queue)

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

_SIGN_OF_LIFE = ("dynamodb", "PutItem")

OURS = Ours(
    name="remotejob",
    app="benchmarks.apps.remotejob_app",
    keeps="yes",
    ways=(
        Way(name="one by one", command="one", share=0.5),
        Way(name="in bulk", command="bulk", like="in bulk"),
    ),
    sign_of_life=_SIGN_OF_LIFE,
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
    sign_of_life=_SIGN_OF_LIFE,
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
