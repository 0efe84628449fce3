"""The record of a job: what it is and how far it got. Nothing else holds its state."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from remotejob.domain.conditions import Item, Value
from remotejob.domain.file_names import nearest_file_name
from remotejob.domain.ids import partition_of
from remotejob.domain.job_log import LogLine, log_lines
from remotejob.domain.priority import Lane, lane_of
from remotejob.domain.record_fields import COUNTERS, FIELDS, values_in
from remotejob.domain.retry import Retry
from remotejob.domain.states import TERMINAL, State
from remotejob.domain.text import cut, dumps
from remotejob.domain.times import from_ms
from remotejob.names import Field

INLINE_LIMIT: Final = 4096
"""Bytes of data, result or manifest kept in the record; more goes to S3, written once.
Every write pays for the whole record."""

DATA_LIMIT: Final = 1024 * 1024
"""Bytes of a job's data as JSON. Its worker holds all of it in memory, and several times over."""

RESULT_LIMIT: Final = 64 * 1024 * 1024
"""Bytes of a result as JSON; more belongs in an output, which is streamed."""


UNNAMED: Final = "input"
"""Name of an input that nobody named."""
LONGEST_LEASE_MS: Final = 12 * 3600 * 1000
"""Twice the longest lease of a task, and far more than clocks may differ."""

ERRORS_KEPT: Final = 3
"""How many failures stay in the record; each is also a separate item."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InputFile:
    """A job's input file, at exactly this version."""

    bucket: str
    key: str
    size: int
    name: str
    version: str | None = None
    etag: str | None = None
    content_type: str | None = None

    def to_json(self) -> str:
        pairs = zip(_INPUT_KEYS, _INPUT_FIELDS, strict=True)
        stored = {key: getattr(self, field) for key, field in pairs}
        return dumps({key: value for key, value in stored.items() if value is not None})

    @classmethod
    def from_json(cls, text: str) -> InputFile:
        stored = json.loads(text)
        pairs = zip(_INPUT_KEYS, _INPUT_FIELDS, strict=True)
        return cls(**{field: stored[key] for key, field in pairs if key in stored})


_INPUT_FIELDS: Final = ("bucket", "key", "size", "name", "version", "etag", "content_type")

_INPUT_KEYS: Final = ("b", "k", "s", "n", "v", "e", "t")


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputFile:
    """A file a run made, as the manifest lists it."""

    name: str
    key: str
    size: int
    etag: str
    content_type: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """One run that failed, or died."""

    run_id: str
    attempt: int
    at_ms: int
    kind: str
    """The exception's class, or `WorkerDied` or `LeaseLost` if the lease ended."""
    message: str

    @property
    def at(self) -> datetime:
        return from_ms(self.at_ms)


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRecord:
    """One job. Times are milliseconds since the epoch; None means absent from the item."""

    id: str
    state: State
    task: str
    queue: str
    priority: int = 0
    created_ms: int
    updated_ms: int
    due_ms: int | None = None
    blocked: frozenset[str] | None = None
    """Jobs and batches it still waits for."""
    parked: str | None = None
    """The lock it waits for."""
    resource: str | None = None
    """Jobs with the same resource run one at a time."""
    tenant: str | None = None
    tenant_limit: int | None = None
    """How many jobs of its tenant may run at the same time."""
    depends_json: str | None = None
    dependents: int = 0
    """1 if other jobs wait, or waited, for it."""
    linking: str | None = None
    """The token of its edges, until all of them are stored."""
    delay_dependents_ms: int | None = None
    repeat_json: str | None = None
    generation: int = 0
    """Of the repeats of its task, when it was made; `domain.series` explains it."""
    next_id: str | None = None
    """The job that repeats it."""
    origin_id: str | None = None
    """The job that it repeats, reruns or replays."""
    previous_json: str | None = None
    """How the job that it repeats ended."""
    depth: int = 0
    """How many jobs led to this one, each making the next; that of an upload is in its file."""
    batch: str | None = None
    calls_json: str | None = None
    token: str | None = None
    """Of the last command on it."""
    run_id: str | None = None
    lease_ms: int | None = None
    """When the lease of the run ends."""
    worker: str | None = None
    started_ms: int | None = None
    finished_ms: int | None = None
    attempt: int = 0
    """Number of the current or last run; released runs do not count."""
    failures: int = 0
    crashes: int = 0
    """Runs whose lease ended, and whose worker has not said that it lives."""
    crashed_runs: frozenset[str] | None = None
    """The runs counted as crashes since the job was submitted or restarted."""
    lost_leases: int = 0
    """Runs whose lease ended, and whose worker said that it lives."""
    lost_run: str | None = None
    """The run whose worker said that it lives and lost the lease."""
    releases: int = 0
    given_up: int = 0
    """Its messages that went to the dead-letter queue, though it could run."""
    start_by_ms: int | None = None
    """Until when a run may begin; `domain.start_limits` explains it."""
    start_in_ms: int | None = None
    """The limit as it was given, if as a span from the due time."""
    crash_limit: int | None = None
    """How many deaths of its worker the job may survive; None for the default."""
    no_space: int = 0
    """1 if it was given back once because the worker's disk was full."""
    retry_json: str | None = None
    data_json: str | None = None
    data_ref: str | None = None
    input_json: str | None = None
    progress_json: str | None = None
    log_json: str | None = None
    log_count: int = 0
    history: frozenset[str] | None = None
    """What was done to it; `domain.history` reads it."""
    errors_json: str | None = None
    result_json: str | None = None
    result_ref: str | None = None
    outputs_json: str | None = None
    outputs_ref: str | None = None
    checkpoint_json: str | None = None
    checkpoint_ref: str | None = None
    owed: str | None = None
    """Consequences of the end, still to be carried out."""
    swept_ms: int | None = None
    expires_s: int | None = None
    attention: str | None = None
    attention_ms: int | None = None

    @property
    def lane(self) -> Lane:
        return lane_of(self.priority)

    @property
    def terminal(self) -> bool:
        return self.state in TERMINAL

    @property
    def retry(self) -> Retry | None:
        """The policy given at submit; None means the task's own."""
        return None if self.retry_json is None else Retry.from_json(self.retry_json)

    @property
    def input(self) -> InputFile | None:
        """The input, under the nearest name that is a file's on every platform.

        Others may have written the record, and a worker opens a file of that name on its disk.
        """
        if self.input_json is None:
            return None
        file = InputFile.from_json(self.input_json)
        name = nearest_file_name(file.name) or UNNAMED
        return file if name == file.name else replace(file, name=name)

    @property
    def progress(self) -> tuple[float, float]:
        """Done and total; 0 of 1 if none was reported. All is done once the job has completed.

        Source: job-collection, `progress`.
        """
        done, total = (0, 1) if self.progress_json is None else json.loads(self.progress_json)
        return (total, total) if self.state is State.COMPLETED else (done, total)

    @property
    def errors(self) -> tuple[Failure, ...]:
        """The last failures, oldest first."""
        if self.errors_json is None:
            return ()
        return tuple(
            Failure(run_id=run, attempt=attempt, at_ms=at, kind=kind, message=message)
            for run, attempt, at, kind, message in json.loads(self.errors_json)
        )

    @property
    def log_tail(self) -> tuple[LogLine, ...]:
        """The last lines of the log, oldest first."""
        return () if self.log_json is None else log_lines(self.log_json)

    def runnable(self, now_ms: int) -> bool:
        """Whether only a lease could refuse a claim."""
        if self.state is State.READY:
            return True
        due = self.due_ms is not None and self.due_ms <= now_ms
        return self.state is State.WAITING and due and not (self.blocked or self.parked)

    @property
    def locked(self) -> bool:
        """Whether it needs a lock to run."""
        return self.resource is not None or self.tenant_limit is not None

    @property
    def at_most_once(self) -> bool:
        """Whether a run that has begun is the last, whatever ends it from outside."""
        return self.crash_limit == 0

    @property
    def lost(self) -> bool:
        """Whether the worker of its run said that it lives and lost the lease."""
        return self.run_id is not None and self.lost_run == self.run_id

    def live(self, run_id: str, now_ms: int, *, skew_ms: int) -> bool:
        """Whether that run may still be working, even if the job was cancelled meanwhile."""
        if self.run_id != run_id or self.lease_ms is None or self.lease_beyond_sense(now_ms):
            return False
        return self.lease_ms + skew_ms > now_ms

    def lease_beyond_sense(self, now_ms: int) -> bool:
        """Whether its lease ends later than any that was taken by now (see `domain.odd_items`)."""
        return self.lease_ms is not None and self.lease_ms > now_ms + LONGEST_LEASE_MS

    @property
    def depends(self) -> tuple[str, ...]:
        """Ids of the jobs it was submitted to run after."""
        return () if self.depends_json is None else tuple(json.loads(self.depends_json))

    def to_item(self) -> dict[str, Value]:
        item: dict[str, Value] = {Field.PK: partition_of(self.id), Field.SK: self.id}
        for attribute, field in FIELDS.items():
            value = getattr(self, attribute)
            # a counter at 0 is left out: DynamoDB's ADD starts at 0
            if value is not None and not (attribute in COUNTERS and value == 0):
                item[field] = value
        return item

    @classmethod
    def from_item(cls, item: Item) -> JobRecord:
        """The record in an item. Attributes that a later version adds are passed over.

        Raises: UnreadableItem, when an attribute has another type than ours or is out of range,
        the state is unknown, or the keys are not those of a job.
        `remotejob.domain.record_texts` checks what the texts say.
        """
        return cls(**values_in(item))


def outputs_to_json(outputs: tuple[OutputFile, ...]) -> str:
    """A manifest as stored, without the keys: a key is the run's prefix and the name."""
    return dumps(
        [
            [out.name, out.size, out.etag, *([out.content_type] if out.content_type else [])]
            for out in outputs
        ]
    )


def outputs_from_json(text: str, *, prefix: str) -> tuple[OutputFile, ...]:
    return tuple(
        OutputFile(
            name=name,
            key=prefix + name,
            size=size,
            etag=etag,
            content_type=rest[0] if rest else None,
        )
        for name, size, etag, *rest in json.loads(text)
    )


def output_prefix(*, queue: str, job_id: str, run_id: str) -> str:
    """Where a run's outputs go. It has the run id because attempt numbers can repeat."""
    return f"{queue}/{job_id}/{run_id}/"


def errors_to_json(errors: tuple[Failure, ...]) -> str:
    """The last failures as stored, with long messages cut."""
    return dumps(
        [[e.run_id, e.attempt, e.at_ms, e.kind, cut(e.message, 300)] for e in errors[-ERRORS_KEPT:]]
    )
