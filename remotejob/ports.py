"""The ports: what use cases need from outside, a job store, queues, files, workers and a clock.

Each is a protocol with at least two implementations, in memory and on AWS, which pass the
conformance suites in `remotejob.testing`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from remotejob.domain.budgets import DailyBudget
from remotejob.domain.changes import Change
from remotejob.domain.claim_decisions import CLOCK_SKEW
from remotejob.domain.conditions import Item
from remotejob.domain.errors import SettingsError
from remotejob.domain.events import CommandEvent, Event
from remotejob.domain.fleet import CapacityShare, FleetStatus, StoppedTask, WorkersDescription
from remotejob.domain.ids import Entropy
from remotejob.domain.priority import Order
from remotejob.domain.record import Failure, JobRecord
from remotejob.domain.text import shown
from remotejob.domain.transactions import Conflict, Key, Step
from remotejob.domain.unreadable import SkippedItems
from remotejob.names import FREE_STORAGE_GIB, MAX_DEPTH, Field


@dataclass(frozen=True, slots=True)
class Updated:
    """The change was made; this is the record after it."""

    record: JobRecord


@dataclass(frozen=True, slots=True)
class Refused:
    """The condition did not hold; this is the current record, None if it does not exist.

    A removed job has none either.
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
    # another process may have added a line to the history since
    return all(
        item.get(name) == value for name, value in change.set.items() if name != Field.HISTORY
    )


@dataclass(frozen=True, slots=True)
class Mark:
    """An entry of the attention index."""

    job_id: str
    at_ms: int


class JobStore(Protocol):
    """Stores the job records, and items and notes next to them.

    Methods that return one record raise UnreadableItem if it cannot be read; those that return many
    leave out what cannot be read, count it and log it once (`remotejob.domain.unreadable`).
    """

    def put_new(self, record: JobRecord) -> Updated | Refused:
        """Store a record, unless its id exists or belonged to a removed job."""
        ...

    def put_fresh(self, records: Sequence[JobRecord]) -> None:
        """Store many records whose ids are new; one that is stored already stays as it is.

        Raises: the first error, after every request has ended; any of the records may be stored.
        """
        ...

    def get(self, job_id: str) -> JobRecord | None:
        """The current record, strongly consistent."""
        ...

    def get_many(self, job_ids: Sequence[str]) -> list[JobRecord]:
        """The records that exist, in no particular order, strongly consistent."""
        ...

    def update(self, change: Change) -> Updated | Refused:
        """Make a change if its condition holds; return the record after it, or as it is."""
        ...

    def transact(self, steps: Sequence[Step]) -> Conflict | None:
        """Carry out all steps or none; return the first refused step and what it found.

        Raises: StoreUnavailable, when others changed the same items on every try.
        """
        ...

    def item(self, key: Key) -> Item | None:
        """An item that is not a record, strongly consistent."""
        ...

    def items(
        self, partition: str, prefix: str, *, at_a_time: int | None = None
    ) -> Iterator[tuple[str, Item]]:
        """Names and items of a partition, in order of name, strongly consistent.

        `at_a_time` is how many are read per request, by default as many as fit. Set it to read
        only the first of many.
        """
        ...

    def attention(self, kind: str, shard: int, *, until_ms: int) -> Iterator[Mark]:
        """Marks of a kind up to a time, earliest first; eventually consistent."""
        ...

    def listing(self, partition: str, *, after: str | None = None) -> Iterator[JobRecord]:
        """The jobs of a partition, newest first; with `after`, oldest first from the next id."""
        ...

    def put_note(self, job_id: str, name: str, content: str, *, expires_s: int) -> None:
        """Keep a text next to the record, under a sortable name, until about `expires_s`."""
        ...

    def notes(self, job_id: str, prefix: str) -> Iterator[tuple[str, str]]:
        """Names and texts of the notes next to the record, in order of name."""
        ...


class Channel(StrEnum):
    """What a message queue holds. All but the last three belong to one queue of the system."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"
    DEAD_LETTER = "dead_letter"
    COMPLETED = "completed"
    FAILED = "failed"
    COMPLETED_DEAD_LETTER = "completed_dead_letter"
    """Status messages whose reader failed too often."""
    FAILED_DEAD_LETTER = "failed_dead_letter"
    UPLOADS = "uploads"
    UPLOADS_DEAD_LETTER = "uploads_dead_letter"
    """Events of uploads that the upload function failed on too often."""
    UPLOADS_UNDELIVERED = "uploads_undelivered"
    """Events of uploads that did not reach the uploads queue."""


UPLOAD_CHANNELS: Final = (
    Channel.UPLOADS,
    Channel.UPLOADS_DEAD_LETTER,
    Channel.UPLOADS_UNDELIVERED,
)
"""Those of the whole system: an upload has no queue yet."""

QUEUE_CHANNELS: Final = tuple(one for one in Channel if one not in UPLOAD_CHANNELS)
"""Those of each queue."""


@dataclass(frozen=True, slots=True)
class Address:
    """One message queue."""

    queue: str
    """The system's queue; empty for the channels of uploads."""
    channel: Channel


def upload_address(channel: Channel) -> Address:
    """Where the system's uploads wait, or their letters lie."""
    return Address("", channel)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outgoing:
    """A message to send."""

    body: str
    delay: timedelta = timedelta(0)
    """Rounded up to seconds; within the queue's `Capabilities.max_delay`."""
    group: str | None = None
    """The tenant: groups are served fairly, but not in order. `check_tenant` validates it.
    Source: Amazon SQS Developer Guide, "Amazon SQS fair queues"."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Received:
    """A message received, hidden from others until its visibility timeout ends."""

    address: Address
    body: str
    receipt: str
    id: str = ""
    """The queue's own id of the message, the same at each receive; a move to another queue may
    change it."""
    sent_ms: int
    receives: int
    """How often it was received, including this time."""
    group: str | None = None
    together: int = 1
    """How many messages the same request returned."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Depth:
    """Approximately how many messages a queue holds."""

    visible: int
    hidden: int
    """Received, but neither deleted nor visible again."""
    delayed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Capabilities:
    """The limits of a queue; use cases check them before making requests."""

    max_delay: timedelta
    max_hidden: timedelta
    """Since the receive, including all extensions."""
    retention: timedelta
    batch: int
    """Messages per request."""


class WorkQueue(Protocol):
    """Message queues: at-least-once delivery, in no guaranteed order."""

    @property
    def capabilities(self) -> Capabilities: ...

    def send(self, address: Address, messages: Sequence[Outgoing]) -> None:
        """Send messages in as few requests as possible.

        Raises: QueueUnavailable, when some were not accepted despite retries.
        """
        ...

    def receive(
        self, address: Address, *, limit: int, wait: timedelta, hidden: timedelta
    ) -> list[Received]:
        """Receive up to `limit` messages, waiting up to `wait` for the first."""
        ...

    def delete(self, address: Address, receipts: Sequence[str]) -> None:
        """Delete messages. A message that is already gone is not an error."""
        ...

    def hide(self, address: Address, receipts: Sequence[str], span: timedelta) -> None:
        """Hide received messages for `span` from now. A message that is gone is not an error.

        Nor is a span that exceeds `Capabilities.max_hidden` since the receive: the message keeps
        its current visibility timeout.
        """
        ...

    def depth(self, address: Address) -> Depth:
        """Approximately how many messages there are; a distributed queue has no exact count."""
        ...


class Area(StrEnum):
    """The two places for files. Source: remotejob, "two buckets"."""

    INPUT = "input"
    OUTPUT = "output"


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """A stored file."""

    bucket: str
    key: str
    size: int
    etag: str
    version: str | None = None
    content_type: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


class ObjectStore(Protocol):
    """Stores files. Bodies are streamed: no method holds a whole file in memory."""

    def put(
        self,
        area: Area,
        key: str,
        body: bytes | BinaryIO,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        once: str | None = None,
    ) -> Stored:
        """Store a file; `domain.metadata.check_metadata` must have checked `metadata`.

        `once`, a token of this write, stores it only where there is no file yet. A file that was
        stored with the same token is this write's own, whose answer was lost.

        Raises: FileExistsError, when there is another file, and `once` is given.
        """
        ...

    def describe(self, area: Area, key: str) -> Stored:
        """Look up the newest version of a file. Raises: FileNotFoundError."""
        ...

    def open(self, bucket: str, key: str, *, version: str | None = None) -> BinaryIO:
        """Open a stream of the file's bytes. Raises: FileNotFoundError."""
        ...

    def download(self, bucket: str, key: str, to: Path, *, version: str | None = None) -> None:
        """Copy a file to disk, completely or not at all; a link there is replaced, not followed.

        Raises: FileNotFoundError.
        """
        ...

    def bucket(self, area: Area) -> str:
        """Name of the area's bucket."""
        ...

    def keys(self, area: Area, prefix: str) -> Iterator[str]: ...

    def delete(self, area: Area, keys: Iterable[str]) -> None: ...


class Clock(Protocol):
    """Time, injected so that tests can set it and need not wait."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds that never run backwards, from an arbitrary start."""
        ...

    def sleep(self, span: timedelta) -> None: ...


class Fleet(Protocol):
    """The workers of the queues: how many run, how many are wanted, and why some stopped."""

    def describe(self, queue: str) -> WorkersDescription | None:
        """What was deployed for a queue's workers; None if nothing was."""
        ...

    def status(self, queue: str) -> FleetStatus | None:
        """A queue's workers now; None if none were deployed for it."""
        ...

    def stopped(self, queue: str) -> tuple[StoppedTask, ...]:
        """The workers that stopped last, the newest first; they are remembered for about an hour.

        Source: Amazon ECS API Reference, ListTasks, desiredStatus.
        """
        ...

    def set_desired(self, queue: str, count: int) -> None:
        """Let a queue have so many workers. Which ones stop is the service's choice, except that
        those under scale-in protection stay. Raises: SettingsError, if none were deployed."""
        ...

    def set_capacity(self, queue: str, shares: tuple[CapacityShare, ...]) -> None:
        """Let a queue's workers run elsewhere: a new deployment of its service, in which idle
        workers are replaced and busy ones finish. Raises: SettingsError, if none were deployed."""
        ...


class _NoFleet:
    """The `Fleet` of a system without deployed workers."""

    def describe(self, queue: str) -> WorkersDescription | None:  # noqa: ARG002 (the protocol's)
        return None

    def status(self, queue: str) -> FleetStatus | None:  # noqa: ARG002
        return None

    def stopped(self, queue: str) -> tuple[StoppedTask, ...]:  # noqa: ARG002
        return ()

    def set_desired(self, queue: str, count: int) -> None:  # noqa: ARG002
        raise no_workers(queue)

    def set_capacity(
        self,
        queue: str,
        shares: tuple[CapacityShare, ...],  # noqa: ARG002
    ) -> None:
        raise no_workers(queue)


def no_workers(queue: str) -> SettingsError:
    """The error for a queue without deployed workers."""
    return SettingsError(
        f"no workers were deployed for queue {shown(queue)}; deploy the workers stack, or start"
        " workers yourself"
    )


NO_FLEET: Final[Fleet] = _NoFleet()


class Listener(Protocol):
    """Is notified when something happens to a job: `remotejob.hooks`, or nobody."""

    def wants(self, event: Event) -> bool:
        """Whether the event would call anything."""
        ...

    def tell(
        self,
        event: Event,
        record: JobRecord,
        installation: Installation,
        *,
        progress: tuple[float, float] | None = None,
        message: str | None = None,
        failure: Failure | None = None,
    ) -> None:
        """Something happened to a job; `record` is its current state."""
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
        message: str | None = None,
        failure: Failure | None = None,
    ) -> None:
        """Nothing to call."""

    def tell_command(self, told: CommandEvent, *, task: str | None) -> None:
        """Nothing to call."""


NOBODY: Final[Listener] = _Nobody()


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerSize:
    """The resources of a worker, and how many jobs share them."""

    cpu: int
    """CPU units; 1,024 is one vCPU."""
    memory_mib: int
    jobs: int
    """Jobs it runs at a time, across all its processes."""
    arm: bool = False
    """Whether its processor is ARM, not x86."""
    storage_gib: int = FREE_STORAGE_GIB
    """Its ephemeral storage."""
    spot_percent: int = 0
    """How many of a hundred such workers run on Spot capacity."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueDescription:
    """What a client knows about a queue."""

    name: str
    tasks: tuple[str, ...]
    order: Order = Order.WEIGHTED
    tenant_limit: int | None = None
    """Jobs of one tenant that run at a time; None for no limit."""
    size: WorkerSize | None = None
    """The size of each worker; None if unknown, such as in memory."""
    budget: DailyBudget = field(default=DailyBudget())
    """What it may spend in a day, before it is paused until the next."""
    max_pending: int | None = None
    """Messages that may wait in each of its lanes when a job is submitted; None for no limit."""
    retired: bool = False
    """Whether it takes no new jobs; those it has go on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Installation:
    """One deployed system: its ports and its fixed properties."""

    name: str
    store: JobStore
    messages: WorkQueue
    files: ObjectStore
    clock: Clock
    entropy: Entropy
    queues: Mapping[str, QueueDescription]
    lease: timedelta = field(default=timedelta(seconds=60))
    skew: timedelta = field(default=CLOCK_SKEW)
    """How far its machines' clocks may differ: a lease lapses only this long after its end."""
    retention: timedelta = field(default=timedelta(days=30))
    readable_buckets: frozenset[str] = field(default=frozenset())
    """Other buckets, besides the system's own two, from which jobs may have their input."""
    max_depth: int = MAX_DEPTH
    """How many jobs in a row may each be made by the one before."""
    write_once_outputs: bool = False
    """Whether this process writes an output only where there is no file yet."""
    fleet: Fleet = field(default=NO_FLEET)
    """The deployed workers of its queues."""
    hooks: Listener = field(default=NOBODY)
    """What this process notifies when something happens to a job."""
    actor: str = field(default="")
    """Who this process is in the log of a job that it does something to."""
    sends_to: frozenset[str] | None = field(default=None)
    """The queues whose messages this process may send; None for all. A job of another queue that it
    releases or ends is marked, and the scheduler does the rest within a minute."""

    def may_send_to(self, queue: str) -> bool:
        """Whether this process may send messages of a queue."""
        return self.sends_to is None or queue in self.sends_to

    clock_ahead: timedelta | None = field(default=None)
    """How far this machine's clock was ahead of AWS's when it connected; None if that was not
    compared."""
    account: str = field(default="")
    region: str = field(default="")
    """Where it is deployed, for people to read; empty if not in AWS."""
    skipped: SkippedItems = field(default_factory=SkippedItems, compare=False)
    """Counts what this process left out because it could not be read."""
