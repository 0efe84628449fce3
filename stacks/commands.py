"""What each command of the library asks of AWS, and who may give it: one table.

The groups are job-collection's. A group may make the calls of its commands, and no other; so what
a group can do is read from here, by the policies (`stacks.groups`), by the tests, which give every
command under the credentials of every group, and by docs/permissions.md.

DynamoDB knows an update, and not what it is for: cancelling a job and completing it are both
UpdateItem. What tells them apart are the attributes a request names. Conditions are such that they
hold whether DynamoDB looks at the parts of a transaction one by one or together, and whether or not
it counts the attributes of a ConditionExpression among those named.

Source: job-collection, README, `jc.allow`, and meteor-job, `ddpMethodPermissions`; Amazon DynamoDB
Developer Guide, "Using IAM policy conditions for fine-grained access control" and "Using IAM with
DynamoDB transactions".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from remotejob.names import Field


class Group(StrEnum):
    """Who gives commands. Source: job-collection, its permission groups."""

    ADMIN = "admin"
    MANAGER = "manager"
    CREATOR = "creator"
    WORKER = "worker"


class Thing(StrEnum):
    """What a call is made on."""

    PARAMETER = "the SSM parameter"
    TABLE = "the job table"
    ATTENTION = "its attention index"
    LANES = "the pending queues"
    STATUS = "the status queues"
    DEAD_LETTER = "the dead-letter queues"
    INPUT = "the input bucket"
    INPUT_FILES = "files of the input bucket"
    SUBMITTED_FILES = "files under jobs/ in the input bucket"
    OUTPUT = "the output bucket"
    OUTPUT_FILES = "files of the output bucket"


@dataclass(frozen=True, kw_only=True, slots=True)
class Grant:
    """Calls on things, perhaps under a condition."""

    calls: tuple[str, ...]
    on: tuple[Thing, ...]
    only: frozenset[Field] | None = None
    """The request names no other attribute than these."""
    some: frozenset[Field] | None = None
    """The request names at least one of these."""
    in_transaction: bool = False
    """The call is part of a TransactWriteItems."""


_KEYS: Final = frozenset({Field.PK, Field.SK})
_MARK: Final = frozenset({Field.ATTENTION, Field.ATTENTION_AT})
_COUNTS: Final = frozenset({Field.COMPLETED, Field.FAILED, Field.CANCELLED})
_BESIDE: Final = _KEYS | {Field.JOB, Field.TOKEN, Field.EXPIRES}
"""Of edges, keys, waiters, and what else lies beside the records."""
_FRESH: Final = (
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
        Field.RETRY,
        Field.DATA,
        Field.INPUT,
    }
)
"""Of a record that nobody has worked at."""


def _dynamodb(
    *calls: str,
    only: frozenset[Field] | None = None,
    some: frozenset[Field] | None = None,
    in_transaction: bool = False,
) -> Grant:
    return Grant(
        calls=tuple(f"dynamodb:{call}" for call in calls),
        on=(Thing.TABLE,),
        only=only,
        some=some,
        in_transaction=in_transaction,
    )


def _s3(call: str, thing: Thing) -> Grant:
    return Grant(calls=(f"s3:{call}",), on=(thing,))


def _sqs(calls: tuple[str, ...], *on: Thing) -> Grant:
    return Grant(calls=tuple(f"sqs:{call}" for call in calls), on=on)


FIND: Final = Grant(calls=("ssm:GetParameter",), on=(Thing.PARAMETER,))
READ: Final = _dynamodb("GetItem", "BatchGetItem", "Query")
READ_MARKS: Final = Grant(calls=("dynamodb:Query",), on=(Thing.ATTENTION,))
MEASURE: Final = _sqs(("GetQueueAttributes",), Thing.LANES)
SEND: Final = _sqs(("SendMessage",), Thing.LANES)
TELL: Final = _sqs(("SendMessage",), Thing.STATUS)
SET_ASIDE: Final = _sqs(("SendMessage",), Thing.DEAD_LETTER)
TAKE: Final = _sqs(("ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility"), Thing.LANES)
HEAR: Final = _sqs(("ReceiveMessage", "DeleteMessage"), Thing.STATUS)

# Without ListBucket S3 answers "denied" for a file that is not there.
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
DELETE: Final = _dynamodb("DeleteItem")

CREATE: Final = _dynamodb(
    "PutItem",
    "BatchWriteItem",
    only=_FRESH
    | _BESIDE
    | _COUNTS
    | {
        Field.DEPENDS,
        Field.REPEAT,
        Field.ORIGIN,
        Field.BATCH,
        Field.DATA_REF,
        Field.CONTENT,
    },
)
"""New records, with what lies beside them. Nothing a run leaves, and no tombstone."""

LINK: Final = _dynamodb(
    "UpdateItem",
    only=_KEYS
    | _MARK
    | {
        Field.STATE,
        Field.DEPENDENTS,
        Field.BLOCKED,
        Field.DATA,
        Field.TOTAL,
        Field.SEALED,
        Field.STOPPED,
    },
)
"""That others depend on a job; that a batch grows and is whole, and its follower may go."""

COMMAND: Final = _dynamodb("UpdateItem")
"""Any change of any record."""

REPLACE: Final = _dynamodb(
    "PutItem",
    only=_BESIDE
    | {
        Field.SPENT,
        Field.REMOVED,
        # what a tombstone's condition compares
        Field.STATE,
        Field.OWED,
        Field.LEASE,
        Field.UPDATED,
    },
)
"""Tombstones; edges, made and spent."""

FOLLOW: Final = _dynamodb(
    "PutItem", only=_FRESH | _BESIDE, some=frozenset({Field.BLOCKED}), in_transaction=True
)
"""The job that follows a batch, made anew. Not what `submit` makes: a job submitted to depend on
others says which, in an attribute that is not here, and another depends on nothing."""

RUN: Final = _dynamodb("UpdateItem", some=frozenset({Field.LEASE, Field.ERRORS}))
"""What a run does to its job: each of these changes has to do with the lease. And the jobs that
depend on it are cancelled with an error that says why. A manager's commands name neither."""

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
        Field.DATA,
        Field.OWED,
        Field.FINISHED,
        Field.EXPIRES,
    },
)
"""Others go on, a batch counts, nothing is owed. None of them stamps the record, which every
command of a manager does."""

NOTE: Final = _dynamodb("PutItem", only=_BESIDE | {Field.SPENT, Field.RUN, Field.CONTENT})
"""Locks and waiters, spent edges, logs."""

REPEAT: Final = _dynamodb("PutItem", some=frozenset({Field.ORIGIN}), in_transaction=True)
"""The job that repeats another, in one transaction with the other's end."""

_COMMAND: Final = (READ, COMMAND, CHECK, SEND)
_END: Final = (READ, CHECK, DELETE, SEND, TELL)
_CANCEL: Final = (*_COMMAND, *_END, REPLACE)
_RESTART: Final = (*_CANCEL, FOLLOW)
_REMOVE: Final = (
    *_CANCEL,
    _s3("ListBucket", Thing.INPUT),
    _s3("ListBucket", Thing.OUTPUT),
    DELETE_SUBMITTED,
    DELETE_OUTPUT,
)
_CREATE: Final = (READ, CREATE, SEND)
_SUBMIT: Final = (*_CREATE, LINK, CHECK, PUT_INPUT, DELETE_INPUT)
_END_RUN: Final = (RUN, CONSEQUENCES, NOTE, REPEAT, *_END, TAKE)
_WORK: Final = (*_END_RUN, SET_ASIDE)

EVERYBODY: Final = frozenset(Group)
_MANAGERS: Final = frozenset({Group.ADMIN, Group.MANAGER})
_CREATORS: Final = frozenset({Group.ADMIN, Group.CREATOR})
_WORKERS: Final = frozenset({Group.ADMIN, Group.WORKER})
_READERS: Final = _CREATORS | _WORKERS
"""Who sees files."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One command, or some that ask the same."""

    groups: frozenset[Group]
    grants: tuple[Grant, ...]


def _row(groups: frozenset[Group], *grants: Grant) -> Row:
    return Row(groups=groups, grants=tuple(dict.fromkeys(grants)))


COMMANDS: Final[Mapping[str, Row]] = {
    "RemoteJob.connect": _row(EVERYBODY, FIND),
    "RemoteJob.queue": _row(EVERYBODY),
    # what is put together is submitted by `save`
    "Queue.new_job": _row(EVERYBODY),
    # --- reading: records are for all, files for those who have to do with them
    "RemoteJob.job": _row(EVERYBODY, READ),
    "RemoteJob.jobs": _row(EVERYBODY, READ),
    "RemoteJob.get_jobs": _row(EVERYBODY, READ),
    "RemoteJob.unable": _row(EVERYBODY, READ),
    "RemoteJob.workers": _row(EVERYBODY, READ),
    "RemoteJob.batch": _row(EVERYBODY, READ),
    "Queue.jobs": _row(EVERYBODY, READ),
    "Job.refresh": _row(EVERYBODY, READ),
    "Job.wait": _row(EVERYBODY, READ),
    "Job.logs": _row(EVERYBODY, READ),
    "Job.tracebacks": _row(EVERYBODY, READ),
    "Job.receipt": _row(EVERYBODY),
    "Job.why": _row(EVERYBODY, READ, MEASURE),
    "Batch.refresh": _row(EVERYBODY, READ),
    "Batch.wait": _row(EVERYBODY, READ),
    "Batch.children": _row(EVERYBODY, READ),
    "Batch.on_complete": _row(EVERYBODY, READ),
    "Notice.job": _row(EVERYBODY, READ),
    # what is too long for the record is a file
    "Job.data(long)": _row(_READERS, *READ_INPUT),
    "Job.result(long)": _row(_READERS, *READ_OUTPUT),
    "Job.last_checkpoint(long)": _row(_READERS, *READ_OUTPUT),
    "Output.open": _row(_READERS, *READ_OUTPUT),
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
    "RemoteJob.flush_stale": _row(_MANAGERS, *_CANCEL, READ_MARKS),
    "Job.pause": _row(_MANAGERS, *_COMMAND),
    "Job.resume": _row(_MANAGERS, *_COMMAND),
    "Job.make_ready": _row(_MANAGERS, *_COMMAND),
    "Job.cancel": _row(_MANAGERS, *_CANCEL),
    "Job.restart": _row(_MANAGERS, *_RESTART),
    "Job.remove": _row(_MANAGERS, *_REMOVE),
    "Queue.failed": _row(_MANAGERS, READ, READ_MARKS),
    "Queue.retry_failed": _row(_MANAGERS, *_RESTART, READ_MARKS),
    "Queue.delete_failed": _row(_MANAGERS, *_REMOVE, READ_MARKS),
    "Queue.remove(output)": _row(_MANAGERS, DELETE_OUTPUT),
    "Batch.cancel": _row(_MANAGERS, *_CANCEL),
    "Batch.retry": _row(_MANAGERS, *_RESTART),
    # --- creators
    "Queue.submit": _row(_CREATORS, *_SUBMIT),
    # it cancels the others: a creator who is a manager, too, may do it
    "Queue.submit(cancel_repeats)": _row(frozenset({Group.ADMIN}), *_SUBMIT, *_CANCEL),
    "Queue.submit_many": _row(_CREATORS, *_SUBMIT),
    "Queue.map": _row(_CREATORS, *_SUBMIT, *READ_INPUT, *READ_OUTPUT),
    "Job.rerun": _row(_CREATORS, *_CREATE, *READ_INPUT, PUT_INPUT),
    "Job.replay": _row(_CREATORS, *_SUBMIT, *READ_INPUT),
    "Queue.store": _row(_CREATORS, PUT_INPUT, *READ_INPUT),
    "Queue.store_raw": _row(_CREATORS, PUT_INPUT, *READ_INPUT),
    "Queue.trigger": _row(_CREATORS, *_CREATE, *READ_INPUT),
    "Queue.remove(input)": _row(_CREATORS, DELETE_INPUT),
    "Queue.next(completed)": _row(_CREATORS, HEAR),
    "Queue.next(failed)": _row(_CREATORS, HEAR),
    "Notice.acknowledge": _row(_CREATORS, HEAR),
    "Notice.open": _row(_READERS, READ, *READ_INPUT, *READ_OUTPUT),
    # --- workers by hand
    "Queue.get_work": _row(_WORKERS, *_WORK),
    "Queue.process_jobs": _row(_WORKERS, *_WORK, *READ_INPUT, *READ_OUTPUT, PUT_OUTPUT),
    "Queue.next(pending)": _row(_WORKERS, *_WORK),
    "TakenJob.done": _row(_WORKERS, *_END_RUN, PUT_OUTPUT),
    "TakenJob.complete": _row(_WORKERS, *_END_RUN, PUT_OUTPUT),
    "TakenJob.fail": _row(_WORKERS, *_END_RUN),
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
"""What the library's commands ask of AWS, by class and method; where what a method asks depends on
an argument, by that as well."""


def grants_of(group: Group) -> tuple[Grant, ...]:
    """What a group may ask of AWS: whatever its commands do."""
    found = [grant for row in COMMANDS.values() if group in row.groups for grant in row.grants]
    return tuple(dict.fromkeys(found))
