"""Report what changes in tables, queues and buckets to the journal, if there is one.

Only an embedded AWS that keeps its data has one. Without it, nothing here does anything.

A change is reported after it was made and before anything that follows from it, in the thread that
made it. So each prefix of the journal is a state in which the system has been or could have been.

Limits: messages of FIFO queues, multipart uploads under way and access-control lists of objects are
not reported.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final, Protocol

from moto.dynamodb.models.dynamo_type import DynamoType, Item
from moto.dynamodb.models.table import Table
from moto.s3.models import S3Backend
from moto.s3.responses import S3Response
from moto.sqs.models import Message

Place = tuple[DynamoType, DynamoType | None]


class Journal(Protocol):
    """Takes note of changes. Any thread may call it at any time."""

    def item(self, table: str, place: Place, item: Item | None) -> None:
        """An item was written; None if it was deleted."""

    def message(self, queue: str, message: Message, *, returns_at: float) -> None:
        """A message was sent, received or hidden; it is visible from `returns_at`, Unix time."""

    def message_gone(self, queue: str, message_id: str) -> None:
        """A message was deleted, or has left the queue another way."""

    def object(self, bucket: str, key: str) -> None:
        """The versions of an object, or what describes them, may have changed."""


_journal: Journal | None = None
_REQUEST: Final = threading.local()


def report_to(journal: Journal) -> None:
    """Report all changes from now on. Call it once in a process.

    DynamoDB and SQS report where `gaps` replaces them anyway; S3 is patched only now.
    """
    # moto's state is global in a process, too
    global _journal
    _journal = journal
    for name, place_of in _CHANGES_OBJECTS.items():
        _report_around(name, place_of)
    for name in ("_key_response", "_bucket_response"):
        _report_at_the_end(name)


def item_changed(table: Table, place: Place, item: Item | None) -> None:
    """Report the item that is now at a place."""
    if _journal is not None:
        _journal.item(table.name, place, item)


def message_changed(queue: str, message: Message, *, returns_at: float = 0) -> None:
    """Report a message as it is now."""
    if _journal is not None:
        _journal.message(queue, message, returns_at=returns_at)


def message_gone(queue: str, message_id: str) -> None:
    """Report that a queue no longer has a message."""
    if _journal is not None:
        _journal.message_gone(queue, message_id)


def _object_changed(bucket: str, key: str) -> None:
    if _journal is not None:
        _journal.object(bucket, key)
        touched: set[tuple[str, str]] | None = getattr(_REQUEST, "touched", None)
        if touched is not None:
            touched.add((bucket, key))


def _by_name(bucket_name: str, key_name: str, *_: Any, **__: Any) -> tuple[str, str]:
    return bucket_name, key_name


def _by_destination(
    _: Any, dest_bucket_name: str, dest_key_name: str, *__: Any, **___: Any
) -> tuple[str, str]:
    return dest_bucket_name, dest_key_name


def _by_key(key: Any, *_: Any, **__: Any) -> tuple[str, str]:
    # a delete marker knows no bucket, and takes no tags
    return getattr(key, "bucket_name", ""), getattr(key, "name", "")


_CHANGES_OBJECTS: Final[dict[str, Callable[..., tuple[str, str]]]] = {
    "put_object": _by_name,
    "copy_object": _by_destination,
    "delete_object": _by_name,
    "put_object_tagging": _by_key,
    "delete_object_tagging": _by_name,
    "put_object_legal_hold": _by_name,
    "put_object_retention": _by_name,
    "restore_object": _by_name,
}


def _report_around(name: str, place_of: Callable[..., tuple[str, str]]) -> None:
    stock = getattr(S3Backend, name)

    def changing(self: S3Backend, *args: Any, **kw: Any) -> Any:
        # before too: the event of an object must not be in the journal without the object
        _object_changed(*place_of(*args, **kw))
        try:
            return stock(self, *args, **kw)
        finally:
            _object_changed(*place_of(*args, **kw))

    setattr(S3Backend, name, changing)


def _report_at_the_end(name: str) -> None:
    """Report again what a request touched: moto sets metadata after it has put an object."""
    stock = getattr(S3Response, name)

    def respond(self: S3Response, *args: Any, **kw: Any) -> Any:
        touched: set[tuple[str, str]] = set()
        _REQUEST.touched = touched
        try:
            return stock(self, *args, **kw)
        finally:
            _REQUEST.touched = None
            for place in touched:
                _object_changed(*place)

    setattr(S3Response, name, respond)
