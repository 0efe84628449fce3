"""What SQS's pages forbid, and its model does not say: it has no limits at all.

Source: Amazon SQS API Reference, "SendMessage", "SendMessageBatch", "ReceiveMessage",
"DeleteMessageBatch", "ChangeMessageVisibilityBatch"; Amazon SQS Developer Guide, "Amazon SQS
message quotas" and "Amazon SQS message metadata".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

Request = Mapping[str, Any]

_MOST_BYTES: Final = 1024 * 1024
_MOST_ENTRIES: Final = 10
_MOST_ATTRIBUTES: Final = 10
_SPANS: Final = {
    "DelaySeconds": (0, 900),
    "VisibilityTimeout": (0, 43_200),
    "WaitTimeSeconds": (0, 20),
    "MaxNumberOfMessages": (1, 10),
}
_REFUSED_CHARACTER: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ENTRY_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,80}")
_GROUP: Final = re.compile(r"[A-Za-z0-9!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]{1,128}")
_NAME: Final = re.compile(r"(?!(?i:aws\.|amazon\.))(?!\.)(?!.*\.\.)[A-Za-z0-9_.-]{1,256}(?<!\.)")
_TYPE: Final = re.compile(r"(String|Number|Binary)(\.[^\s]+)?")


def faults(operation: str, request: Request) -> list[str]:
    """What the request does that the pages forbid."""
    check = _CHECKS.get(operation)
    if check is None:
        return []
    return [*_span_faults(request, operation), *check(request, operation)]


def _send(request: Request, place: str) -> Iterator[str]:
    yield from _message_faults(request, place)
    yield from _size_faults(_message_bytes(request), place)


def _send_batch(request: Request, place: str) -> Iterator[str]:
    yield from _entry_faults(request, place)
    for entry in request["Entries"]:
        yield from _message_faults(entry, place)
    yield from _size_faults(sum(map(_message_bytes, request["Entries"])), place)


def _with_receipt(request: Request, place: str) -> Iterator[str]:
    if not request["ReceiptHandle"]:
        yield f"{place} has no receipt handle"


def _with_receipts(request: Request, place: str) -> Iterator[str]:
    yield from _entry_faults(request, place)
    for entry in request["Entries"]:
        yield from _with_receipt(entry, place)


def _receive(request: Request, place: str) -> Iterator[str]:
    names = [*request.get("MessageAttributeNames", ())]
    for name in names:
        if name not in ("All", ".*") and not _NAME.fullmatch(name.removesuffix(".*")):
            yield f"{place} asks for the attribute {name!r:.80}"


def _message_faults(message: Request, place: str) -> Iterator[str]:
    body = message["MessageBody"]
    if not body:
        yield f"{place}: a message has no body"
    if refused := _REFUSED_CHARACTER.search(body):
        yield f"{place}: a message has the character {refused[0]!a}"
    group = message.get("MessageGroupId")
    if group is not None and not _GROUP.fullmatch(group):
        yield f"{place}: {group!r:.80} is no message group"
    given = message.get("MessageAttributes", {})
    if len(given) > _MOST_ATTRIBUTES:
        yield f"{place}: a message has {len(given)} attributes, more than {_MOST_ATTRIBUTES}"
    for name, value in given.items():
        if not _NAME.fullmatch(name):
            yield f"{place}: {name!r:.80} is no name of an attribute"
        if not _TYPE.fullmatch(value["DataType"]):
            yield f"{place}: {value['DataType']!r:.80} is no type of an attribute"
        content = value.get("StringValue", value.get("BinaryValue"))
        if not content:
            yield f"{place}: the attribute {name} is empty"


def _entry_faults(request: Request, place: str) -> Iterator[str]:
    entries = request["Entries"]
    if not 1 <= len(entries) <= _MOST_ENTRIES:
        yield f"{place} has {len(entries)} entries, and not 1 to {_MOST_ENTRIES}"
    ids = [entry["Id"] for entry in entries]
    if len(ids) != len(set(ids)):
        yield f"{place} has an id twice: {ids}"
    for one in ids:
        if not _ENTRY_ID.fullmatch(one):
            yield f"{place} has an entry with the id {one!r:.80}"
    for entry in entries:
        yield from _span_faults(entry, place)


def _span_faults(request: Request, place: str) -> Iterator[str]:
    for name, (least, most) in _SPANS.items():
        value = request.get(name)
        if value is not None and not least <= value <= most:
            yield f"{place}.{name} is {value}, and not {least} to {most}"


def _size_faults(size: int, place: str) -> Iterator[str]:
    if size > _MOST_BYTES:
        yield f"{place} has {size:,} bytes, more than {_MOST_BYTES:,}"


def _message_bytes(message: Request) -> int:
    return len(message["MessageBody"].encode(errors="surrogatepass")) + sum(
        len(name.encode())
        + len(value["DataType"])
        + len(value.get("StringValue", "").encode())
        + len(value.get("BinaryValue", b""))
        for name, value in message.get("MessageAttributes", {}).items()
    )


_CHECKS: Final[Mapping[str, Callable[[Request, str], Iterator[str]]]] = {
    "SendMessage": _send,
    "SendMessageBatch": _send_batch,
    "ReceiveMessage": _receive,
    "DeleteMessage": _with_receipt,
    "DeleteMessageBatch": _with_receipts,
    "ChangeMessageVisibility": _with_receipt,
    "ChangeMessageVisibilityBatch": _with_receipts,
}
