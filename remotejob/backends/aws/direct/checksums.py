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


class _Sum(Protocol):
    """As hashlib has them."""

    def update(self, data: Any, /) -> None: ...

    def digest(self) -> bytes: ...


class _Crc32:
    """As hashlib would have it."""

    def __init__(self) -> None:
        self._sum = 0

    def update(self, data: Any, /) -> None:
        self._sum = zlib.crc32(data, self._sum)

    def digest(self) -> bytes:
        return self._sum.to_bytes(4, "big")


_SUMS: Final[Mapping[str, Callable[[], _Sum]]] = {
    "crc32": _Crc32,
    "sha1": partial(hashlib.sha1, usedforsecurity=False),
    "sha256": hashlib.sha256,
}
"""Those that botocore, too, can work out without a compiled library of its own."""


class Check:
    """Whether content is what was stored, once all of it was added."""

    def __init__(self, sum_: _Sum, told: str) -> None:
        """`told` is in base64, as headers have it."""
        self._sum = sum_
        self._told = told

    def add(self, content: Any) -> None:
        self._sum.update(content)

    @property
    def holds(self) -> bool:
        return _written(self._sum) == self._told


def check_of(headers: Mapping[str, str]) -> Check | None:
    """What an answer says of all of its content, by headers in lower case.

    Of files that came in parts, S3 may know checksums of the parts alone.
    """
    if headers.get("x-amz-checksum-type") == "COMPOSITE":
        return None
    for name, make in _SUMS.items():
        told = headers.get(f"x-amz-checksum-{name}")
        if told is not None and "-" not in told:
            return Check(make(), told)
    return None


def crc32_of(content: bytes) -> str:
    """As the header has it."""
    made = _Crc32()
    made.update(content)
    return _written(made)


def _written(sum_: _Sum) -> str:
    return base64.b64encode(sum_.digest()).decode()
