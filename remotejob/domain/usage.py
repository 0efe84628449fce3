"""What a job's runs used: one compact text in the record, summed over its runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from remotejob.domain.conditions import Item

WRITE_UNIT_BYTES: Final = 1024
READ_UNIT_BYTES: Final = 4096
"""Source: Amazon DynamoDB Developer Guide, "DynamoDB read and write operations"."""

MULTIPART_FROM: Final = 16 * 1024 * 1024
"""Bytes from which `backends.aws.files` stores a file in parts."""

PART_BYTES: Final = 8 * 1024 * 1024
"""Source: boto3, "TransferConfig", multipart_chunksize."""

_RUNS: Final = "n"
_RUNNING_MS: Final = "ms"
_NOTE_UNITS: Final = "w"
_INDEX_UNITS: Final = "x"


class Call(StrEnum):
    """A request to AWS. The values are short, because every write of a record pays for them."""

    PUT_ITEM = "p"
    UPDATE_ITEM = "u"
    GET_ITEM = "g"
    BATCH_GET = "b"
    QUERY = "q"
    TRANSACT = "t"
    DELETE_ITEM = "e"
    SEND = "s"
    RECEIVE = "r"
    DELETE = "d"
    HIDE = "h"
    PUT_OBJECT = "P"
    GET_OBJECT = "G"
    HEAD_OBJECT = "H"
    CREATE_UPLOAD = "C"
    UPLOAD_PART = "U"
    COMPLETE_UPLOAD = "F"
    INVOKE = "i"

    @property
    def service(self) -> str:
        return _NAMES[self][0]

    @property
    def operation(self) -> str:
        """The name of the operation at AWS."""
        return _NAMES[self][1]


_NAMES: Final[Mapping[Call, tuple[str, str]]] = {
    Call.PUT_ITEM: ("DynamoDB", "PutItem"),
    Call.UPDATE_ITEM: ("DynamoDB", "UpdateItem"),
    Call.GET_ITEM: ("DynamoDB", "GetItem"),
    Call.BATCH_GET: ("DynamoDB", "BatchGetItem"),
    Call.QUERY: ("DynamoDB", "Query"),
    Call.TRANSACT: ("DynamoDB", "TransactWriteItems"),
    Call.DELETE_ITEM: ("DynamoDB", "DeleteItem"),
    Call.SEND: ("SQS", "SendMessage"),
    Call.RECEIVE: ("SQS", "ReceiveMessage"),
    Call.DELETE: ("SQS", "DeleteMessageBatch"),
    Call.HIDE: ("SQS", "ChangeMessageVisibilityBatch"),
    Call.PUT_OBJECT: ("S3", "PutObject"),
    Call.GET_OBJECT: ("S3", "GetObject"),
    Call.HEAD_OBJECT: ("S3", "HeadObject"),
    Call.CREATE_UPLOAD: ("S3", "CreateMultipartUpload"),
    Call.UPLOAD_PART: ("S3", "UploadPart"),
    Call.COMPLETE_UPLOAD: ("S3", "CompleteMultipartUpload"),
    Call.INVOKE: ("Lambda", "Invoke"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """What the counted runs of a job used, in addition to each run's claim and commit.

    A run that completed the job and did nothing else is not counted: the record shows all of it.
    """

    runs: int = 0
    """The number of counted runs."""
    calls: Mapping[Call, float] = field(default_factory=lambda: MappingProxyType({}))
    """Requests; a request shared with other jobs counts as a fraction."""
    running_ms: int | None = None
    """Their total running time; None for a single completed run, whose record has it."""
    note_units: int = 0
    """DynamoDB write units of the notes next to the record."""
    index_units: int = 0
    """DynamoDB write units of the index."""

    def to_json(self) -> str:
        counted: dict[str, float] = {_RUNS: self.runs}
        if self.running_ms is not None:
            counted[_RUNNING_MS] = self.running_ms
        counted |= {call.value: _short(count) for call, count in self.calls.items() if count}
        if self.note_units:
            counted[_NOTE_UNITS] = self.note_units
        if self.index_units:
            counted[_INDEX_UNITS] = self.index_units
        return json.dumps(counted, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | None) -> Usage:
        """None means no counted run. Keys that a later version adds are ignored."""
        counted: dict[str, float] = {} if text is None else json.loads(text)
        running_ms = counted.get(_RUNNING_MS)
        return cls(
            runs=int(counted.get(_RUNS, 0)),
            calls={call: counted[call.value] for call in Call if call.value in counted},
            running_ms=None if running_ms is None else int(running_ms),
            note_units=int(counted.get(_NOTE_UNITS, 0)),
            index_units=int(counted.get(_INDEX_UNITS, 0)),
        )


def put_calls(size: int, *, size_known: bool) -> dict[Call, int]:
    """The requests for storing a file of that size; `size_known`, whether it was known before."""
    if size >= MULTIPART_FROM:
        return {
            Call.CREATE_UPLOAD: 1,
            Call.UPLOAD_PART: -(-size // PART_BYTES),
            Call.COMPLETE_UPLOAD: 1,
            # the transfer does not return the object's metadata: we ask for it
            Call.HEAD_OBJECT: 1,
        }
    return {Call.PUT_OBJECT: 1} if size_known else {Call.PUT_OBJECT: 1, Call.HEAD_OBJECT: 1}


def item_bytes(item: Item) -> int:
    """The approximate size of an item, as DynamoDB counts it.

    Source: Amazon DynamoDB Developer Guide, "DynamoDB item sizes and formats".
    """
    return sum(len(name.encode()) + _value_bytes(value) for name, value in item.items())


def units(size: int, *, of: int = WRITE_UNIT_BYTES) -> int:
    """Capacity units for one request on an item of `size` bytes."""
    return max(1, -(-size // of))


def _value_bytes(value: object) -> int:
    if isinstance(value, frozenset):
        return 3 + sum(1 + _value_bytes(one) for one in value)
    if isinstance(value, int):
        digits = str(abs(value)).rstrip("0")
        return 1 + (len(digits) + 1) // 2
    return len(str(value).encode(errors="replace"))


def _short(count: float) -> float:
    rounded = round(count, 3)
    return int(rounded) if rounded == int(rounded) else rounded
