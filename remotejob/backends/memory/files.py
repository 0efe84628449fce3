"""Files in memory."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final
from uuid import uuid4

from remotejob.ports import Area, Stored

_PIECE: Final = 1 << 20

_DEFAULT_TYPE: Final = "binary/octet-stream"
"""S3's type for a file uploaded without one."""


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    stored: Stored


class MemoryFiles:
    """An `ObjectStore` in memory. In the input area, versions outlive a delete, as in S3."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._versions: dict[tuple[str, str], list[_File]] = {}
        self._deleted: set[tuple[str, str]] = set()
        """Keys without a current version."""
        self._tokens: dict[tuple[str, str], str | None] = {}
        """Of the writes of the current versions."""

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
        pieces = [body] if isinstance(body, bytes) else iter(lambda: body.read(_PIECE), b"")
        content = b"".join(pieces)
        with self._lock:
            where = (self.bucket(area), key)
            versions = self._versions.setdefault(where, [])
            if once is not None and versions and where not in self._deleted:
                if self._tokens.get(where) != once:
                    raise FileExistsError(f"there is a file {key!r} in bucket {where[0]!r}")
                return versions[-1].stored
            stored = Stored(
                bucket=self.bucket(area),
                key=key,
                size=len(content),
                etag=hashlib.md5(content, usedforsecurity=False).hexdigest(),
                version=str(len(versions) + 1),
                content_type=content_type or _DEFAULT_TYPE,
                metadata=dict(metadata or {}),
            )
            versions.append(_File(content, stored))
            self._deleted.discard(where)
            self._tokens[where] = once
            return stored

    def describe(self, area: Area, key: str) -> Stored:
        return self._file(self.bucket(area), key, None).stored

    def open(self, bucket: str, key: str, *, version: str | None = None) -> BinaryIO:
        return io.BytesIO(self._file(bucket, key, version).content)

    def download(self, bucket: str, key: str, to: Path, *, version: str | None = None) -> None:
        content = self._file(bucket, key, version).content
        part = to.with_name(f".part-{uuid4().hex}")
        try:
            part.write_bytes(content)
            part.replace(to)
        finally:
            part.unlink(missing_ok=True)

    def bucket(self, area: Area) -> str:
        return f"memory-{area}"

    def keys(self, area: Area, prefix: str) -> Iterator[str]:
        with self._lock:
            there = self._versions.keys() - self._deleted
            found = sorted(key for bucket, key in there if bucket == self.bucket(area))
        return (key for key in found if key.startswith(prefix))

    def delete(self, area: Area, keys: Iterable[str]) -> None:
        with self._lock:
            for key in keys:
                where = (self.bucket(area), key)
                if area is not Area.INPUT:
                    self._versions.pop(where, None)
                elif where in self._versions:
                    self._deleted.add(where)

    def expire(self, area: Area, key: str) -> None:
        """Remove all versions of a file, as a bucket's lifecycle rule eventually does."""
        with self._lock:
            self._versions.pop((self.bucket(area), key), None)
            self._deleted.discard((self.bucket(area), key))

    def _file(self, bucket: str, key: str, version: str | None) -> _File:
        with self._lock:
            versions = self._versions.get((bucket, key), [])
            number = len(versions) if version is None else int(version)
            gone = version is None and (bucket, key) in self._deleted
            if gone or not 0 < number <= len(versions):
                raise FileNotFoundError(f"no file {key!r} in {bucket!r}")
            return versions[number - 1]
