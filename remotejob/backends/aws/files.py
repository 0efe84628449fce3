"""Files in S3."""

from __future__ import annotations

import io
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final
from uuid import uuid4

from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    FlexibleChecksumError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from urllib3.exceptions import ProtocolError

from remotejob.backends.aws.access_errors import DENIED, access_problem
from remotejob.backends.aws.direct.objects import DirectObjects
from remotejob.backends.aws.parts import put_parts
from remotejob.backends.aws.unreadable import unreadable
from remotejob.domain.metadata import decoded, encoded
from remotejob.ports import Area, Stored

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MULTIPART_FROM: Final = 16 * 1024 * 1024
"""Bytes. Larger files are uploaded in parts, smaller ones in one request."""

_SMALL: Final = 1024 * 1024
"""Bytes. Files up to this size are read into memory and sent without boto3's client."""

_WRITE: Final = "remotejob-write"
"""Metadata of a file that was written once: the token of the write."""

_BUFFER: Final = 1024 * 1024
_DELETES_IN_A_BATCH: Final = 1000
_NOT_IN_XML: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
"""Characters of a key that the XML of a request for many keys cannot carry.
Source: XML 1.0, 2.2, "Characters"."""
_DOWNLOAD_TRIES: Final = 3
_GONE: Final = (
    "NoSuchKey",
    "NoSuchVersion",
    "404",
    # this version is a delete marker
    "MethodNotAllowed",
)
_BROKEN_STREAM: Final = (
    ConnectionClosedError,
    FlexibleChecksumError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)


class _CheckedBody(io.RawIOBase):
    """A response body that raises if it ends early.

    In a `with` block, botocore's stream hands out the connection beneath it, which ends silently
    when the connection breaks: a task would work on half a file.
    """

    def __init__(self, body: Any) -> None:
        self._body = body

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Raises: ConnectionError, when the body ends before its length."""
        try:
            content = self._body.read(len(buffer))
        except (*_BROKEN_STREAM, ProtocolError) as problem:
            raise ConnectionError(f"the download broke off: {problem}") from problem
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        self._body.close()
        super().close()


class S3Files:
    """An `ObjectStore` in two buckets."""

    def __init__(
        self,
        connect: Callable[[], S3Client],
        buckets: Mapping[Area, str],
        *,
        direct: DirectObjects | None = None,
    ) -> None:
        """`connect` creates the boto3 client on first use; `direct` is tried before it."""
        self._connect = connect
        self._direct = direct
        self._lock = threading.Lock()
        self._connected: S3Client | None = None
        self._buckets = buckets

    @property
    def _client(self) -> S3Client:
        with self._lock:
            if self._connected is None:
                self._connected = self._connect()
            return self._connected

    def put(
        self,
        area: Area,
        key: str,
        body: bytes | BinaryIO,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        once: str | None = None,
    ) -> Stored:
        bucket = self._buckets[area]
        size = len(body) if isinstance(body, bytes) else _size_left(body)
        metadata = encoded({**(metadata or {}), **({} if once is None else {_WRITE: once})})
        if self._direct is not None and size is not None and size <= _SMALL:
            body = body if isinstance(body, bytes) else body.read()
            headers = self._direct.put(
                bucket,
                key,
                body,
                content_type=content_type,
                metadata=metadata,
                only_new=once is not None,
            )
            if headers is not None:
                version = headers.get("x-amz-version-id")
                return _stored(bucket, key, len(body), etag=headers["etag"], version=version)
            size = len(body)
        extra: dict[str, Any] = {} if content_type is None else {"ContentType": content_type}
        if metadata:
            extra["Metadata"] = metadata
        if once is not None:
            return self._put_once(bucket, key, body, size=size, once=once, extra=extra)
        if size is not None and size < MULTIPART_FROM:
            answer = self._client.put_object(Bucket=bucket, Key=key, Body=body, **extra)
            return _stored_as(bucket, key, size, answer)
        stream = io.BytesIO(body) if isinstance(body, bytes) else body
        # imported here, because it is slow to import and small files do not need it
        from boto3.s3.transfer import TransferConfig

        transfer = TransferConfig(multipart_threshold=MULTIPART_FROM, max_concurrency=4)
        self._client.upload_fileobj(stream, bucket, key, ExtraArgs=extra, Config=transfer)
        # the transfer returns no version; nobody else writes this job's or run's key
        head = self._client.head_object(Bucket=bucket, Key=key)
        return _stored_as(bucket, key, head["ContentLength"], head)

    def _put_once(
        self,
        bucket: str,
        key: str,
        body: bytes | BinaryIO,
        *,
        size: int | None,
        once: str,
        extra: Mapping[str, Any],
    ) -> Stored:
        """Store a file where there is none, or find that this write has done so already.

        Raises: FileExistsError. Source: Amazon S3 User Guide, "How to prevent object overwrites
        with conditional writes".
        """
        try:
            if size is not None and size < MULTIPART_FROM:
                answer = self._client.put_object(
                    Bucket=bucket, Key=key, Body=body, IfNoneMatch="*", **extra
                )
                return _stored_as(bucket, key, size, answer)
            stream = io.BytesIO(body) if isinstance(body, bytes) else body
            put_parts(self._client, bucket, key, stream, size=size, extra=extra)
        except ClientError as refusal:
            if refusal.response["Error"]["Code"] != "PreconditionFailed":
                raise
        head = self._client.head_object(Bucket=bucket, Key=key)
        if head["Metadata"].get(_WRITE) != once:
            raise FileExistsError(f"there is a file {key!r} in bucket {bucket!r}")
        return _stored_as(bucket, key, head["ContentLength"], head)

    def describe(self, area: Area, key: str) -> Stored:
        bucket = self._buckets[area]
        try:
            head = self._client.head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                raise FileNotFoundError(f"no file {key!r} in bucket {bucket!r}") from None
            raise
        metadata = decoded(head["Metadata"])
        metadata.pop(_WRITE, None)
        return replace(
            _stored_as(bucket, key, head["ContentLength"], head),
            content_type=head.get("ContentType"),
            metadata=metadata,
        )

    def open(self, bucket: str, key: str, *, version: str | None = None) -> BinaryIO:
        if self._direct is not None:
            body = self._direct.get(bucket, key, version=version)
            if body is not None:
                return io.BufferedReader(body, _BUFFER)
        return io.BufferedReader(_CheckedBody(self._get(bucket, key, version)["Body"]), _BUFFER)

    def download(self, bucket: str, key: str, to: Path, *, version: str | None = None) -> None:
        # boto3's own download would first request the size
        for left in reversed(range(_DOWNLOAD_TRIES)):
            part = to.with_name(f".part-{uuid4().hex}")
            try:
                with self.open(bucket, key, version=version) as body, part.open("xb") as file:
                    shutil.copyfileobj(body, file, _BUFFER)
                part.replace(to)
            except ConnectionError:
                if not left:
                    raise
            else:
                return
            finally:
                part.unlink(missing_ok=True)

    def bucket(self, area: Area) -> str:
        return self._buckets[area]

    def keys(self, area: Area, prefix: str) -> Iterator[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._buckets[area], Prefix=prefix
        )
        for page in pages:
            for found in page.get("Contents", []):
                yield found["Key"]

    def delete(self, area: Area, keys: Iterable[str]) -> None:
        left = iter(self._deleted_alone(area, keys))
        while batch := list(islice(left, _DELETES_IN_A_BATCH)):
            answer = self._client.delete_objects(
                Bucket=self._buckets[area],
                Delete={"Objects": [{"Key": key} for key in batch], "Quiet": True},
            )
            for error in answer.get("Errors", []):
                key, code = error.get("Key", ""), error.get("Code", "")
                if code in DENIED:
                    raise access_problem("s3:DeleteObject", code, error.get("Message", ""), on=key)
                raise PermissionError(f"cannot delete {key}: {error.get('Message')}")

    def _deleted_alone(self, area: Area, keys: Iterable[str]) -> Iterator[str]:
        """Delete the keys that XML, and so a list of keys to delete, cannot have; yield the rest.

        Source: Amazon S3 User Guide, "Naming Amazon S3 objects", XML-related constraints.
        """
        for key in keys:
            if _NOT_IN_XML.search(key) is None:
                yield key
            else:
                self._client.delete_object(Bucket=self._buckets[area], Key=key)

    def _get(self, bucket: str, key: str, version: str | None) -> Any:
        which: dict[str, Any] = {} if version is None else {"VersionId": version}
        try:
            return self._client.get_object(Bucket=bucket, Key=key, **which)
        except ClientError as error:
            if error.response["Error"]["Code"] in _GONE:
                at = "" if version is None else f" (version {version})"
                raise FileNotFoundError(f"no file {key!r}{at} in bucket {bucket!r}") from None
            cause = unreadable(error.response, bucket=bucket, key=key, version=version)
            if cause is not None:
                raise cause from error
            raise


def _stored_as(bucket: str, key: str, size: int, answer: Any) -> Stored:
    """What boto3's client stored, from its response."""
    return _stored(bucket, key, size, etag=answer["ETag"], version=answer.get("VersionId"))


def _stored(bucket: str, key: str, size: int, *, etag: str, version: str | None) -> Stored:
    return Stored(
        bucket=bucket,
        key=key,
        size=size,
        etag=etag.strip('"'),
        # S3 calls the one version of an unversioned object "null"
        version=None if version == "null" else version,
    )


def _size_left(stream: BinaryIO) -> int | None:
    """Bytes from the stream's position to its end, or None if it cannot seek."""
    # some streams have nothing but read
    if not (hasattr(stream, "seekable") and stream.seekable()):
        return None
    here = stream.tell()
    end = stream.seek(0, os.SEEK_END)
    stream.seek(here)
    return end - here
