"""Drop a file in S3, and a container runs your Python function on it.

A creator connects and submits:

    queue = RemoteJob.connect("default").queue("default")
    job = queue.submit("thumbnail", body="cat.jpg", data={"size": 400})
    job.wait()
    job.outputs["cat.png"].download("cat.png")

A worker runs functions that are registered by name:

    @task("thumbnail")
    def thumbnail(job: RunningJob) -> dict[str, int]: ...
"""

from remotejob.client import Queue, RemoteJob
from remotejob.domain.errors import (
    AccessProblem,
    CommandRefused,
    Fatal,
    InvalidBody,
    InvalidData,
    InvalidInput,
    InvalidName,
    JobCancelled,
    JobFailed,
    JobNotFound,
    JobUnfinished,
    LeaseLost,
    OutputNotFound,
    PartlySubmitted,
    QueueUnavailable,
    RemoteJobError,
    RunInterrupted,
    SettingsError,
    StoreUnavailable,
    SystemNotFound,
    TimedOut,
    UnknownQueue,
    UnknownTask,
    WaitTimeout,
    WorkerStopping,
)
from remotejob.domain.priority import Priority
from remotejob.domain.record import Failure, InputFile, LogLine
from remotejob.domain.retry import Backoff, Retry
from remotejob.domain.states import State
from remotejob.job import Job, Output, Outputs
from remotejob.submitting import Submission
from remotejob.tasks import task
from remotejob.worker.running import RunningJob

__all__ = [
    "AccessProblem",
    "Backoff",
    "CommandRefused",
    "Failure",
    "Fatal",
    "InputFile",
    "InvalidBody",
    "InvalidData",
    "InvalidInput",
    "InvalidName",
    "Job",
    "JobCancelled",
    "JobFailed",
    "JobNotFound",
    "JobUnfinished",
    "LeaseLost",
    "LogLine",
    "Output",
    "OutputNotFound",
    "Outputs",
    "PartlySubmitted",
    "Priority",
    "Queue",
    "QueueUnavailable",
    "RemoteJob",
    "RemoteJobError",
    "Retry",
    "RunInterrupted",
    "RunningJob",
    "SettingsError",
    "State",
    "StoreUnavailable",
    "Submission",
    "SystemNotFound",
    "TimedOut",
    "UnknownQueue",
    "UnknownTask",
    "WaitTimeout",
    "WorkerStopping",
    "task",
]
