"""Every error that this library raises on purpose.

    RemoteJobError
    ├── InvalidInput            refused before any AWS call
    │   ├── InvalidName         a queue, task, file or output name
    │   ├── InvalidBody         a missing, empty or oversized file
    │   │   └── NoInput         a task asked for the input of a job that has none; also a Fatal
    │   ├── InvalidData         data, result or options that cannot be stored
    │   ├── ChainTooLong        a job in a long chain of jobs would make another; also a Fatal
    │   ├── KeyReused           an idempotency key has a job of another payload; names both
    │   ├── DependencyEnded     a job to depend on failed, was cancelled, or does not exist
    │   ├── UnknownQueue
    │   └── UnknownTask
    ├── SettingsError           in remotejob.toml, or the environment of a worker or function
    ├── SystemNotFound          nothing deployed under that name
    ├── AccessProblem           credentials missing, or not allowed
    ├── JobNotFound
    ├── BatchNotFound
    ├── BatchUnfinished         only some children of a batch were made; says why
    ├── CommandRefused          the job's state does not allow the command
    ├── StillRunning            the job has ended, but a cancelled run is still winding down
    ├── JobFailed               asked for the result of a job that failed or was cancelled
    ├── JobUnfinished           asked for the result of a job that has not ended
    ├── WaitTimeout             the job did not finish in the time given
    ├── OutputNotFound
    ├── FileGone                a job's input or data was deleted; also a FileNotFoundError, a Fatal
    ├── FileUnreadable          archived, encrypted, or in a bucket not read here; also a Fatal
    ├── QueueFull               as many jobs wait in a lane as max_pending allows
    ├── QueueRetired            the queue takes no new jobs
    ├── QueueUnavailable        messages could not be sent; says which
    ├── StoreUnavailable        the table did not answer; try again later
    ├── UnreadableItem          an item of the table cannot be read; says which, and why; a Fatal
    ├── ProcessDied             the child process in which a task ran has ended; says how
    ├── PartlySubmitted         some jobs were stored, others were not; says which
    └── RunInterrupted          raised inside a task, at its next call to the library
        ├── LeaseLost           another run may own the job now
        ├── JobCancelled
        ├── TimedOut            the run took longer than the task's `timeout`
        └── WorkerStopping      the worker gives the job back

Raised by a task to say how it ended: `Fatal` (do not try again).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from remotejob.domain.text import cut, shown

_LISTED: Final = 300
"""Characters of the names that a message lists."""


class RemoteJobError(Exception):
    """Base of all errors raised by remotejob."""


class InvalidInput(RemoteJobError, ValueError):
    """A value was refused before anything was written."""


class InvalidName(InvalidInput):
    """A name contains something a name must not."""


class InvalidBody(InvalidInput):
    """The input of a job cannot be used."""


class InvalidData(InvalidInput):
    """Data cannot be stored as JSON, or is too large."""


class KeyReused(InvalidInput):
    """An idempotency key was used for a job of another payload, within its window."""

    def __init__(self, key: str, *, job_id: str, differs: Sequence[str]) -> None:
        self.job_id = job_id
        self.differs = tuple(differs)
        super().__init__(
            f"idempotency_key={shown(key)} has job {job_id} already, submitted with another "
            f"{' and another '.join(differs)}; give another key for another job, or submit what "
            "was submitted before to get that job"
        )


class DependencyEnded(InvalidInput):
    """A job to depend on will never complete."""

    def __init__(self, job_id: str, *, state: str | None) -> None:
        if state is None:
            why = "no such job; it may have been removed, so check the id"
        else:
            why = f"it is {state}; restart it first, or depend on another"
        super().__init__(f"cannot depend on job {job_id}: {why}")


class UnknownQueue(InvalidInput):
    """The system has no queue with that name."""

    def __init__(self, queue: object, *, known: Collection[str]) -> None:
        super().__init__(
            f"unknown queue {shown(queue)}: this system has {_listed(known)}; "
            "add it under [queues] in remotejob.toml and deploy"
        )


class UnknownTask(InvalidInput):
    """The queue has no task with that name."""

    def __init__(self, task: object, *, known: Collection[str], queue: str) -> None:
        super().__init__(
            f"unknown task {shown(task)}: queue {queue!r} runs {_listed(known)}; "
            f"add it to `tasks` under [queues.{queue}] in remotejob.toml and deploy"
        )


class SettingsError(RemoteJobError):
    """The settings are invalid or missing."""


class SystemNotFound(RemoteJobError):
    """No system with that name is deployed in this account and region."""


class AccessProblem(RemoteJobError):
    """AWS could not be reached with these credentials, or denied the request."""


class JobNotFound(RemoteJobError):
    """No job has that id."""

    def __init__(self, job_id: str) -> None:
        super().__init__(
            f"no job {shown(job_id)}: it may have been removed, or belong to another system"
        )


class BatchNotFound(RemoteJobError):
    """No batch has that id."""

    def __init__(self, batch_id: str) -> None:
        super().__init__(
            f"no batch {shown(batch_id)}: it may have expired, or belong to another system"
        )


class BatchUnfinished(RemoteJobError):
    """Not all children of a batch were made."""

    def __init__(self, batch_id: str, *, made: int, why: str) -> None:
        super().__init__(
            f"batch {batch_id} is incomplete: only {made} children were made, and will run: {why}; "
            f"cancel it with remote.batch({batch_id!r}).cancel(), and map again"
        )
        self.batch_id = batch_id
        self.made = made


class CommandRefused(RemoteJobError):
    """The job's state does not allow the command."""

    def __init__(self, command: str, *, job_id: str, state: str, allowed: Collection[str]) -> None:
        super().__init__(
            f"cannot {command} job {job_id}: it is {state}; "
            f"{command} is allowed when it is {_any_of(allowed)}"
        )


class StillRunning(RemoteJobError):
    """The consequences of the job's end are not carried out yet."""

    def __init__(self, job_id: str) -> None:
        super().__init__(
            f"job {job_id} has ended, but its consequences are still being carried out, or a "
            "cancelled run is still winding down; try again in a minute"
        )


class JobFailed(RemoteJobError):
    """The job ended without a result."""


class JobUnfinished(RemoteJobError):
    """The job has not ended."""


class WaitTimeout(RemoteJobError, TimeoutError):
    """The job did not finish in the time given."""


class OutputNotFound(RemoteJobError, KeyError):
    """The job has no output with that name."""

    def __str__(self) -> str:
        return str(self.args[0])


class QueueFull(RemoteJobError):
    """As many jobs wait in a lane as the queue's ceiling allows; nothing was stored."""

    def __init__(self, queue: str, *, lane: str, waiting: int, more: int, max_pending: int) -> None:
        super().__init__(
            f"queue {queue!r} is full: about {waiting:,} messages wait in lane {lane}, {more:,} "
            f"more are too many, and {max_pending:,} is the most. Submit later or fewer, or raise "
            f"max_pending under [queues.{queue}] in remotejob.toml and deploy"
        )


class QueueRetired(RemoteJobError):
    """The queue takes no new jobs; nothing was stored."""

    def __init__(self, queue: str) -> None:
        super().__init__(
            f"queue {queue!r} is retired, and takes no new jobs; submit to another queue, or take "
            f"retired out of [queues.{queue}] in remotejob.toml and deploy"
        )


class QueueUnavailable(RemoteJobError):
    """The queue did not accept some messages, despite retries."""

    def __init__(self, message: str, *, refused: Collection[int] | None = None) -> None:
        super().__init__(message)
        self.refused = None if refused is None else frozenset(refused)
        """Which messages it refused, counted from 0; None if unknown."""


class StoreUnavailable(RemoteJobError):
    """The table did not answer, despite retries."""


class ProcessDied(RemoteJobError):
    """The child process that ran a task ended before the task did."""

    memory_ran_out = False
    """Whether the kernel killed it because memory ran out, which another job may have taken."""


class PartlySubmitted(RemoteJobError):
    """Some jobs were stored and sent, others were not."""

    def __init__(self, message: str, *, stored: Sequence[str], refused: Sequence[Any]) -> None:
        super().__init__(message)
        self.stored = tuple(stored)
        """Ids of the jobs that will run."""
        self.refused = tuple(refused)
        """The submissions that were not stored: submit these again."""


class RunInterrupted(RemoteJobError):
    """This run of the job must stop."""


class LeaseLost(RunInterrupted):
    """The lease ended before it was extended, so another run may own the job now."""


class JobCancelled(RunInterrupted):
    """The job was cancelled while it ran."""


class TimedOut(RunInterrupted):
    """The run took longer than its task allows."""


class WorkerStopping(RunInterrupted):
    """The worker is shutting down and gave the job back; another worker will run it again."""


class Fatal(Exception):
    """Raise it in a task to fail the job for good, whatever its retry policy says.

    Source: job-collection, `job.fail(error, {fatal: true})`.
    """


class FileGone(RemoteJobError, FileNotFoundError, Fatal):
    """A file that the job needs was deleted, so no attempt will find it."""


class FileUnreadable(RemoteJobError, Fatal):
    """S3 does not hand out the file as it is: archived, or encrypted with another's key.

    Or it is in a bucket that this system does not read.

    Source: Amazon S3 API Reference, "GetObject", InvalidObjectState; S3 User Guide, "Working with
    archived objects", "Using server-side encryption with customer-provided keys".
    """


class ChainTooLong(InvalidInput, Fatal):
    """A job would make another job, and too many in a row have done so already."""

    def __init__(self, max_depth: int) -> None:
        super().__init__(
            f"this job is the last of {max_depth} in a row that jobs made: it may submit none, nor "
            "write a file that would become one. If a task feeds itself, let it write elsewhere, "
            "such as to its outputs; if the chain is meant to be longer, raise max_depth under "
            "[system] in remotejob.toml and deploy"
        )


class UnreadableItem(RemoteJobError, Fatal):
    """An item of the job table is not what this version writes there.

    A newer version may have written it, or something other than this library. Reading one job
    raises it; listings leave the item out and say so.
    """

    def __init__(
        self, partition: object, name: object, problem: str, *, newer: bool = False
    ) -> None:
        # the problem comes first, because a record keeps only the beginning of a long message
        super().__init__(
            f"{cut(problem, _LISTED)}: item {shown(name)} of partition {shown(partition)} in the "
            "job table cannot be read; update this program if a newer version wrote the item, or "
            "delete the item (`remotejob doctor` lists such items)"
        )
        self.partition = shown(partition) if not isinstance(partition, str) else partition
        self.name = shown(name) if not isinstance(name, str) else name
        self.problem = cut(problem, _LISTED)
        self.newer = newer
        """Whether a newer version probably wrote it, because it has a state unknown here."""


class NoInput(InvalidBody, Fatal):
    """A task asked for the input of a job that was submitted without one."""

    def __init__(self, job_id: str, *, task: str) -> None:
        # written for both readers: the submitter of the job and the author of the task
        super().__init__(
            f"job {job_id} has no input; submit it with a file: "
            f"queue.submit({task!r}, body=...), or let the task look at job.input first"
        )


def _listed(names: Collection[str]) -> str:
    return cut(", ".join(sorted(names)), _LISTED) if names else "none"


def _any_of(names: Collection[str]) -> str:
    if not names:
        return "none"
    *others, last = sorted(names)
    return f"{', '.join(others)} or {last}" if others else last
