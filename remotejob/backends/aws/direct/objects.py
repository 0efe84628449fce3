"""Files of S3, asked for without boto3's client, as far as all is well.

What is not plainly well goes boto3's way: whoever is told None has its client asked, which tries
again, follows redirects and knows what each error means. So there is nothing of that here but a
second try where a kept connection had been closed, and no answer but boto3's where there is any
doubt.

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
    """Where the files of a bucket are asked for."""

    sender: Sender
    path: str
    """Of the bucket, with a slash at its end."""


class DirectObjects:
    """Gets and puts files of the buckets it knows. Safe across threads."""

    def __init__(self, places: Mapping[str, Place], *, read_s: float) -> None:
        """`read_s` is how long each part of an answer is waited for."""
        self._places = places
        self._read_s = read_s

    def get(self, bucket: str, key: str, *, version: str | None) -> io.RawIOBase | None:
        """A file's content, to be read once and closed; None: ask boto3's client.

        Reading raises ConnectionError, when it ends before its length or is not what was stored.
        """
        place = self._places.get(bucket)
        if place is None or not key:
            return None
        which = "" if version is None else f"?versionId={quote(version, safe='')}"
        headers = {BODY_HASH: _NOTHING, "x-amz-checksum-mode": "ENABLED"}
        request = Request("GET", f"{_target(place, key)}{which}", headers, b"")
        opened = _answered(lambda: place.sender.open("GetObject", request, read_s=self._read_s))
        if opened is None:
            return None
        if opened.status_code != 200:
            opened.body.close()
            return None
        size = opened.headers.get("content-length")
        return _Sound(
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
    ) -> Mapping[str, str] | None:
        """The headers of the answer, by names in lower case; None: ask boto3's client.

        `metadata` are as `domain.metadata.encoded` makes them.
        """
        place = self._places.get(bucket)
        if place is None or not key or not _plain(content_type):
            return None
        headers = {
            BODY_HASH: sha256(body).hexdigest(),
            "x-amz-sdk-checksum-algorithm": "CRC32",
            "x-amz-checksum-crc32": crc32_of(body),
            **({} if content_type is None else {"Content-Type": content_type}),
            **{f"x-amz-meta-{name}": value for name, value in metadata.items()},
        }
        request = Request("PUT", _target(place, key), headers, body)
        answer = _answered(lambda: place.sender.ask("PutObject", request, read_s=self._read_s))
        if answer is None:
            return None
        told = {name.lower(): value for name, value in answer.headers.items()}
        return told if answer.status_code == 200 and "etag" in told else None


class _Sound(io.RawIOBase):
    """A file's content, whose checksum is looked at when all of it was read."""

    def __init__(
        self, body: io.RawIOBase | io.BytesIO, *, size: int | None, check: Check | None
    ) -> None:
        """`size` is where the content ends, if that is known before it does."""
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
            # whoever knows the size reads no further
            ended = count == 0 if self._left is None else self._left == 0
            if ended and not self._check.holds:
                raise ConnectionError("the file came to harm: its checksum is another")
        return count

    def close(self) -> None:
        self._body.close()
        super().close()


def _answered(request: Callable[[], T]) -> T | None:
    """What a request is answered; None where it is not."""
    try:
        try:
            return request()
        except ConnectionClosedError:
            # S3 closes connections that were not used for a while, perhaps at this very moment
            return request()
    except BotoCoreError:
        return None


def _target(place: Place, key: str) -> str:
    return place.path + quote(key)


def _plain(content_type: str | None) -> bool:
    """Whether it can stand in a header, and be signed, as it is."""
    return content_type is None or (
        content_type.isascii()
        and content_type.isprintable()
        and " ".join(content_type.split()) == content_type
    )
