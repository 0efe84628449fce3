"""What S3's pages forbid, and its model does not say; and the requests we send without boto3.

Source: Amazon S3 User Guide, "Naming Amazon S3 objects", "Working with object metadata"; Amazon S3
API Reference, "PutObject", "DeleteObjects".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

import botocore.session

Request = Mapping[str, Any]

_MOST_KEY_BYTES: Final = 1024
_MOST_METADATA_BYTES: Final = 2048
_MOST_DELETED: Final = 1000
_MOST_PUT_BYTES: Final = 5 * 1024**3
_METADATA: Final = "x-amz-meta-"
_OF_EVERY_REQUEST: Final = frozenset(
    {"authorization", "host", "user-agent", "content-length", "x-amz-content-sha256", "x-amz-date",
     "x-amz-security-token"}
)  # fmt: skip


def faults(operation: str, request: Request) -> list[str]:
    """What the request does that the pages forbid."""
    found = [*_key_faults(request.get("Key"), operation)]
    metadata = request.get("Metadata", {})
    size = sum(len(name.encode()) + len(value.encode()) for name, value in metadata.items())
    if size > _MOST_METADATA_BYTES:
        found.append(f"{operation} has {size:,} bytes of metadata, more than 2,048")
    found += [
        f"{operation} has metadata that is not ASCII: {name!r:.80}"
        for name, value in metadata.items()
        if not (name.isascii() and value.isascii())
    ]
    if operation == "DeleteObjects":
        named = [one["Key"] for one in request["Delete"]["Objects"]]
        if not 1 <= len(named) <= _MOST_DELETED:
            found.append(f"DeleteObjects names {len(named)} files, and not 1 to {_MOST_DELETED}")
        for key in named:
            found += _key_faults(key, operation)
    return found


def parameters(
    operation: str, method: str, url: str, headers: Mapping[str, str], body: Any, *, bucket: str
) -> tuple[dict[str, Any], list[str]]:
    """The parameters of a request that was built without botocore, and what its model misses."""
    model = _MODEL.operation_model(operation)
    found = []
    if method != model.http["method"]:
        found.append(f"{operation} is sent with {method}, and not with {model.http['method']}")
    by_place: dict[tuple[str, str], tuple[str, Any]] = {}
    shape: Any = model.input_shape
    for name, member in shape.members.items():
        location = member.serialization.get("location")
        if location in ("header", "querystring"):
            by_place[location, _known(location, member.serialization["name"])] = (name, member)
    parts = urlsplit(url)
    path = unquote(parts.path).removeprefix("/")
    given: dict[str, Any] = {"Bucket": bucket, "Key": path.removeprefix(f"{bucket}/")}
    sent = [("header", name, value) for name, value in headers.items()]
    sent += [("querystring", name, value) for name, value in parse_qsl(parts.query)]
    for location, name, value in sent:
        lowered, text = _known(location, name), str(value)
        if lowered.startswith(_METADATA):
            given.setdefault("Metadata", {})[lowered.removeprefix(_METADATA)] = text
        elif (location, lowered) in by_place:
            member_name, member = by_place[location, lowered]
            given[member_name] = int(text) if member.type_name in ("long", "integer") else text
        elif lowered not in _OF_EVERY_REQUEST:
            found.append(f"{operation} has the {location} {name}, which its model does not know")
    if len(body or b"") > _MOST_PUT_BYTES:
        found.append(f"{operation} has {len(body):,} bytes")
    return given, found


def _known(location: str, name: str) -> str:
    """Headers have no case, and the query has one."""
    return name.lower() if location == "header" else name


def _key_faults(key: str | None, place: str) -> Iterator[str]:
    if key is None:
        return
    size = len(key.encode(errors="surrogatepass"))
    if not 1 <= size <= _MOST_KEY_BYTES:
        yield f"{place} is for a key of {size:,} bytes, and not of 1 to {_MOST_KEY_BYTES:,}"
    if not key.isprintable() and any(0xD800 <= ord(letter) <= 0xDFFF for letter in key):
        yield f"{place} is for a key that is no UTF-8"


_MODEL: Final = botocore.session.get_session().get_service_model("s3")
