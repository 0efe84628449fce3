"""The client: connect to a system, submit jobs, look at them."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from remotejob import submitting
from remotejob.domain.errors import InvalidData, InvalidName, JobNotFound, UnknownQueue
from remotejob.domain.ids import first_id_at, is_job_id, partition
from remotejob.domain.record import JobRecord
from remotejob.domain.retry import Retry
from remotejob.domain.states import State
from remotejob.domain.times import from_ms, span_ms
from remotejob.job import Job
from remotejob.names import SHARDS
from remotejob.ports import Area, Installation, QueueDescription
from remotejob.submitting import Body, Submission

if TYPE_CHECKING:
    import boto3


class RemoteJob:
    """One deployed system."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation

    @classmethod
    def connect(cls, system: str = "default", *, session: boto3.Session | None = None) -> RemoteJob:
        """The system deployed under that name, in the session's account and region.

        Raises: SystemNotFound; AccessProblem, when AWS cannot be asked.
        """
        from remotejob.backends.aws import connect

        return cls(connect(system, session=session))

    @property
    def name(self) -> str:
        return self._installation.name

    @property
    def input_bucket(self) -> str:
        """Name of the bucket whose uploads become jobs."""
        return self._installation.files.bucket(Area.INPUT)

    @property
    def output_bucket(self) -> str:
        """Name of the bucket the outputs are in."""
        return self._installation.files.bucket(Area.OUTPUT)

    @property
    def queues(self) -> tuple[str, ...]:
        """Names of the system's queues."""
        return tuple(self._installation.queues)

    def queue(self, name: str = "default") -> Queue:
        """Raises: UnknownQueue, naming those there are."""
        description = self._installation.queues.get(name)
        if description is None:
            raise UnknownQueue(name, known=self._installation.queues)
        return Queue(description, self._installation)

    def job(self, job_id: str) -> Job:
        """Raises: InvalidName, when that is no id; JobNotFound."""
        if not is_job_id(job_id):
            raise InvalidName(
                f"job id {job_id!r}: an id has 26 letters and digits, as submit gave it"
            )
        record = self._installation.store.get(job_id)
        if record is None:
            raise JobNotFound(job_id)
        return Job(record, self._installation)

    def jobs(
        self,
        *,
        state: State | str | None = None,
        limit: int = 100,
        since: datetime | None = None,
    ) -> list[Job]:
        """The newest jobs of all queues. See `Queue.jobs`."""
        return _listed(self._installation, queue=None, state=state, limit=limit, since=since)


class Queue:
    """One queue of a system."""

    def __init__(self, description: QueueDescription, installation: Installation) -> None:
        self._description = description
        self._installation = installation

    @property
    def name(self) -> str:
        return self._description.name

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks its workers run."""
        return self._description.tasks

    def submit(
        self,
        task: str,
        *,
        body: Body | None = None,
        data: Any = None,
        filename: str | None = None,
        content_type: str | None = None,
        retry: Retry | None = None,
        priority: int = 0,
        delay: timedelta | None = None,
        after: datetime | None = None,
    ) -> Job:
        """Make a job. Once this returns it is durable, and will run.

        `body` is the input: a path, its bytes, or a file open for reading in binary, which is
        streamed. `data` is anything JSON can write. See `Submission` for the rest.

        Raises: InvalidInput, before anything is written.
        """
        submission = Submission(
            task=task,
            body=body,
            data=data,
            filename=filename,
            content_type=content_type,
            retry=retry,
            priority=priority,
            delay=delay,
            after=after,
        )
        record = submitting.submit(
            submission, queue=self._description, installation=self._installation
        )
        return Job(record, self._installation)

    def submit_many(self, submissions: Iterable[Submission]) -> list[Job]:
        """Make many jobs in few requests.

        Raises: InvalidInput, before anything is written; PartlySubmitted.
        """
        records = submitting.submit_many(
            list(submissions), queue=self._description, installation=self._installation
        )
        return [Job(record, self._installation) for record in records]

    def jobs(
        self,
        *,
        state: State | str | None = None,
        limit: int = 100,
        since: datetime | None = None,
    ) -> list[Job]:
        """The newest jobs, newest first, up to `limit`.

        `since` is how far back to look by the time of submit; default `retention_days`, so that a
        job which has waited longer needs it. Looking for a rare state reads every record on the
        way.

        Raises: InvalidName, when there is no such state; InvalidData, without a time zone.
        """
        return _listed(self._installation, queue=self.name, state=state, limit=limit, since=since)


def _listed(
    installation: Installation,
    *,
    queue: str | None,
    state: State | str | None,
    limit: int,
    since: datetime | None,
) -> list[Job]:
    wanted = None if state is None else _state(state)
    now = from_ms(installation.clock.now_ms())
    if since is None:
        since = now - installation.retention
    elif since.tzinfo is None:
        raise InvalidData(f"since={since!r}: give it a time zone")
    since = since.astimezone(UTC)
    found = (
        Job(record, installation)
        for record in _newest_first(installation, since=since, now=now)
        if (queue is None or record.queue == queue) and (wanted is None or record.state is wanted)
    )
    return list(itertools.islice(found, limit))


def _newest_first(
    installation: Installation, *, since: datetime, now: datetime
) -> Iterator[JobRecord]:
    """Day by day, the shards of a day merged: they sort by id, and an id begins with time."""
    # a creator's clock may run a little ahead of ours
    day = (now + timedelta(minutes=5)).date()
    oldest = first_id_at(max(0, span_ms(since - from_ms(0))))
    with ThreadPoolExecutor(SHARDS) as pool:
        while day >= since.date():
            # the first page of each shard at the same time: most days are empty, or one page
            shards = [installation.store.listing(partition(day, shard)) for shard in range(SHARDS)]
            heads = pool.map(lambda records: list(itertools.islice(records, 1)), shards)
            streams = [
                itertools.chain(head, rest) for head, rest in zip(heads, shards, strict=True)
            ]
            for record in heapq.merge(*streams, key=lambda record: record.id, reverse=True):
                if record.id < oldest:
                    return
                yield record
            day -= timedelta(days=1)


def _state(state: State | str) -> State:
    try:
        return State(state)
    except ValueError:
        raise InvalidName(f"state {state!r}: use one of {', '.join(State)}") from None
