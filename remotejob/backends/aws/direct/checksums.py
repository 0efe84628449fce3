"""Checksums of files in S3.

Source: Amazon S3 User Guide, "Checking object integrity in Amazon S3".
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, Protocol


class _Hash(Protocol):
    """The part of hashlib's objects that we use."""

    def update(self, data: Any, /) -> None: ...

    def digest(self) -> bytes: ...


class _Crc32:
    """CRC-32 with the interface of hashlib."""

    def __init__(self) -> None:
        self._sum = 0

    def update(self, data: Any, /) -> None:
        self._sum = zlib.crc32(data, self._sum)

    def digest(self) -> bytes:
        return self._sum.to_bytes(4, "big")


_HASHES: Final[Mapping[str, Callable[[], _Hash]]] = {
    "crc32": _Crc32,
    "sha1": partial(hashlib.sha1, usedforsecurity=False),
    "sha256": hashlib.sha256,
}
"""The algorithms that botocore also computes without the compiled awscrt."""


class Check:
    """Compares downloaded content with its checksum."""

    def __init__(self, digest: _Hash, expected: str) -> None:
        """`expected` is in base64, as in the header."""
        self._digest = digest
        self._expected = expected

    def add(self, content: Any) -> None:
        self._digest.update(content)

    @property
    def holds(self) -> bool:
        """Whether the content added so far has the expected checksum."""
        return _base64(self._digest) == self._expected


def check_of(headers: Mapping[str, str]) -> Check | None:
    """The check of a response's content, or None if there is no usable checksum.

    Header names are in lower case. For a multipart upload, S3 may know only checksums of the parts.
    """
    if headers.get("x-amz-checksum-type") == "COMPOSITE":
        return None
    for name, make in _HASHES.items():
        expected = headers.get(f"x-amz-checksum-{name}")
        if expected is not None and "-" not in expected:
            return Check(make(), expected)
    return None


def crc32_of(content: bytes) -> str:
    """The value for the header `x-amz-checksum-crc32`."""
    digest = _Crc32()
    digest.update(content)
    return _base64(digest)


def _base64(digest: _Hash) -> str:
    return base64.b64encode(digest.digest()).decode()
