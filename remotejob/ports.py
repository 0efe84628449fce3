"""What the use cases need of the outside: a store, queues, files and a clock.

Each is a protocol with at least two implementations (in memory, and on AWS) that pass the
conformance suites in `remotejob.testing`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from remotejob.domain.changes import Change
from remotejob.domain.conditions import Item
from remotejob.domain.events import CommandEvent, Event
from remotejob.domain.ids import Entropy
from remotejob.domain.priority import Order
from remotejob.domain.record import Failure, JobRecord
from remotejob.domain.transactions import Conflict, Key, Step


@dataclass(frozen=True, slots=True)
class Updated:
    """The change was made; this is the record after it."""

    record: JobRecord


@dataclass(frozen=True, slots=True)
class Refused:
    """The condition did not hold; this is the record that refused it, if there is one.

    There is none, too, where a job was removed.
    """

    record: JobRecord | None


def took_effect(change: Change, outcome: Updated | Refused) -> bool:
    """Whether a change was made, by this request or by an earlier one whose answer was lost.

    The earlier one's effect refuses the later one.
    """
    if isinstance(outcome, Updated):
        return True
    if outcome.record is None:
        return False
    item = outcome.record.to_item()
    return all(item.get(name) == value for name, value in change.set.items())


@dataclass(frozen=True, slots=True)
class Mark:
    """An entry of the attention index."""

    job_id: str
    at_ms: int


class JobStore(Protocol):
    """Where the records are."""

    def put_new(self, record: JobRecord) -> Updated | Refused:
        """Store a record, unless there is one of its id, or was one that has been removed."""
        ...

    def put_fresh(self, records: Sequence[JobRecord]) -> list[str]:
        """Store records whose ids are surely new, many in a request.

        Returns the ids of those that were not stored, however often it was tried.
        """
        ...

    def get(self, job_id: str) -> JobRecord | None:
        """The record as it stands, strongly consistent."""
        ...

    def get_many(self, job_ids: Sequence[str]) -> list[JobRecord]:
        """Those of the records that exist, in no order, strongly consistent."""
        ...

    def update(self, change: Change) -> Updated | Refused:
        """Make a change if its condition holds, and give back the record it met or made."""
        ...

    def transact(self, steps: Sequence[Step]) -> Conflict | None:
        """Carry out all steps, or none; the first that was refused, and what it met.

        Raises: StoreUnavailable, when others were at the same items each time it was tried.
        """
        ...

    def item(self, key: Key) -> Item | None:
        """An item beside the records, strongly consistent."""
        ...

    def items(
        self, partition: str, prefix: str, *, at_a_time: int | None = None
    ) -> Iterator[tuple[str, Item]]:
        """Names and items of a partition, in order of name, strongly consistent.

        `at_a_time` is how many are read in one request; default as many as there are. It is for
        who needs only the first of many.
        """
        ...

    def attention(self, kind: str, shard: int, *, until_ms: int) -> Iterator[Mark]:
        """Marks of a kind up to a time, the earliest first. Eventually consistent."""
        ...

    def listing(self, partition: str, *, after: str | None = None) -> Iterator[JobRecord]:
        """The jobs of a partition, newest first; with `after`, oldest first from the next id."""
        ...

    def put_note(self, job_id: str, name: str, content: str, *, expires_s: int) -> None:
        """Keep a text beside the record, under a name that sorts, until about `expires_s`."""
        ...

    def notes(self, job_id: str, prefix: str) -> Iterator[tuple[str, str]]:
        """Names and texts kept beside the record, in order of name."""
        ...


class Channel(StrEnum):
    """The message queues that one queue is made of."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"
    DEAD_LETTER = "dead_letter"
    COMPLETED = "completed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Address:
    """One message queue."""

    queue: str
    channel: Channel


@dataclass(frozen=True, kw_only=True, slots=True)
class Outgoing:
    """A message to send."""

    body: str
    delay: timedelta = timedelta(0)
    """Rounded up to seconds; within the queue's `Capabilities.max_delay`."""
    group: str | None = None
    """Whose message it is: groups are served fairly, not in order. As `check_tenant` has it.
    Source: Amazon SQS Developer Guide, "Amazon SQS fair queues"."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Received:
    """A message received, hidden from others until its visibility timeout ends."""

    address: Address
    body: str
    receipt: str
    sent_ms: int
    receives: int
    """How often it was received, this time included."""
    group: str | None = None
    together: int = 1
    """How many messages the request brought that brought this one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Depth:
    """About how many messages a queue holds."""

    visible: int
    hidden: int
    """Received, and neither deleted nor visible again."""
    delayed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Capabilities:
    """What a queue can do; the use case decides by it before any request."""

    max_delay: timedelta
    max_hidden: timedelta
    """From a receive, all extensions included."""
    retention: timedelta
    batch: int
    """Messages in one request."""


class WorkQueue(Protocol):
    """Where messages wait. At least once, in no certain order."""

    @property
    def capabilities(self) -> Capabilities: ...

    def send(self, address: Address, messages: Sequence[Outgoing]) -> None:
        """Send messages, in as few requests as they fit.

        Raises: QueueUnavailable, when some were not taken however often they were sent.
        """
        ...

    def receive(
        self, address: Address, *, limit: int, wait: timedelta, hidden: timedelta
    ) -> list[Received]:
        """Receive up to `limit` messages, waiting up to `wait` for the first."""
        ...

    def delete(self, address: Address, receipts: Sequence[str]) -> None:
        """Delete messages. One that is gone already is not an error."""
        ...

    def hide(self, address: Address, receipts: Sequence[str], span: timedelta) -> None:
        """Hide received messages for `span` from now. One that is gone is not an error.

        Nor is one that would be hidden longer than `Capabilities.max_hidden` from its receive: it
        stays hidden as long as it was to be.
        """
        ...

    def depth(self, address: Address) -> Depth:
        """About how many messages there are; a distributed queue does not know it exactly."""
        ...


class Area(StrEnum):
    """The two sides files are kept on. Source: remotejob, "two buckets"."""

    INPUT = "input"
    OUTPUT = "output"


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """A file as it was stored."""

    bucket: str
    key: str
    size: int
    etag: str
    version: str | None = None
    content_type: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


class ObjectStore(Protocol):
    """Where files are. Bodies stream: no method holds a whole file in memory."""

    def put(
        self,
        area: Area,
        key: str,
        body: bytes | BinaryIO,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Stored:
        """Store a file; `metadata` as `domain.metadata.check_metadata` lets through."""
        ...

    def describe(self, area: Area, key: str) -> Stored:
        """What is known of a file, its newest version. Raises: FileNotFoundError."""
        ...

    def open(self, bucket: str, key: str, *, version: str | None = None) -> BinaryIO:
        """A stream of the file's bytes. Raises: FileNotFoundError."""
        ...

    def download(self, bucket: str, key: str, to: Path, *, version: str | None = None) -> None:
        """Copy a file to the disk, whole or not at all. Raises: FileNotFoundError."""
        ...

    def bucket(self, area: Area) -> str:
        """Name of the bucket of that side."""
        ...

    def keys(self, area: Area, prefix: str) -> Iterator[str]: ...

    def delete(self, area: Area, keys: Iterable[str]) -> None: ...


class Clock(Protocol):
    """Time. Injected, so that a test can be at any time and waits for nothing."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds that never run backwards, from an arbitrary start."""
        ...

    def sleep(self, span: timedelta) -> None: ...


class Listener(Protocol):
    """Is notified when something happens to a job: `remotejob.hooks`, or nobody."""

    def wants(self, event: Event) -> bool:
        """Whether anything would be called for that event."""
        ...

    def tell(
        self,
        event: Event,
        record: JobRecord,
        installation: Installation,
        *,
        progress: tuple[float, float] | None = None,
        failure: Failure | None = None,
    ) -> None:
        """Something happened to a job, which now stands as `record` says."""
        ...

    def tell_command(self, told: CommandEvent, *, task: str | None) -> None:
        """A command succeeded, was refused, or raised."""
        ...


class _Nobody:
    """The `Listener` of a process without hooks."""

    def wants(self, event: Event) -> bool:  # noqa: ARG002 (the protocol's)
        return False

    def tell(
        self,
        event: Event,
        record: JobRecord,
        installation: Installation,
        *,
        progress: tuple[float, float] | None = None,
        failure: Failure | None = None,
    ) -> None:
        """Nothing to call."""

    def tell_command(self, told: CommandEvent, *, task: str | None) -> None:
        """Nothing to call."""


NOBODY: Final[Listener] = _Nobody()


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerSize:
    """What a worker has, and how many jobs share it."""

    cpu: int
    """CPU units; 1,024 is one vCPU."""
    memory_mib: int
    jobs: int
    """Jobs it runs at a time, in all its processes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueDescription:
    """What a client knows of a queue."""

    name: str
    tasks: tuple[str, ...]
    order: Order = Order.WEIGHTED
    tenant_limit: int | None = None
    """Jobs of one tenant that run at a time; None for no limit."""
    size: WorkerSize | None = None
    """Of each of its workers; None where it is not known, such as in memory."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Installation:
    """One deployed system: its ports and what is fixed about it."""

    name: str
    store: JobStore
    messages: WorkQueue
    files: ObjectStore
    clock: Clock
    entropy: Entropy
    queues: Mapping[str, QueueDescription]
    lease: timedelta = field(default=timedelta(seconds=60))
    retention: timedelta = field(default=timedelta(days=30))
    hooks: Listener = field(default=NOBODY)
    """What this process notifies when something happens to a job."""
