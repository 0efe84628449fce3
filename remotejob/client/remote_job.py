"""The client: connect to a system, submit jobs, look them up."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from remotejob.client.actor import this_actor
from remotejob.client.batch import Batch
from remotejob.client.draft import JobDraft
from remotejob.client.job import Job
from remotejob.client.letters import LetterCommands
from remotejob.client.manual_queue import ManualQueue
from remotejob.client.many import Commanded, ManyCommands, on_failed, without_changed
from remotejob.client.switches import SwitchCommands
from remotejob.domain.argument_checks import (
    check_flag,
    check_items,
    check_kind,
    check_text,
    is_a,
    reading,
)
from remotejob.domain.errors import InvalidData, JobNotFound
from remotejob.domain.history import check_actor
from remotejob.domain.name_rules import check_batch_id, check_job_id, check_task_name
from remotejob.domain.priority import Priority
from remotejob.domain.queue_switch import StoppedQueue
from remotejob.domain.repeat import Repeat
from remotejob.domain.retry import Retry
from remotejob.domain.states import State
from remotejob.domain.text import shown
from remotejob.jobs.commands.batch_commands import find_batch
from remotejob.jobs.content.bodies import Body
from remotejob.jobs.coordination import queue_switch
from remotejob.jobs.coordination.replacement import cancel_outdated
from remotejob.jobs.coordination.series import begin_generation
from remotejob.jobs.messaging.command_events import command
from remotejob.jobs.queries.doctor import Diagnosis, examine
from remotejob.jobs.queries.listing import failed_jobs, listed
from remotejob.jobs.queries.why import unable
from remotejob.jobs.queries.workers import WorkerStatus, workers
from remotejob.jobs.submission import submit
from remotejob.jobs.submission.batch_map import make_batch
from remotejob.jobs.submission.batch_sources import Each, Source
from remotejob.jobs.submission.submission import Submission, queue_named
from remotejob.manual.holder import JobHolder
from remotejob.ports import Area, Installation

if TYPE_CHECKING:
    import boto3

NAME_VARIABLE: Final = "REMOTEJOB_NAME"
"""Environment variable with the name of the system to connect to."""


class RemoteJob(ManyCommands, LetterCommands, SwitchCommands):
    """One deployed system."""

    def __init__(self, installation: Installation, *, holder: JobHolder | None = None) -> None:
        """`holder` renews the leases of jobs taken through this client; default: a new one."""
        self._installation = installation
        self._holder = holder or JobHolder(installation)

    @classmethod
    def connect(
        cls,
        system: str | None = None,
        *,
        session: boto3.Session | None = None,
        actor: str | None = None,
    ) -> RemoteJob:
        """The system deployed under this name, in the session's account and region.

        The name defaults to $REMOTEJOB_NAME, then to "default". `actor` is who gives commands, as
        the log of a job says it: 64 characters at most. It defaults to $REMOTEJOB_ACTOR, then to
        the user and the host of this process.

        Raises: SystemNotFound; AccessProblem, when AWS refuses access or cannot be reached;
        InvalidName.
        """
        from remotejob.backends.aws import connect
        from remotejob.client.hooks import registry

        name = "" if system is None else check_text("system", system, remedy="give its name")
        name = name or os.environ.get(NAME_VARIABLE) or "default"
        by = this_actor() if actor is None else check_actor(actor)
        return cls(replace(connect(name, session=session), hooks=registry, actor=by))

    @property
    def name(self) -> str:
        return self._installation.name

    @property
    def account(self) -> str:
        """Id of the AWS account it is deployed in; empty for a system in memory."""
        return self._installation.account

    @property
    def region(self) -> str:
        """The region it is deployed in; empty for a system in memory."""
        return self._installation.region

    @property
    def input_bucket(self) -> str:
        """Name of the bucket whose uploads become jobs."""
        return self._installation.files.bucket(Area.INPUT)

    @property
    def output_bucket(self) -> str:
        """Name of the bucket that holds the outputs."""
        return self._installation.files.bucket(Area.OUTPUT)

    @property
    def queues(self) -> tuple[str, ...]:
        """Names of the system's queues."""
        return tuple(self._installation.queues)

    def queue(self, name: str = "default") -> Queue:
        """The queue of this name. Raises: UnknownQueue, which names the known ones."""
        return Queue(queue_named(name, self._installation), self._installation, self._holder)

    def __repr__(self) -> str:
        return f"<RemoteJob {self.name} with queues {', '.join(self.queues)}>"

    def job(self, job_id: str) -> Job:
        """The job with this id. Raises: InvalidName, when it is not a job id; JobNotFound."""
        job_id = check_job_id(job_id)
        record = self._installation.store.get(job_id)
        if record is None:
            raise JobNotFound(job_id)
        return Job(record, self._installation)

    def unable(self, jobs: Iterable[Job]) -> list[Job]:
        """The waiting jobs among these that no living worker can run.

        They wait for a worker that has their task; `Job.why` says when the last one was seen.
        """
        remedy = "give jobs, as `jobs()` lists them"
        listed = check_items("jobs", jobs, remedy=remedy)
        by_id = {check_kind("job", job, Job, remedy=remedy).id: job for job in listed}
        records = unable((job.record for job in by_id.values()), self._installation)
        return [by_id[record.id] for record in records]

    def workers(self, queue: str | None = None) -> list[WorkerStatus]:
        """The last status of each worker of a queue, or of all queues; most recently seen first.

        Workers that stopped or fell silent stay listed for two days; see `alive`.

        Raises: UnknownQueue.
        Source: forerunner, `status`.
        """
        names = self.queues if queue is None else (self.queue(queue).name,)
        found = [status for name in names for status in workers(self._installation, name)]
        return sorted(found, key=lambda status: status.seen_at, reverse=True)

    def doctor(self) -> Diagnosis:
        """What is wrong with items of the job table: unreadable ones, and times that cannot be.

        Reads the retained days, the newest 20,000 records at most; changes nothing.
        """
        return examine(self._installation)

    def batch(self, batch_id: str) -> Batch:
        """The batch with this id. Raises: InvalidName, when it is not a batch id; BatchNotFound."""
        return Batch(find_batch(check_batch_id(batch_id), self._installation), self._installation)

    def jobs(
        self,
        *,
        state: State | str | None = None,
        task: str | None = None,
        limit: int = 100,
        since: datetime | None = None,
    ) -> list[Job]:
        """The newest jobs of all queues. See `Queue.jobs`."""
        found = listed(
            self._installation, queue=None, state=state, task=task, limit=limit, since=since
        )
        return [Job(record, self._installation) for record in found]


class Queue(ManualQueue):
    """One queue of a system."""

    @property
    def name(self) -> str:
        return self._description.name

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks that its workers run."""
        return self._description.tasks

    def __repr__(self) -> str:
        return f"<Queue {self.name} of {self._installation.name} runs {', '.join(self.tasks)}>"

    @command
    def submit(
        self,
        task: str,
        *,
        name: str | None = None,
        body: Body | None = None,
        data: Any = None,
        filename: str | None = None,
        content_type: str | None = None,
        retry: Retry | None = None,
        priority: Priority | int | str = Priority.NORMAL,
        delay: timedelta | None = None,
        after: datetime | None = None,
        depends: Sequence[str | Job] = (),
        resource: str | None = None,
        tenant: str | None = None,
        repeat: Repeat | None = None,
        expires: timedelta | datetime | None = None,
        crashes: int | None = None,
        idempotency_key: str | None = None,
        idempotency_window: timedelta = timedelta(days=1),
        paused: bool = False,
        cancel_repeats: bool = False,
    ) -> Job:
        """Submit a job. Once this returns, the job is durable and will run.

        `body` is the input: a path, bytes, or a file opened in binary mode, which is streamed.
        `data` is anything that can be written as JSON. `name` is added to `data`, so programs
        written for remotejob can call `submit(task, **data)` unchanged. `cancel_repeats` cancels
        the other jobs of this task that repeat for ever: of those who do so at the same time, the
        last one's job is left. `Submission` documents the rest.

        Raises: InvalidInput, before writing anything.
        Source: job-collection, `job.save`, for `cancel_repeats`.
        """
        check_flag("cancel_repeats", cancel_repeats)
        submission = Submission(
            task=task,
            body=body,
            data=data if name is None else _with_name(data, name),
            filename=filename,
            content_type=content_type,
            retry=retry,
            priority=priority,
            delay=delay,
            after=after,
            depends=depends,
            resource=resource,
            tenant=tenant,
            repeat=repeat,
            expires=expires,
            crashes=crashes,
            idempotency_key=idempotency_key,
            idempotency_window=idempotency_window,
            paused=paused,
        )
        record = submit.submit(
            submission,
            queue=self._description,
            installation=self._installation,
            cancel_repeats=cancel_repeats,
        )
        return Job(record, self._installation)

    def new_job(self, task: str, data: Any = None) -> JobDraft:
        """A draft of a job: set options one by one, then save it."""
        return JobDraft(self.submit, task, {"data": data})

    @command
    def submit_many(self, submissions: Iterable[Submission]) -> list[Job]:
        """Submit many jobs in few requests.

        Raises: InvalidInput, before writing anything; PartlySubmitted.
        """
        records = submit.submit_many(
            check_items("submissions", submissions, remedy="give a list of Submission"),
            queue=self._description,
            installation=self._installation,
        )
        return [Job(record, self._installation) for record in records]

    @command
    def map(
        self,
        task: str,
        source: Source,
        *,
        on_complete: str | Submission | None = None,
        data: Any = None,
        retry: Retry | None = None,
        priority: Priority | int | str = Priority.NORMAL,
        tenant: str | None = None,
        expires: timedelta | datetime | None = None,
        crashes: int | None = None,
        name: str | None = None,
    ) -> Batch:
        """Submit a batch: a job for each object, line or item of a source.

        Returns once all jobs are made. `source` is `"s3://bucket/prefix/"` in the system's input
        bucket; a manifest in JSON lines or CSV, as a path or `"s3://bucket/key.csv"`; or an
        iterable of data or of `Submission`s. Each job gets `data`, merged with its own from the
        source.

        `on_complete` is a task name or a `Submission`. It runs once every job of the batch has
        ended, whether completed, failed or cancelled. Its `data["batch"]` has the batch's id and
        counts.

        Raises: InvalidInput, before writing anything, except for invalid items that an iterator
        yields later; FileNotFoundError, when there is no such manifest; BatchUnfinished, when only
        some of the jobs were made.
        """
        batch_id = make_batch(
            Each(
                task=task,
                data=data,
                retry=retry,
                priority=priority,
                tenant=tenant,
                expires=expires,
                crashes=crashes,
            ),
            source,
            on_complete=on_complete,
            name=name,
            queue=self._description,
            installation=self._installation,
        )
        return Batch(find_batch(batch_id, self._installation), self._installation)

    def jobs(
        self,
        *,
        state: State | str | None = None,
        task: str | None = None,
        limit: int = 100,
        since: datetime | None = None,
    ) -> list[Job]:
        """Up to `limit` jobs, newest first, of one state or task if given.

        `since` is the earliest submit time; default `retention_days` ago, so pass it to find a job
        that has waited longer. A rare state or task reads every record on the way. `task` may be
        one that no worker runs any more.

        Raises: InvalidName, when there is no such state, or no task can have that name;
        InvalidData, when `since` has no time zone, or `limit` is no whole number.
        """
        found = listed(
            self._installation, queue=self.name, state=state, task=task, limit=limit, since=since
        )
        return [Job(record, self._installation) for record in found]

    @command
    def stop(self) -> StoppedQueue:
        """Let nobody take jobs of the queue until `start`; within a minute, no job begins.

        That holds for deployed workers, `process_jobs`, `get_work` and `next("pending")` alike.
        Jobs that have begun go on, and so do submits and schedules: their jobs wait. A queue that
        is stopped stays as it is. Returns: since when it is stopped, and by whom.

        Source: job-collection, `stopJobServer`.
        """
        return queue_switch.stop(self.name, self._installation)

    @command
    def start(self) -> None:
        """Let jobs of a stopped queue be taken again; it goes on by itself within a minute.

        Source: job-collection, `startJobServer`.
        """
        queue_switch.start(self.name, self._installation)

    def stopped(self) -> StoppedQueue | None:
        """Since when the queue is stopped, and by whom; None if it is not."""
        return queue_switch.stop_of(self.name, self._installation)

    @command
    def cancel_repeats(self, task: str) -> list[Job]:
        """Cancel all jobs of a task that repeat for ever, and return them.

        What others make while this runs is cancelled, too, or was submitted after it.

        Raises: InvalidName.
        """
        name = check_task_name(task)
        begin_generation(self.name, name, self._installation)
        ended = cancel_outdated(self.name, name, self._installation) or []
        return [Job(record, self._installation) for record in ended]

    def failed(self, *, task: str | None = None) -> list[Job]:
        """All failed jobs of the queue, however old, or those of one task.

        To restart or delete the failed jobs of one task, give these to `retry_failed` or
        `delete_failed`.

        Raises: InvalidName, when no task can have that name.
        """
        of_task = None if task is None else check_task_name(task)
        found = failed_jobs(self.name, self._installation, task=of_task)
        return [Job(record, self._installation) for record in found]

    @command
    def retry_failed(self, jobs: Iterable[str | Job] | None = None) -> Commanded:
        """Restart the failed jobs of the queue: all, or the given ones.

        Of all, those that somebody else restarts or removes meanwhile are left out. A given job
        that has not failed is refused.

        Source: redis-dist-job-queue, `retryFailedJobs`.
        """
        remote = RemoteJob(self._installation)
        if jobs is None:
            return without_changed(remote.restart_jobs(self.failed()))
        return on_failed("retry_failed", jobs, remote.restart_jobs, self._installation)

    @command
    def delete_failed(self, jobs: Iterable[str | Job] | None = None) -> Commanded:
        """Delete the failed jobs of the queue: all, or the given ones.

        Of all, those that somebody else restarts or removes meanwhile are left out. A given job
        that has not failed is refused.

        Raises: InvalidName.
        Source: redis-dist-job-queue, `deleteFailedJobs`.
        """
        remote = RemoteJob(self._installation)
        if jobs is None:
            return without_changed(remote.remove_jobs(self.failed()))
        return on_failed("delete_failed", jobs, remote.remove_jobs, self._installation)


def _with_name(data: Any, name: str) -> dict[str, Any]:
    if data is not None and not is_a(data, dict):
        raise InvalidData(
            f"name={shown(name)} with data={shown(data)}: a name needs data that is a dict"
        )
    with reading("data"):
        given = dict(data or {})
    if "name" in given:
        raise InvalidData(
            f'name={shown(name)} and data["name"]={shown(given["name"])}: give only one of them'
        )
    return {**given, "name": name}
