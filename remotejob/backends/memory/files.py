"""Files in memory."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from remotejob.ports import Area, Stored

_PIECE: Final = 1 << 20


class MemoryFiles:
    """An `ObjectStore` in memory; every version is kept."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._versions: dict[tuple[str, str], list[bytes]] = {}

    def put(
        self,
        area: Area,
        key: str,
        body: bytes | BinaryIO,
        *,
        content_type: str | None = None,  # noqa: ARG002 (nobody reads it back)
    ) -> Stored:
        pieces = [body] if isinstance(body, bytes) else iter(lambda: body.read(_PIECE), b"")
        content = b"".join(pieces)
        with self._lock:
            versions = self._versions.setdefault((self.bucket(area), key), [])
            versions.append(content)
            return Stored(
                bucket=self.bucket(area),
                key=key,
                size=len(content),
                etag=hashlib.md5(content, usedforsecurity=False).hexdigest(),
                version=str(len(versions)),
            )

    def open(self, bucket: str, key: str, *, version: str | None = None) -> BinaryIO:
        with self._lock:
            versions = self._versions.get((bucket, key), [])
            number = len(versions) if version is None else int(version)
            if not 0 < number <= len(versions):
                raise FileNotFoundError(f"no file {key!r} in {bucket!r}")
            return io.BytesIO(versions[number - 1])

    def download(self, bucket: str, key: str, to: Path, *, version: str | None = None) -> None:
        with self.open(bucket, key, version=version) as stream:
            to.write_bytes(stream.read())

    def bucket(self, area: Area) -> str:
        return f"memory-{area}"

    def keys(self, area: Area, prefix: str) -> Iterator[str]:
        with self._lock:
            found = sorted(key for bucket, key in self._versions if bucket == self.bucket(area))
        return (key for key in found if key.startswith(prefix))

    def delete(self, area: Area, keys: Iterable[str]) -> None:
        with self._lock:
            for key in keys:
                self._versions.pop((self.bucket(area), key), None)
