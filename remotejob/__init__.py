"""Drop a file in S3, and a container runs your Python function on it.

A creator connects and submits:

    queue = RemoteJob.connect("default").queue("default")
    job = queue.submit("thumbnail", body="cat.jpg", data={"size": 400})
    job.wait()
    job.outputs["cat.png"].download("cat.png")

A worker runs functions registered by name:

    @task("thumbnail")
    def thumbnail(job: RunningJob) -> dict[str, int]: ...
"""

from typing import TYPE_CHECKING, Any

from remotejob.other_distribution import refuse_other_distribution

refuse_other_distribution()

if TYPE_CHECKING:
    from remotejob.client.batch import Batch, BatchCounts
    from remotejob.client.draft import JobDraft
    from remotejob.client.job import Job
    from remotejob.client.many import Commanded
    from remotejob.client.notices import Notice
    from remotejob.client.remote_job import Queue, RemoteJob
    from remotejob.client.replay_here import OnError, Replayed
    from remotejob.domain.batches import BatchState
    from remotejob.domain.errors import (
        AccessProblem,
        BatchNotFound,
        BatchUnfinished,
        ChainTooLong,
        CommandRefused,
        DependencyEnded,
        Fatal,
        FileGone,
        FileUnreadable,
        InvalidBody,
        InvalidData,
        InvalidInput,
        InvalidName,
        JobCancelled,
        JobFailed,
        JobNotFound,
        JobUnfinished,
        KeyReused,
        LeaseLost,
        NoInput,
        OutputNotFound,
        PartlySubmitted,
        ProcessDied,
        QueueFull,
        QueueRetired,
        QueueUnavailable,
        RemoteJobError,
        RunInterrupted,
        SettingsError,
        StillRunning,
        StoreUnavailable,
        SystemNotFound,
        TimedOut,
        UnknownQueue,
        UnknownTask,
        UnreadableItem,
        WaitTimeout,
        WorkerStopping,
    )
    from remotejob.domain.job_log import LogLine
    from remotejob.domain.priority import Order, Priority
    from remotejob.domain.queue_switch import StoppedQueue
    from remotejob.domain.record import Failure, InputFile
    from remotejob.domain.repeat import FOREVER, FOREVER_DATE, PreviousRun, Repeat
    from remotejob.domain.retry import Backoff, Retry
    from remotejob.domain.states import State
    from remotejob.domain.urgency import Urgency
    from remotejob.jobs.commands.redrive import Redriven
    from remotejob.jobs.content.outputs import Output, Outputs
    from remotejob.jobs.messaging.letters import Letter, LetterKind
    from remotejob.jobs.queries.dead_letters import DeadLetters
    from remotejob.jobs.queries.receipts import Receipt
    from remotejob.jobs.queries.why import Reason, Why
    from remotejob.jobs.queries.workers import WorkerStatus
    from remotejob.jobs.submission.stored_files import StoredFile
    from remotejob.jobs.submission.submission import Submission
    from remotejob.manual.processor import Processor
    from remotejob.manual.taken_job import TakenJob
    from remotejob.tasks.antecedent import Antecedent
    from remotejob.tasks.async_antecedent import AsyncAntecedent, AsyncOutput
    from remotejob.tasks.async_running_job import AsyncRunningJob
    from remotejob.tasks.async_stream import AsyncStream
    from remotejob.tasks.completion import Completion
    from remotejob.tasks.compose import StepFailed, StepFailedForGood, compose, progress
    from remotejob.tasks.registry import task
    from remotejob.tasks.running_job import RunningJob
    from remotejob.tasks.runs_in import Async, Credentials, Process, Threads

__all__ = [
    "FOREVER",
    "FOREVER_DATE",
    "AccessProblem",
    "Antecedent",
    "Async",
    "AsyncAntecedent",
    "AsyncOutput",
    "AsyncRunningJob",
    "AsyncStream",
    "Backoff",
    "Batch",
    "BatchCounts",
    "BatchNotFound",
    "BatchState",
    "BatchUnfinished",
    "ChainTooLong",
    "CommandRefused",
    "Commanded",
    "Completion",
    "Credentials",
    "DeadLetters",
    "DependencyEnded",
    "Failure",
    "Fatal",
    "FileGone",
    "FileUnreadable",
    "InputFile",
    "InvalidBody",
    "InvalidData",
    "InvalidInput",
    "InvalidName",
    "Job",
    "JobCancelled",
    "JobDraft",
    "JobFailed",
    "JobNotFound",
    "JobUnfinished",
    "KeyReused",
    "LeaseLost",
    "Letter",
    "LetterKind",
    "LogLine",
    "NoInput",
    "Notice",
    "OnError",
    "Order",
    "Output",
    "OutputNotFound",
    "Outputs",
    "PartlySubmitted",
    "PreviousRun",
    "Priority",
    "Process",
    "ProcessDied",
    "Processor",
    "Queue",
    "QueueFull",
    "QueueRetired",
    "QueueUnavailable",
    "Reason",
    "Receipt",
    "Redriven",
    "RemoteJob",
    "RemoteJobError",
    "Repeat",
    "Replayed",
    "Retry",
    "RunInterrupted",
    "RunningJob",
    "SettingsError",
    "State",
    "StepFailed",
    "StepFailedForGood",
    "StillRunning",
    "StoppedQueue",
    "StoreUnavailable",
    "StoredFile",
    "Submission",
    "SystemNotFound",
    "TakenJob",
    "Threads",
    "TimedOut",
    "UnknownQueue",
    "UnknownTask",
    "UnreadableItem",
    "Urgency",
    "WaitTimeout",
    "Why",
    "WorkerStatus",
    "WorkerStopping",
    "compose",
    "progress",
    "task",
]

_HOMES = {
    "client.batch": "Batch BatchCounts",
    "client.remote_job": "Queue RemoteJob",
    "tasks.compose": "StepFailed StepFailedForGood compose progress",
    "domain.batches": "BatchState",
    "domain.priority": "Order Priority",
    "domain.job_log": "LogLine",
    "domain.record": "Failure InputFile",
    "domain.queue_switch": "StoppedQueue",
    "domain.repeat": "FOREVER FOREVER_DATE PreviousRun Repeat",
    "domain.retry": "Backoff Retry",
    "domain.states": "State",
    "domain.urgency": "Urgency",
    "client.draft": "JobDraft",
    "manual.processor": "Processor",
    "manual.taken_job": "TakenJob",
    "client.notices": "Notice",
    "client.job": "Job",
    "client.many": "Commanded",
    "jobs.content.outputs": "Output Outputs",
    "jobs.commands.redrive": "Redriven",
    "jobs.messaging.letters": "Letter LetterKind",
    "jobs.queries.dead_letters": "DeadLetters",
    "jobs.queries.receipts": "Receipt",
    "client.replay_here": "OnError Replayed",
    "jobs.submission.stored_files": "StoredFile",
    "jobs.submission.submission": "Submission",
    "tasks.registry": "task",
    "jobs.queries.why": "Reason Why",
    "tasks.completion": "Completion",
    "tasks.antecedent": "Antecedent",
    "tasks.async_antecedent": "AsyncAntecedent AsyncOutput",
    "tasks.async_running_job": "AsyncRunningJob",
    "tasks.async_stream": "AsyncStream",
    "tasks.runs_in": "Async Credentials Process Threads",
    "jobs.queries.workers": "WorkerStatus",
    "tasks.running_job": "RunningJob",
    "domain.errors": (
        "AccessProblem BatchNotFound BatchUnfinished ChainTooLong CommandRefused DependencyEnded "
        "Fatal FileGone FileUnreadable InvalidBody InvalidData InvalidInput InvalidName "
        "JobCancelled JobFailed JobNotFound JobUnfinished KeyReused LeaseLost NoInput "
        "OutputNotFound PartlySubmitted ProcessDied QueueFull QueueRetired QueueUnavailable "
        "RemoteJobError RunInterrupted SettingsError StillRunning StoreUnavailable "
        "SystemNotFound TimedOut UnknownQueue UnknownTask UnreadableItem WaitTimeout "
        "WorkerStopping"
    ),
}
"""The names each module defines. They load at first use: a worker does not need half of them."""

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Source: Python Language Reference, "Customizing module attribute access"."""
        from importlib import import_module

        for module, names in _HOMES.items():
            if name in names.split():
                value = globals()[name] = getattr(import_module(f"{__name__}.{module}"), name)
                return value
        if name == "hooks":
            return import_module(f"{__name__}.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
