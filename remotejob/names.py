"""All names that the infrastructure and the library must agree on.

The stacks write them into environment variables, table definitions and the system description; the
library reads them back. CloudFormation chooses the physical AWS names (of buckets, queues, tables),
which never appear here.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

DISTRIBUTION: Final = "remotejob-aws"
"""What to install. On the package index, the name `remotejob` is another project's."""

SHARDS: Final = 8
"""Partitions per day: DynamoDB allows each 1,000 write units a second, and a job takes three."""

INPUT_PREFIX_SUBMITTED: Final = "jobs/"
"""Where `submit` puts a job's input, under the name of its queue, whose workers alone may read it.
The upload rule excludes all of it, so no second job is made."""

STORED_PREFIX: Final = f"{INPUT_PREFIX_SUBMITTED}stored/"
"""Where `store` puts files: uploads there fire no trigger, and a lifecycle rule deletes them. The
workers of every queue may read them."""

SMOKE_PREFIX: Final = "remotejob-smoke/"
"""Where `remotejob deploy` uploads a file for each queue, below the queue's name: it becomes a job
of `SMOKE_TASK`, whatever the routes are."""

SMOKE_TASK: Final = "remotejob-smoke"
"""A task that every worker runs, to show that files, functions, queues and workers go together."""

RESERVED_OUTPUT_PREFIX: Final = "-/"
"""Where a run keeps a long result or manifest next to its outputs; no output name may start so."""

DEFAULT_TASKS: Final = "tasks"
"""The module whose import registers the tasks: the folder of that name in a team's project."""

LOG_LEVELS: Final = ("debug", "info", "warning", "error", "critical")
"""The log levels of a worker; a job's own log has different ones."""


class Env(StrEnum):
    """Environment variables read by the functions and the worker."""

    SYSTEM = "REMOTEJOB_SYSTEM"
    """The description of the system, as JSON (see `SystemKey`); a worker's has its own queue."""

    QUEUE = "REMOTEJOB_QUEUE"
    """The queue this worker serves."""

    CONCURRENCY = "REMOTEJOB_CONCURRENCY"
    """How many jobs this worker runs at a time, in each of its processes."""

    PROCESSES = "REMOTEJOB_PROCESSES"
    """How many child processes run the jobs; 0 for the worker's own process."""

    CHILD = "REMOTEJOB_CHILD"
    """Set by a supervisor only for its children: the child's number, its channel, and the process
    it replaces."""

    TASKS = "REMOTEJOB_TASKS"
    """The module the worker imports to register its tasks."""

    HOOKS = "REMOTEJOB_HOOKS"
    """A module whose import registers hooks, for the worker and its supervisor."""

    ABILITIES = "REMOTEJOB_ABILITIES"
    """The tasks this worker runs, separated by commas, if not all of its queue's."""

    LOG_LEVEL = "REMOTEJOB_LOG_LEVEL"
    """The lowest level this worker logs; `info` by default."""

    LOG_RUNS = "REMOTEJOB_LOG_RUNS"
    """Whether this worker also logs when a run begins, and what jobs log by `job.log`, `on` or
    `off`; `off` by default."""

    MIN_FREE_DISK = "REMOTEJOB_MIN_FREE_DISK_PERCENT"
    """Percent of its disk that must be free for this worker to take jobs; 0 for no limit."""

    WRITE_ONCE = "REMOTEJOB_WRITE_ONCE_OUTPUTS"
    """Whether this worker writes an output only where there is no file yet, `on` or `off`; `off` by
    default."""

    METRICS = "REMOTEJOB_METRICS"
    """Whether this worker writes metrics into its log, `on` or `off`; `off` by default."""

    SECRETS = "REMOTEJOB_SECRETS"
    """The variables whose values are secrets, separated by commas: a child process without
    credentials does not get them."""

    TRANSPORT = "REMOTEJOB_TRANSPORT"
    """How to call DynamoDB and SQS: `direct`, or `boto3` for boto3's own clients."""

    SCHEDULER = "REMOTEJOB_SCHEDULER"
    """Name of the scheduler's function, which the upload function may wake for a new job."""

    VERSION = "REMOTEJOB_VERSION"
    """The version of this library that a function was deployed with, for `remotejob doctor`."""

    SETTINGS = "REMOTEJOB_SETTINGS"
    """Where the function finds `remotejob.toml`, if not at the root of its code."""


class ClientEnv(StrEnum):
    """Environment variables of the command line and of the programs next to it.

    `REMOTEJOB_NAME`, the name of the system to connect to, is the client's own.
    """

    ON = "REMOTEJOB_ON"
    """Where the system is that a command means, `local` or `aws`; like `remotejob --on`."""

    ACTOR = "REMOTEJOB_ACTOR"
    """Who gives commands, as the log of a job says it; by default the process's user and host."""

    INPUT_BUCKET = "REMOTEJOB_INPUT_BUCKET"
    """Printed by `remotejob env` for other tools, and read by nothing of ours; so is the next."""

    OUTPUT_BUCKET = "REMOTEJOB_OUTPUT_BUCKET"


class SystemKey(StrEnum):
    """Keys of the description of a system: the JSON in SSM and in `Env.SYSTEM`."""

    VERSION = "version"
    NAME = "name"
    TABLE = "table"
    INPUT_BUCKET = "input_bucket"
    OUTPUT_BUCKET = "output_bucket"
    LEASE_SECONDS = "lease_seconds"
    CLOCK_SKEW_SECONDS = "clock_skew_seconds"
    """Absent from descriptions of earlier versions."""
    RETENTION_DAYS = "retention_days"
    READABLE_BUCKETS = "readable_buckets"
    """Absent if there are none."""
    MAX_DEPTH = "max_depth"
    """Absent from descriptions of earlier versions."""
    QUEUES = "queues"
    """Descriptions of queues by name: in a worker's environment, its own. In SSM each has a
    parameter of its own instead, so that no size limits how many there are."""


SYSTEM_VERSION: Final = 1
"""Version of the system description this library writes and reads."""


class QueueKey(StrEnum):
    """Keys of the description of one queue. Most are queue URLs."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"
    DEAD_LETTER = "dead_letter"
    COMPLETED = "completed"
    FAILED = "failed"
    COMPLETED_DEAD_LETTER = "completed_dead_letter"
    """Absent from descriptions of earlier versions, like the next."""
    FAILED_DEAD_LETTER = "failed_dead_letter"
    TASKS = "tasks"
    ORDER = "order"
    """Absent if it is by weight."""
    TENANT_LIMIT = "tenant_limit"
    """Absent if there is none."""
    RETIRED = "retired"
    """True if it takes no new jobs; else absent."""
    SIZE = "size"
    """A worker's CPU units, MiB and jobs at a time, in this order: it must stay short."""


class QueueLimit(StrEnum):
    """Further keys of the description of a queue: its limits, absent where there is none."""

    DAILY_JOBS = "daily_jobs"
    DAILY_DOLLARS = "daily_dollars"
    MAX_PENDING = "max_pending"


def system_parameter(system: str) -> str:
    """Name of the SSM parameter that describes `system`; the only name a client needs."""
    return f"/remotejob/{system}"


def queues_path(system: str) -> str:
    """The path under which SSM has a parameter for each queue of `system`."""
    return f"{system_parameter(system)}/queues"


def queue_parameter(system: str, queue: str) -> str:
    """Name of the SSM parameter that describes one queue of `system`."""
    return f"{queues_path(system)}/{queue}"


class UploadsKey(StrEnum):
    """Keys of the description of a system's uploads: the URLs of their queues."""

    UPLOADS = "uploads"
    DEAD_LETTER = "uploads_dead_letter"
    UNDELIVERED = "uploads_undelivered"


def uploads_parameter(system: str) -> str:
    """Name of the SSM parameter that says where the uploads of `system` are."""
    return f"{system_parameter(system)}/uploads"


UPLOAD_RECEIVES: Final = 10
"""How often the upload function gets a message that it fails on: for half an hour, which is longer
than a short outage of AWS, and short enough to notice."""


def workers_parameter(system: str, queue: str) -> str:
    """Name of the SSM parameter that describes a queue's deployed workers (see `WorkersKey`)."""
    return f"{system_parameter(system)}/workers/{queue}"


class WorkersKey(StrEnum):
    """Keys of the description of a queue's workers: where they are, and how many there may be."""

    VERSION = "version"
    CLUSTER = "cluster"
    SERVICE = "service"
    MIN = "min"
    MAX = "max"
    JOBS = "jobs"
    """Jobs that one worker runs at a time."""
    IDLE_MINUTES = "idle_minutes"
    CAPACITY = "capacity"
    """Capacity providers, each with its weight and base."""


WORKERS_VERSION: Final = 1
"""Version of the description of workers this library writes and reads."""

STAGE_CONTEXT: Final = "remotejob:stage"
"""The CDK's context key of the stage; it counts more than the settings."""


class Part(StrEnum):
    """The stacks of a system, in the order of their deployment."""

    STORAGE = "storage"
    FUNCTIONS = "functions"
    WORKERS = "workers"


def stack_name(system: str, part: Part) -> str:
    """Name of a stack of `system`, unless its app puts it in a CDK stage.

    The prefix keeps a deployment from updating a stack of somebody else's that has a plain name.
    """
    return f"remotejob-{system}-{part}"


class Tag(StrEnum):
    """Tags of SQS queues. Policies tell queues apart by them, so no policy grows with the number of
    queues, and none names a queue of another stack."""

    SYSTEM = "remotejob"
    """The name of the system; the stacks give it to all that they make."""
    QUEUE = "remotejob:queue"
    """The name of the queue whose messages it holds."""
    USE = "remotejob:use"
    """A `Use`."""


class Use(StrEnum):
    """What an SQS queue is for: the values of `Tag.USE`."""

    LANE = "lane"
    STATUS = "status"
    DEAD_LETTER = "dead-letter"
    """What no worker could read, or what came back too often."""
    UNREAD_STATUS = "unread-status"
    """Status messages whose reader failed too often."""
    UPLOADS = "uploads"
    UNREAD_UPLOADS = "unread-uploads"
    """Events of uploads that no job was made of."""


class Partition(StrEnum):
    """How the partition keys of the job table begin, for each kind of item.

    IAM tells items apart by these beginnings alone (`dynamodb:LeadingKeys`), so none may be the
    beginning of another. A role can write no kind that its policy does not name.
    """

    RECORD = "2"
    """A day and a shard, such as `20261122#5`: records and tombstones."""
    JOB = "0"
    """A job's id: the notes of the job, and the edges to its dependents, until the year 3084."""
    RESOURCE = "resource#"
    """The lock of a resource, and who waits for it."""
    TENANT = "tenant#"
    """The locks of a queue's tenant, and who waits for them; the queue follows."""
    KEY = "key#"
    """An idempotency key; the queue follows."""
    REPEATS = "repeats#"
    """The head of a task's repeats; the queue follows."""
    BATCH = "batch#"
    WORKERS = "workers#"
    """Signs of life; the queue follows, and ends the key."""
    SPENT = "spent#"
    """What a queue with a daily budget has spent, by day; the queue follows, and ends the key."""
    RATE = "rate#"
    """The rates of a queue's routes; the queue follows, and ends the key."""
    SWEEP = "#sweep"
    """How far the sweep has come."""
    SCALING = "scaling#"
    """What was last decided about a queue's workers; the queue follows, and ends the key."""
    SWITCH = "switch#"
    """Whether a queue is stopped; the queue follows, and ends the key."""

    @property
    def patterns(self) -> tuple[str, ...]:
        """Its keys, as the StringLike of a policy compares them."""
        if self is Partition.RECORD:
            # of any year: if an odd id was refused, instead of answered that there is no such job,
            # whoever follows an edge to it would try for ever
            return tuple(f"{digit}*" for digit in range(1, 10))
        return (f"{self}*",)


class Field(StrEnum):
    """Attributes of the job table.

    The names are short because a write pays for the whole item, names included. They have a prefix
    because DynamoDB reserves words such as `state` and `result`.
    """

    PK = "pk"
    """Partition key, `day#shard`, derived from the id."""
    SK = "sk"
    """Sort key: the job's id, so that a partition reads newest first."""
    STATE = "j_state"
    TASK = "j_task"
    QUEUE = "j_queue"
    PRIORITY = "j_prio"
    CREATED = "j_created"
    UPDATED = "j_updated"
    DUE = "j_due"
    BLOCKED = "j_blocked"
    PARKED = "j_parked"
    """The lock a waiting job waits for."""
    RESOURCE = "j_resource"
    TENANT = "j_tenant"
    TENANT_LIMIT = "j_tenant_n"
    DEPENDS = "j_depends"
    """Jobs it was submitted to run after, as JSON."""
    DEPENDENTS = "j_deps"
    """Present if the record has edges to dependents."""
    LINKING = "j_linking"
    """On a job whose edges are not all stored yet: the token of those edges."""
    DELAY_DEPENDENTS = "j_deps_ms"
    REPEAT = "j_repeat"
    GENERATION = "j_gen"
    """On a job that repeats for ever: the generation it was made in."""
    HEAD = "j_head"
    """On the head of the repeats of a task: their current generation."""
    NEXT = "j_next"
    """The successor of a repeating job that ended."""
    ORIGIN = "j_origin"
    """The job this one repeats, reruns or replays."""
    PREVIOUS = "j_prev"
    """On a successor: how the job that it repeats ended."""
    DEPTH = "j_depth"
    """How many jobs led to this one; absent from a job that no job made."""
    BATCH = "j_batch"
    CALLS = "j_calls"
    RUN = "j_run"
    """The fencing token of the current or last claim; it stays in a terminal record."""
    LEASE = "j_lease"
    WORKER = "j_worker"
    STARTED = "j_started"
    FINISHED = "j_finished"
    ATTEMPT = "j_attempt"
    FAILURES = "j_failures"
    CRASHES = "j_crashes"
    CRASHED_RUNS = "j_crashed"
    LOST_LEASES = "j_lost_n"
    LOST_RUN = "j_lost"
    RELEASES = "j_releases"
    GIVEN_UP = "j_given_up"
    """How many of its messages were given up, and went to the dead-letter queue."""
    START_BY = "j_start_by"
    """Until when a run may begin; see `domain.start_limits`."""
    START_IN = "j_start_in"
    """The same as a span from the due time, if it was given so: for jobs like this one."""
    CRASH_LIMIT = "j_crash_max"
    """How many deaths of its worker the job may survive, if it says so, or its task."""
    NO_SPACE = "j_no_space"
    """1 on a job that was given back because the worker's disk was full."""
    RETRY = "j_retry"
    DATA = "j_data"
    DATA_REF = "j_data_ref"
    INPUT = "j_input"
    PROGRESS = "j_progress"
    LOG = "j_log"
    LOG_COUNT = "j_log_n"
    HISTORY = "j_hist"
    """What was done to it, as a set of lines; absent from an ordinary job."""
    ERRORS = "j_errors"
    RESULT = "j_result"
    RESULT_REF = "j_result_ref"
    OUTPUTS = "j_outputs"
    OUTPUTS_REF = "j_outputs_ref"
    CHECKPOINT = "j_check"
    CHECKPOINT_REF = "j_check_ref"
    """Where a checkpoint too long for the record is; on a completed job, that there was one."""
    OWED = "j_owed"
    SWEPT = "j_swept"
    EXPIRES = "j_expires"
    """TTL, seconds since the epoch; absent until nothing is owed."""
    REMOVED = "j_removed"
    """When a job was removed, on the marker that it leaves behind."""
    JOB = "j_job"
    """The job that an item next to the records is about."""
    TOKEN = "j_token"
    """Tells an item from a later one with the same key."""
    PAYLOAD = "j_payload"
    """On an idempotency key: hashes of what was submitted under it."""
    SPENT = "j_spent"
    """On an edge whose antecedent's end was handled."""
    QUIET = "j_quiet"
    """On an edge whose release is no line in the dependent's log."""
    TOTAL = "j_total"
    """How many children of a batch were made."""
    SEALED = "j_sealed"
    """On a batch once all its children were made."""
    STOPPED = "j_stopped"
    """On a batch that was cancelled before that."""
    COMPLETED = "j_n_completed"
    FAILED = "j_n_failed"
    CANCELLED = "j_n_cancelled"
    """On a counter of a batch: how many children ended like this."""
    CONTENT = "j_note"
    PLACE = "j_place"
    """On the rate of a route: the last place in time that an upload took."""
    RUNS = "j_n_runs"
    """On what a queue spent on a day: the runs that began."""
    MICRODOLLARS = "j_n_udollars"
    """On what a queue spent on a day: what its workers cost, in millionths of a dollar."""
    ATTENTION = "a_kind"
    """Partition key of the attention index, `kind#shard`; absent from most records."""
    ATTENTION_AT = "a_at"


MAX_DEPTH: Final = 10
"""The default of how many jobs in a row may each be made by the one before."""


METRICS_NAMESPACE: Final = "remotejob"
"""Of all metrics, those of the workers and the scheduler's."""

UNREADABLE_METRIC: Final = "UnreadableItems"
"""How often an item of the table was left out because it could not be read."""

SYSTEM_DIMENSION: Final = "System"

MIN_FREE_DISK_PERCENT: Final = 10
"""The default of `Env.MIN_FREE_DISK`."""

ATTENTION_INDEX: Final = "attention"
"""Sparse, KEYS_ONLY: the records that need attention, and when."""

PAUSED_METRIC: Final = "Paused"
"""1 in each minute in which a queue is paused because its daily budget is spent."""

FAILED_STARTS_METRIC: Final = "FailedStarts"
"""Workers that lately failed to start, in each minute in which no more are started for that."""

CRASHES_METRIC: Final = "WorkerCrashes"
"""Workers that lately ran and failed, in each minute in which there are any."""

WORKERS_METRIC: Final = "Workers"
"""Workers that a queue should have, in each minute in which it should have any."""

LOG_NOTES: Final = "log#"
"""Prefix of the notes that hold log lines no longer in the record."""

FAILURE_NOTES: Final = "failure#"
"""Prefix of the notes that hold the tracebacks of failed runs, in order."""


def installed_version() -> str:
    """The version of this library, as pyproject.toml has it; "unknown" if it was not installed."""
    # imported here: it takes longer than all else here, and few processes ask
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        # the source was copied into an image
        return "unknown"


FREE_STORAGE_GIB: Final = 20
"""Ephemeral storage of a worker that is free, and all it has unless more is asked for.

Source: Amazon ECS Developer Guide, "Fargate task ephemeral storage for Amazon ECS".
"""
