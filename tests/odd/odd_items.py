"""Items of every kind in the table that are odd in every way: what a newer version, or something
other than the library, may have written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from remotejob.backends.memory import MemoryStore
from remotejob.domain.batches import partition_of_batch
from remotejob.domain.conditions import Value
from remotejob.domain.ids import new_job_id, partition_of, shard_of
from remotejob.domain.transactions import Key, Put
from remotejob.names import Field
from remotejob.ports import Installation
from tests.aws import TABLE, clients

Typed = Mapping[Any, Mapping[str, Any]]

S, N = "S", "N"
HUGE: Final = "9" * 38


def put(installation: Installation, partition: str, name: str, item: Typed) -> None:
    """Store an item as it is, whatever the library would say to it."""
    if isinstance(installation.store, MemoryStore):
        content: dict[str, Any] = {field: _decoded(typed) for field, typed in item.items()}
        installation.store.transact([Put(key=Key(partition, name), content=content)])
        return
    whole: Any = {**item, Field.PK: {S: partition}, Field.SK: {S: name}}
    clients().dynamodb.put_item(TableName=TABLE, Item=whole)


def _decoded(typed: Mapping[str, Any]) -> Value | Mapping[str, Any]:
    ((kind, value),) = typed.items()
    if kind == N and value.lstrip("-").isdigit():
        return int(value)
    if kind == "SS":
        return frozenset(value)
    return str(value) if kind == S else typed


def odd_id(installation: Installation, shard: int = 0) -> str:
    while True:
        job_id = new_job_id(installation.clock.now_ms() - 5000, installation.entropy)
        if shard_of(job_id) == shard:
            return job_id


def record(installation: Installation, **fields: Mapping[str, Any] | None) -> dict[str, Any]:
    """A record that is ready, with other fields, or without those that are None."""
    now = str(installation.clock.now_ms())
    item: dict[str, Any] = {
        Field.STATE: {S: "ready"},
        Field.TASK: {S: "work"},
        Field.QUEUE: {S: "default"},
        Field.CREATED: {N: now},
        Field.UPDATED: {N: now},
    }
    item.update({str(Field[name]): value for name, value in fields.items()})
    return {name: value for name, value in item.items() if value is not None}


RECORDS: Final[Mapping[str, Mapping[str, Mapping[str, Any] | None]]] = {
    "an unknown state": {"STATE": {S: "levitating"}},
    "a state that is a number": {"STATE": {N: "1"}},
    "no task": {"TASK": None},
    "a task that is a list": {"TASK": {"L": [{S: "work"}]}},
    "a queue that is a path": {"QUEUE": {S: "../default"}},
    "no time": {"UPDATED": None},
    "a time that is text": {"CREATED": {S: "soon"}},
    "a due time that is text": {"STATE": {S: "waiting"}, "DUE": {S: "soon"}},
    "a lease that is text": {"LEASE": {S: "long"}},
    "a time of change that is text": {"UPDATED": {S: "now"}},
    "a time with a fraction": {"UPDATED": {N: "1.5"}},
    "a time after the year 9999": {"DUE": {N: HUGE}},
    "a time before 1970": {"UPDATED": {N: "-5"}},
    "a negative count": {"ATTEMPT": {N: "-3"}},
    "a count that is text": {"ATTEMPT": {S: "1"}},
    "a huge count": {"CRASHES": {N: HUGE}},
    "a flag for a count": {"FAILURES": {"BOOL": True}},
    "an empty value": {"WORKER": {"NULL": True}},
    "blocked by a number": {"BLOCKED": {N: "3"}},
    "a priority in words": {"PRIORITY": {S: "high"}},
    "a limit of no jobs": {"TENANT": {S: "t"}, "TENANT_LIMIT": {N: "0"}},
    "a tenant with spaces": {"TENANT": {S: "a b\n"}},
    "a resource without a name": {"RESOURCE": {S: ""}},
    "a run that is a path": {"RUN": {S: "../../x"}},
    "a successor that is a path": {"NEXT": {S: "../x"}},
    "a batch that is none": {"BATCH": {S: "b-1"}},
    "a retry that is no JSON": {"RETRY": {S: "[1,2"}},
    "a retry that is a list": {"RETRY": {S: "[]"}},
    "a repeat of zero seconds": {"REPEAT": {S: '{"w":0}'}},
    "an input without a key": {"INPUT": {S: "{}"}},
    "an input whose name is a number": {"INPUT": {S: '{"b":"b","k":"k","s":1,"n":5}'}},
    "errors that are numbers": {"ERRORS": {S: "[1,2]"}},
    "a log nested too deep": {"LOG": {S: "[" * 100_000}},
    "a history that is text": {"HISTORY": {S: '[1,"paused","ana"]'}},
    "a history of no lines": {"HISTORY": {"SS": ["nonsense"]}},
    "a history without an actor": {"HISTORY": {"SS": ['[1,"paused",null]']}},
    "a history of no time": {"HISTORY": {"SS": ['["now","paused","ana"]']}},
    "a history nested too deep": {"HISTORY": {"SS": ["[" * 100_000]}},
    "progress of three": {"PROGRESS": {S: "[1,2,3]"}},
    "progress of nothing": {"PROGRESS": {S: "[0,0]"}},
    "a number of JSON beyond reason": {"PROGRESS": {S: f"[1,{'9' * 5000}]"}},
    "dependencies that are no list": {"DEPENDS": {S: "7"}},
    "outputs that are no list": {"OUTPUTS": {S: "7"}},
    "usage that is a list": {"CALLS": {S: "[]"}},
    "a checkpoint that is a path": {"CHECKPOINT_REF": {S: "../../0"}},
}
"""What is odd about a record, under a key of its own."""

ODD_KEYS: Final = ("../../other", "default/x", "", "0" * 25, "8" * 26, "z" * 26, "é" * 26)
"""Names of records that are no ids. (DynamoDB takes no empty key.)"""

TEXTS: Final = ("", "x", "null", "[]", "7", "{}", "[" * 5000, '{"seen":"x"}', "[[1]]", '[{"a":1}]')

ODD_VALUES: Final[tuple[Mapping[str, Any], ...]] = (
    {S: ""},
    {S: "../x"},
    {N: "0"},
    {N: "-1"},
    {N: HUGE},
    {N: "1.5"},
    {"BOOL": True},
    {"NULL": True},
    {"L": []},
    {"M": {}},
)


def fill(installation: Installation, *, antecedent: str, batch_id: str, removed: str) -> None:
    """Put at least ten odd items of each kind, next to honest ones where they can be."""
    now = installation.clock.now_ms()
    marks = ("waiting", "running", "owed", "failed", "removed")
    for number, (_what, fields) in enumerate(RECORDS.items()):
        # some in each shard, and of each kind of mark
        job_id = odd_id(installation, number % 8)
        item = record(installation, **fields)
        item[Field.ATTENTION] = {S: f"{marks[number % 5]}#{number % 8}"}
        item[Field.ATTENTION_AT] = {N: str(now - 100_000)}
        put(installation, partition_of(job_id), job_id, item)
    day = partition_of(odd_id(installation))
    for name in filter(None, ODD_KEYS):
        put(installation, day, name, record(installation, STATE={S: "completed"}))
        for kind in marks:
            item = record(installation)
            item[Field.ATTENTION] = {S: f"{kind}#0"}
            item[Field.ATTENTION_AT] = {N: str(now - 7_200_000)}
            put(installation, f"elsewhere-{kind}", name, item)
    for number, value in enumerate(ODD_VALUES):
        other = odd_id(installation)
        for limit in ("resource#scanner", "tenant#default#acme"):
            put(installation, limit, f"lock#00{number}", {Field.JOB: value, Field.RUN: value})
            put(installation, limit, f"lock#01{number}", {Field.JOB: {S: other}})
            put(installation, limit, f"waiter#!{number}", {Field.JOB: value})
            put(installation, limit, f"waiter#{other}", {Field.JOB: value})
        put(installation, antecedent, f"edge#{number}", {Field.JOB: value, Field.TOKEN: value})
        put(installation, antecedent, f"edge#{other}", {Field.JOB: {S: other}})
        for kind in ("log#", "failure#"):
            put(installation, antecedent, f"{kind}{number}", {Field.CONTENT: value})
            put(installation, antecedent, f"{kind}t{number}", {Field.CONTENT: {S: TEXTS[number]}})
        workers = "workers#default"
        put(installation, workers, f"sign#{number}", {Field.CONTENT: value})
        put(installation, workers, f"sign#t{number}", {Field.CONTENT: {S: TEXTS[number]}})
        pages = partition_of_batch(batch_id)
        put(installation, pages, f"page#9{number}", {Field.CONTENT: value})
        tombstone = {Field.REMOVED: {N: str(now)}, Field.TOKEN: value, Field.QUEUE: value}
        tombstone |= {Field.EXPIRES: value}
        tombstone |= {Field.ATTENTION: {S: "removed#0"}, Field.ATTENTION_AT: {N: "1"}}
        put(installation, partition_of(other), other, tombstone)
        head = {Field.HEAD: value if value != {N: "0"} else {S: "0"}}
        head |= {Field.ATTENTION: {S: "replaced#0"}, Field.ATTENTION_AT: {N: str(now - number)}}
        put(installation, f"repeats#default#t{number}", f"default#t{number}", head)
        put(installation, f"repeats#{number}", f"{number}", head)
    tombstone = {Field.REMOVED: {N: "1"}, Field.QUEUE: {S: "default/.."}, Field.TOKEN: {S: "x"}}
    tombstone |= {Field.EXPIRES: {N: "1"}, Field.ATTENTION: {S: f"removed#{shard_of(removed)}"}}
    tombstone |= {Field.ATTENTION_AT: {N: "1"}}
    put(installation, partition_of(removed), removed, tombstone)
    progress = json.dumps({"watermark": "9999-12-30", "day": "9999-12-30"})
    put(installation, "#sweep", "progress", {Field.CONTENT: {S: progress}})
