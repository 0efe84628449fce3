"""Gets and puts files in S3 without a boto3 client.

This handles only success. On anything else it returns None, and the caller uses boto3's client,
which retries, follows redirects and interprets errors. The only retry here is for an idle
connection that S3 had closed.

Source: Amazon S3 API Reference, "GetObject" and "PutObject".
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, TypeVar
from urllib.parse import quote

from botocore.exceptions import BotoCoreError, ConnectionClosedError

from remotejob.backends.aws.direct.checksums import Check, check_of, crc32_of
from remotejob.backends.aws.direct.connections import Request
from remotejob.backends.aws.direct.sender import Sender
from remotejob.backends.aws.direct.signing import BODY_HASH

T = TypeVar("T")

_NOTHING: Final = sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True)
class Place:
    """Where to send requests for a bucket."""

    sender: Sender
    path: str
    """The bucket's path, ending in a slash."""


class DirectObjects:
    """Gets and puts files of the given buckets. Thread-safe."""

    def __init__(self, places: Mapping[str, Place], *, read_s: float) -> None:
        """`read_s` limits the wait for each part of a response."""
        self._places = places
        self._read_s = read_s

    def get(self, bucket: str, key: str, *, version: str | None) -> io.RawIOBase | None:
        """A file's content, to be read once and closed. None: use boto3's client.

        Reading raises ConnectionError when the content ends early or fails its checksum.
        """
        place = self._places.get(bucket)
        if place is None or not key:
            return None
        which = "" if version is None else f"?versionId={quote(version, safe='')}"
        headers = {BODY_HASH: _NOTHING, "x-amz-checksum-mode": "ENABLED"}
        request = Request("GET", f"{_target(place, key)}{which}", headers, b"")
        opened = _attempted(lambda: place.sender.open("GetObject", request, read_s=self._read_s))
        if opened is None:
            return None
        if opened.status_code != 200:
            opened.body.close()
            return None
        size = opened.headers.get("content-length")
        return _VerifiedBody(
            opened.body,
            size=None if size is None else int(size),
            check=check_of(opened.headers),
        )

    def put(
        self,
        bucket: str,
        key: str,
        body: bytes,
        *,
        content_type: str | None,
        metadata: Mapping[str, str],
        only_new: bool = False,
    ) -> Mapping[str, str] | None:
        """The headers of the response, with names in lower case. None: use boto3's client.

        `metadata` must be encoded with `domain.metadata.encoded`. `only_new` stores it only where
        there is no file yet.
        """
        place = self._places.get(bucket)
        if place is None or not key or not _is_header_safe(content_type):
            return None
        headers = {
            BODY_HASH: sha256(body).hexdigest(),
            "x-amz-sdk-checksum-algorithm": "CRC32",
            "x-amz-checksum-crc32": crc32_of(body),
            **({} if content_type is None else {"Content-Type": content_type}),
            **({"If-None-Match": "*"} if only_new else {}),
            **{f"x-amz-meta-{name}": value for name, value in metadata.items()},
        }
        request = Request("PUT", _target(place, key), headers, body)
        answer = _attempted(lambda: place.sender.ask("PutObject", request, read_s=self._read_s))
        if answer is None:
            return None
        received = {name.lower(): value for name, value in answer.headers.items()}
        return received if answer.status_code == 200 and "etag" in received else None


class _VerifiedBody(io.RawIOBase):
    """A file's content, whose checksum is verified at its end."""

    def __init__(
        self, body: io.RawIOBase | io.BytesIO, *, size: int | None, check: Check | None
    ) -> None:
        """`size` is the content's length, if known in advance."""
        self._body = body
        self._left = size
        self._check = check

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._body.readinto(buffer) or 0
        if self._left is not None:
            self._left -= count
        if self._check is not None:
            self._check.add(memoryview(buffer)[:count])
            # callers who know the size never read the empty end
            ended = count == 0 if self._left is None else self._left == 0
            if ended and not self._check.holds:
                raise ConnectionError("the download is damaged: it does not match its checksum")
        return count

    def close(self) -> None:
        self._body.close()
        super().close()


def _attempted(request: Callable[[], T]) -> T | None:
    """The response to a request; None if there is none."""
    try:
        try:
            return request()
        except ConnectionClosedError:
            # S3 closes idle connections, and may do so just as we send
            return request()
    except BotoCoreError:
        return None


def _target(place: Place, key: str) -> str:
    return place.path + quote(key)


def _is_header_safe(content_type: str | None) -> bool:
    """Whether it can be sent in a header and signed without encoding."""
    return content_type is None or (
        content_type.isascii()
        and content_type.isprintable()
        and " ".join(content_type.split()) == content_type
    )
