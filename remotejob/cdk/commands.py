"""The permission table: the AWS calls of each command, and the groups that may give it.

The groups are job-collection's. A group may make the calls of its commands and no others. The
policies (`remotejob.cdk.groups`), docs/permissions.md and the tests, which try every command with
the credentials of every group, all read this table.

Cancelling a job and completing it are both UpdateItem: `remotejob.cdk.grants` says what tells them
apart.

Source: job-collection, README, `jc.allow`, and meteor-job, `ddpMethodPermissions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from remotejob.cdk.grants import Grant, Thing, any_of
from remotejob.names import Field, Partition


class Group(StrEnum):
    """The permission groups. Source: job-collection, its permission groups."""

    ADMIN = "admin"
    MANAGER = "manager"
    CREATOR = "creator"
    WORKER = "worker"


_KEYS: Final = frozenset({Field.PK, Field.SK})
_MARK: Final = frozenset({Field.ATTENTION, Field.ATTENTION_AT})
_COUNTS: Final = frozenset({Field.COMPLETED, Field.FAILED, Field.CANCELLED})
_OTHER_ITEMS: Final = _KEYS | {Field.JOB, Field.TOKEN, Field.EXPIRES}
"""Attributes of items that are not records: edges, idempotency keys, waiters and others."""
FRESH: Final = (
    _KEYS
    | _MARK
    | {
        Field.STATE,
        Field.TASK,
        Field.QUEUE,
        Field.PRIORITY,
        Field.CREATED,
        Field.UPDATED,
        Field.DUE,
        Field.BLOCKED,
        Field.RESOURCE,
        Field.TENANT,
        Field.TENANT_LIMIT,
        Field.DEPTH,
        Field.RETRY,
        Field.START_BY,
        Field.START_IN,
        Field.CRASH_LIMIT,
        Field.DATA,
        Field.INPUT,
    }
)
"""Attributes of a record that no run has changed."""
SIGN: Final = _KEYS | {Field.CONTENT, Field.EXPIRES}
"""Attributes of a worker's sign of life."""


def _dynamodb(
    *calls: str,
    only: frozenset[Field] | None = None,
    some: frozenset[Field] | None = None,
    in_transaction: bool = False,
    on: tuple[Partition, ...] = (),
) -> Grant:
    return Grant(
        calls=tuple(f"dynamodb:{call}" for call in calls),
        on=(Thing.TABLE,),
        only=only,
        some=some,
        in_transaction=in_transaction,
        keys=any_of(*on) if on else None,
    )


def _s3(call: str, thing: Thing) -> Grant:
    return Grant(calls=(f"s3:{call}",), on=(thing,))


def _sqs(calls: tuple[str, ...], *on: Thing) -> Grant:
    return Grant(calls=tuple(f"sqs:{call}" for call in calls), on=on)


FIND: Final = (
    Grant(calls=("ssm:GetParameter",), on=(Thing.PARAMETER,)),
    Grant(calls=("ssm:GetParametersByPath",), on=(Thing.QUEUE_PARAMETERS,)),
)
READ: Final = _dynamodb("GetItem", "BatchGetItem", "Query")
READ_MARKS: Final = Grant(calls=("dynamodb:Query",), on=(Thing.ATTENTION,))
MEASURE: Final = _sqs(("GetQueueAttributes",), Thing.LANES)
SEND: Final = _sqs(("SendMessage",), Thing.LANES)
TELL: Final = _sqs(("SendMessage",), Thing.STATUS)
SET_ASIDE: Final = _sqs(("SendMessage",), Thing.DEAD_LETTER)
TAKE: Final = _sqs(("ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility"), Thing.LANES)
HEAR: Final = _sqs(("ReceiveMessage", "DeleteMessage"), Thing.STATUS)

LOOK_AT_LETTERS: Final = (
    Grant(calls=("ssm:GetParameter",), on=(Thing.UPLOADS_PARAMETER,)),
    _sqs(
        ("GetQueueAttributes", "ReceiveMessage", "ChangeMessageVisibility"),
        *(Thing.DEAD_LETTER, Thing.UNREAD_STATUS, Thing.UNREAD_UPLOADS),
    ),
)
DELETE_LETTERS: Final = _sqs(
    ("DeleteMessage",), Thing.DEAD_LETTER, Thing.UNREAD_STATUS, Thing.UNREAD_UPLOADS
)
SEND_UPLOADS: Final = _sqs(("SendMessage",), Thing.UPLOADS)

# Without ListBucket, S3 answers "denied" for a file that does not exist.
READ_INPUT: Final = (
    Grant(calls=("s3:GetObject", "s3:GetObjectVersion"), on=(Thing.INPUT_FILES,)),
    _s3("ListBucket", Thing.INPUT),
)
READ_OUTPUT: Final = (_s3("GetObject", Thing.OUTPUT_FILES), _s3("ListBucket", Thing.OUTPUT))
PUT_INPUT: Final = Grant(calls=("s3:PutObject", "s3:AbortMultipartUpload"), on=(Thing.INPUT_FILES,))
PUT_OUTPUT: Final = Grant(
    calls=("s3:PutObject", "s3:AbortMultipartUpload"), on=(Thing.OUTPUT_FILES,)
)
DELETE_INPUT: Final = _s3("DeleteObject", Thing.INPUT_FILES)
DELETE_SUBMITTED: Final = _s3("DeleteObject", Thing.SUBMITTED_FILES)
DELETE_OUTPUT: Final = _s3("DeleteObject", Thing.OUTPUT_FILES)

CHECK: Final = _dynamodb("ConditionCheckItem")
UNLOCK: Final = _dynamodb("DeleteItem", on=(Partition.RESOURCE, Partition.TENANT))
"""Locks and waiters. Nobody deletes a record: a tombstone takes its place."""
DELETE_NOTE: Final = _dynamodb("DeleteItem", on=(Partition.JOB,))
"""The notes of a removed job."""

CREATE: Final = _dynamodb(
    "PutItem",
    only=FRESH
    | _OTHER_ITEMS
    | {
        Field.DEPENDS,
        Field.LINKING,
        Field.REPEAT,
        Field.GENERATION,
        Field.ORIGIN,
        Field.BATCH,
        Field.DATA_REF,
        Field.PAYLOAD,
        Field.HISTORY,
        Field.QUIET,
    },
    on=(Partition.RECORD, Partition.JOB, Partition.KEY),
)
"""New records with their edges and keys, but no run's attributes, tombstones or notes."""

CREATE_BATCH: Final = _dynamodb(
    "PutItem",
    only=FRESH | _OTHER_ITEMS | _COUNTS | {Field.CONTENT},
    on=(Partition.RECORD, Partition.BATCH),
)
"""A batch, with the record of the job that follows it."""

LINK: Final = _dynamodb(
    "UpdateItem",
    only=_KEYS
    | _MARK
    | {
        Field.STATE,
        Field.DEPENDENTS,
        Field.LINKING,
        Field.BLOCKED,
        Field.START_BY,
        Field.DATA,
        Field.HISTORY,
        Field.TOTAL,
        Field.SEALED,
        Field.STOPPED,
    },
    on=(Partition.RECORD, Partition.BATCH),
)
"""To note that others depend on a job, that a batch grows or is complete, that its follower may
run."""

COMMAND: Final = _dynamodb("UpdateItem", on=(Partition.RECORD, Partition.BATCH))
"""Any change of any record or batch."""

REPLACE: Final = _dynamodb(
    "PutItem",
    only=_OTHER_ITEMS
    | {
        Field.SPENT,
        Field.QUIET,
        Field.REMOVED,
        # what the job leaves behind
        Field.QUEUE,
        Field.NEXT,
        *_MARK,
        # compared by the condition of a tombstone
        Field.STATE,
        Field.OWED,
        Field.LEASE,
        Field.UPDATED,
    },
    on=(Partition.RECORD, Partition.JOB, Partition.BATCH),
)
"""Tombstones; new and spent edges; that another job follows a batch."""

FOLLOW: Final = _dynamodb(
    "PutItem",
    only=FRESH | _OTHER_ITEMS,
    some=frozenset({Field.BLOCKED}),
    in_transaction=True,
    on=(Partition.RECORD, Partition.JOB, Partition.BATCH),
)
"""A new job that follows a batch. It does not permit `submit`: a job submitted with dependencies
names them in an attribute that is not here, and one without dependencies is not blocked."""

RUN: Final = _dynamodb(
    "UpdateItem", some=frozenset({Field.LEASE, Field.ERRORS}), on=(Partition.RECORD,)
)
"""A run's changes of its job, which all name the lease; and cancelling the jobs that depend on it,
which adds an error with the reason. A manager's commands name neither attribute."""

CONSEQUENCES: Final = _dynamodb(
    "UpdateItem",
    only=_KEYS
    | _MARK
    | _COUNTS
    | {
        Field.STATE,
        Field.BLOCKED,
        Field.PARKED,
        Field.DUE,
        Field.START_BY,
        Field.DATA,
        Field.HISTORY,
        Field.OWED,
        Field.FINISHED,
        Field.EXPIRES,
        # a lease that was lost while its worker lived
        Field.RUN,
        Field.LOST_RUN,
        Field.LOST_LEASES,
        Field.CRASHES,
        Field.CRASHED_RUNS,
    },
    on=(Partition.RECORD, Partition.BATCH),
)
"""To let other jobs run, to count in a batch, to note that no consequence is owed, or that a lost
lease was no crash. None of these changes the time stamp of the record, as every command of a
manager does."""

NOTE: Final = _dynamodb(
    "PutItem",
    only=_OTHER_ITEMS | {Field.SPENT, Field.RUN, Field.CONTENT},
    on=(Partition.JOB, Partition.RESOURCE, Partition.TENANT),
)
"""Locks and waiters, spent edges, logs."""

REPEAT: Final = _dynamodb(
    "PutItem",
    some=frozenset({Field.ORIGIN}),
    in_transaction=True,
    on=(Partition.RECORD, Partition.JOB),
)
"""A job that repeats another, created in one transaction with the end of the other. A manager's
cancel may end one that repeats: a job that depends on the cancelled one."""

OUTDATE: Final = _dynamodb("PutItem", only=_KEYS | _MARK | {Field.HEAD}, on=(Partition.REPEATS,))
"""The head of a task's repeats: all that repeats for ever so far is outdated, and is cancelled."""

TURN: Final = _dynamodb(
    "PutItem", only=_KEYS | {Field.CONTENT, Field.TOKEN}, on=(Partition.SWITCH,)
)
"""The switch of a queue, which nobody else may turn."""

_COMMAND: Final = (READ, COMMAND, CHECK, SEND)
_END: Final = (READ, CHECK, UNLOCK, SEND, TELL)
_CANCEL: Final = (*_COMMAND, *_END, REPLACE, REPEAT)
_RESTART: Final = (*_CANCEL, FOLLOW)
_REMOVE: Final = (
    *_CANCEL,
    DELETE_NOTE,
    _s3("ListBucket", Thing.INPUT),
    _s3("ListBucket", Thing.OUTPUT),
    DELETE_SUBMITTED,
    DELETE_OUTPUT,
)
_CREATE: Final = (READ, CREATE, CHECK, SEND)
# the input of another queue's job is copied
_SUBMIT: Final = (*_CREATE, LINK, *READ_INPUT, PUT_INPUT, DELETE_INPUT)
_END_RUN: Final = (RUN, CONSEQUENCES, NOTE, REPEAT, *_END, TAKE)
_WORK: Final = (*_END_RUN, SET_ASIDE)

EVERYBODY: Final = frozenset(Group)
_MANAGERS: Final = frozenset({Group.ADMIN, Group.MANAGER})
_CREATORS: Final = frozenset({Group.ADMIN, Group.CREATOR})
_WORKERS: Final = frozenset({Group.ADMIN, Group.WORKER})
_READERS: Final = _CREATORS | _WORKERS
"""The groups that may read files."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A command, or several that make the same calls."""

    groups: frozenset[Group]
    grants: tuple[Grant, ...]


def _row(groups: frozenset[Group], *grants: Grant) -> Row:
    return Row(groups=groups, grants=tuple(dict.fromkeys(grants)))


COMMANDS: Final[Mapping[str, Row]] = {
    "RemoteJob.connect": _row(EVERYBODY, *FIND),
    "RemoteJob.queue": _row(EVERYBODY),
    # the draft makes calls only in `save`
    "Queue.new_job": _row(EVERYBODY),
    # --- reading: all groups read records, but only some read files
    "RemoteJob.job": _row(EVERYBODY, READ),
    "RemoteJob.jobs": _row(EVERYBODY, READ),
    "RemoteJob.get_jobs": _row(EVERYBODY, READ),
    "RemoteJob.unable": _row(EVERYBODY, READ),
    "RemoteJob.workers": _row(EVERYBODY, READ),
    "RemoteJob.batch": _row(EVERYBODY, READ),
    "Queue.jobs": _row(EVERYBODY, READ),
    "Job.refresh": _row(EVERYBODY, READ),
    "Job.wait": _row(EVERYBODY, READ),
    "Job.next_job": _row(EVERYBODY, READ),
    "Job.logs": _row(EVERYBODY, READ),
    "Job.tracebacks": _row(EVERYBODY, READ),
    "Job.receipt": _row(EVERYBODY),
    "Job.why": _row(EVERYBODY, READ, MEASURE),
    "RemoteJob.stopped": _row(EVERYBODY, READ),
    "Queue.stopped": _row(EVERYBODY, READ),
    "Batch.refresh": _row(EVERYBODY, READ),
    "Batch.wait": _row(EVERYBODY, READ),
    "Batch.children": _row(EVERYBODY, READ),
    "Batch.on_complete": _row(EVERYBODY, READ),
    "Notice.job": _row(EVERYBODY, READ),
    # values too long for the record are files
    "Job.data(long)": _row(_READERS, *READ_INPUT),
    "Job.result(long)": _row(_READERS, *READ_OUTPUT),
    "Job.last_checkpoint(long)": _row(_READERS, *READ_OUTPUT),
    "Output.open": _row(_READERS, *READ_OUTPUT),
    "Output.read_bytes": _row(_READERS, *READ_OUTPUT),
    "Output.read_text": _row(_READERS, *READ_OUTPUT),
    "Output.download": _row(_READERS, *READ_OUTPUT),
    "StoredFile.open": _row(_READERS, *READ_INPUT, *READ_OUTPUT),
    "StoredFile.download": _row(_READERS, *READ_INPUT, *READ_OUTPUT),
    "Queue.retrieve": _row(_READERS, *READ_INPUT, *READ_OUTPUT),
    "Queue.download": _row(_READERS, *READ_INPUT, *READ_OUTPUT),
    "Job.replay_here": _row(_READERS, *READ_INPUT),
    # --- managers
    "RemoteJob.pause_jobs": _row(_MANAGERS, *_COMMAND),
    "RemoteJob.resume_jobs": _row(_MANAGERS, *_COMMAND),
    "RemoteJob.make_jobs_ready": _row(_MANAGERS, *_COMMAND),
    "RemoteJob.cancel_jobs": _row(_MANAGERS, *_CANCEL),
    "RemoteJob.restart_jobs": _row(_MANAGERS, *_RESTART),
    "RemoteJob.remove_jobs": _row(_MANAGERS, *_REMOVE),
    "RemoteJob.doctor": _row(_MANAGERS, READ, READ_MARKS),
    "RemoteJob.flush_stale": _row(_MANAGERS, *_CANCEL, READ_MARKS),
    "RemoteJob.dead_letters": _row(_MANAGERS, READ, *LOOK_AT_LETTERS),
    "RemoteJob.redrive": _row(_MANAGERS, *_CANCEL, *LOOK_AT_LETTERS, DELETE_LETTERS, SEND_UPLOADS),
    "RemoteJob.discard_dead_letters": _row(_MANAGERS, *_CANCEL, *LOOK_AT_LETTERS, DELETE_LETTERS),
    "Job.pause": _row(_MANAGERS, *_COMMAND),
    "Job.resume": _row(_MANAGERS, *_COMMAND),
    "Job.make_ready": _row(_MANAGERS, *_COMMAND),
    "Job.cancel": _row(_MANAGERS, *_CANCEL),
    "Job.restart": _row(_MANAGERS, *_RESTART),
    "Job.remove": _row(_MANAGERS, *_REMOVE),
    "RemoteJob.stop_all": _row(_MANAGERS, READ, TURN),
    "RemoteJob.start_all": _row(_MANAGERS, READ, TURN),
    "Queue.stop": _row(_MANAGERS, READ, TURN),
    "Queue.start": _row(_MANAGERS, READ, TURN),
    "Queue.cancel_repeats": _row(_MANAGERS, *_CANCEL, READ_MARKS, OUTDATE),
    "Queue.failed": _row(_MANAGERS, READ, READ_MARKS),
    "Queue.retry_failed": _row(_MANAGERS, *_RESTART, READ_MARKS),
    "Queue.delete_failed": _row(_MANAGERS, *_REMOVE, READ_MARKS),
    "Queue.remove(output)": _row(_MANAGERS, DELETE_OUTPUT),
    "Batch.cancel": _row(_MANAGERS, *_CANCEL),
    "Batch.retry": _row(_MANAGERS, *_RESTART),
    # --- creators
    "Queue.submit": _row(_CREATORS, *_SUBMIT),
    # it cancels other jobs, so a creator needs the manager group, too
    "Queue.submit(cancel_repeats)": _row(
        frozenset({Group.ADMIN}), *_SUBMIT, *_CANCEL, READ_MARKS, OUTDATE
    ),
    "Queue.submit_many": _row(_CREATORS, *_SUBMIT),
    "Queue.map": _row(_CREATORS, *_SUBMIT, CREATE_BATCH, *READ_OUTPUT),
    "Job.rerun": _row(_CREATORS, *_CREATE, *READ_INPUT, PUT_INPUT),
    "Job.replay": _row(_CREATORS, *_SUBMIT),
    "Queue.store": _row(_CREATORS, PUT_INPUT, *READ_INPUT),
    "Queue.store_raw": _row(_CREATORS, PUT_INPUT, *READ_INPUT),
    "Queue.trigger": _row(_CREATORS, *_CREATE, *READ_INPUT),
    "Queue.remove(input)": _row(_CREATORS, DELETE_INPUT),
    # the record is read to see whether a notice says what happened
    "Queue.next(completed)": _row(_CREATORS, HEAR, READ),
    "Queue.next(failed)": _row(_CREATORS, HEAR, READ),
    "Notice.acknowledge": _row(_CREATORS, HEAR),
    "Notice.open": _row(_READERS, READ, *READ_INPUT, *READ_OUTPUT),
    # --- workers: manual work
    "Queue.get_work": _row(_WORKERS, *_WORK),
    "Queue.process_jobs": _row(_WORKERS, *_WORK, *READ_INPUT, *READ_OUTPUT, PUT_OUTPUT),
    "Queue.next(pending)": _row(_WORKERS, *_WORK),
    "TakenJob.done": _row(_WORKERS, *_END_RUN, PUT_OUTPUT),
    "TakenJob.complete": _row(_WORKERS, *_END_RUN, PUT_OUTPUT),
    "TakenJob.fail": _row(_WORKERS, *_END_RUN),
    # a worker needs the manager group, too
    "TakenJob.cancel": _row(frozenset({Group.ADMIN}), *_CANCEL, *_END_RUN),
    "TakenJob.refresh": _row(_WORKERS, READ),
    "TakenJob.logs": _row(_WORKERS, READ),
    "TakenJob.antecedents": _row(_WORKERS, READ, *READ_INPUT, *READ_OUTPUT),
    "TakenJob.release": _row(_WORKERS, *_END_RUN),
    "TakenJob.acknowledge": _row(_WORKERS, RUN, NOTE, TAKE),
    "TakenJob.progress": _row(_WORKERS, RUN),
    "TakenJob.log": _row(_WORKERS, RUN, NOTE),
    "TakenJob.checkpoint": _row(_WORKERS, RUN, NOTE, PUT_OUTPUT),
    "TakenJob.resumed_from(long)": _row(_WORKERS, *READ_OUTPUT),
    "TakenJob.output": _row(_WORKERS, PUT_OUTPUT, *READ_OUTPUT),
    "TakenJob.open": _row(_WORKERS, *READ_INPUT, *READ_OUTPUT),
    "TakenJob.create_read_stream": _row(_WORKERS, *READ_INPUT, *READ_OUTPUT),
    "TakenJob.download": _row(_WORKERS, *READ_INPUT),
    "TakenJob.check": _row(_WORKERS),
    "TakenJob.stir": _row(_WORKERS),
    "TakenJob.folder": _row(_WORKERS),
    "TakenJob.time_left": _row(_WORKERS),
}
"""The commands by class and method; if the calls depend on an argument, by that as well."""


def grants_of_readers() -> tuple[Grant, ...]:
    """The calls of the commands that only read, files included."""
    rows = (row for row in COMMANDS.values() if row.groups in (EVERYBODY, _READERS))
    return tuple(dict.fromkeys(grant for row in rows for grant in row.grants))


def grants_of(group: Group) -> tuple[Grant, ...]:
    """The calls of all commands of a group."""
    found = [grant for row in COMMANDS.values() if group in row.groups for grant in row.grants]
    return tuple(dict.fromkeys(found))
