"""SQS messages as rows, and back.

A message in flight is visible at once after a start: most of those that received one ended with
the embedded AWS. Its receipt handle stays valid, for others, until it is received again.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from moto.sqs.models import Message

_BINARY = "BinaryValue"
_FIELDS = (
    "sender_id",
    "approximate_first_receive_timestamp",
    "approximate_receive_count",
    "deduplication_id",
    "group_id",
    "sequence_number",
    "receipt_handle",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A message at one moment. Nothing that it refers to is changed later."""

    message: Message
    fields: tuple[Any, ...]
    returns_at: float

    def saved(self) -> tuple[int, str]:
        """When the message was sent, in Unix milliseconds, and everything about it, as JSON."""
        content = {
            **dict(zip(_FIELDS, self.fields, strict=True)),
            "id": self.message.id,
            "body": self.message.body,
            "sent_timestamp": self.message.sent_timestamp,
            "message_attributes": dict(_encoded(self.message.message_attributes)),
            "system_attributes": dict(_encoded(self.message.system_attributes)),
            "returns_at": self.returns_at,
        }
        return int(self.message.sent_timestamp or 0), json.dumps(content)


def row(message: Message, *, returns_at: float) -> Row:
    """The row of a message, which is visible from `returns_at` on (Unix time)."""
    fields = tuple(getattr(message, name) for name in _FIELDS)
    return Row(message=message, fields=fields, returns_at=returns_at)


def message_of(content: dict[str, Any]) -> Message:
    """The message of a row; ready, unless it has yet to be received for the first time."""
    message = Message(content["id"], content["body"], dict(_decoded(content["system_attributes"])))
    message.sent_timestamp = content["sent_timestamp"]
    message.message_attributes = dict(_decoded(content["message_attributes"]))
    for name in _FIELDS:
        setattr(message, name, content[name])
    if not message.approximate_receive_count and content["returns_at"] > time.time():
        message.delayed_until = content["returns_at"] * 1000
    return message


def _encoded(attributes: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, value in attributes.items():
        raw = value.get(_BINARY)
        yield (
            name,
            {**value, _BINARY: {"base64": base64.b64encode(raw).decode()}}
            if isinstance(raw, bytes)
            else value,
        )


def _decoded(attributes: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, value in attributes.items():
        raw = value.get(_BINARY)
        yield (
            name,
            {**value, _BINARY: base64.b64decode(raw["base64"])} if isinstance(raw, dict) else value,
        )
