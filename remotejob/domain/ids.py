"""Job ids, run ids, and the partition of a record, which follows from its id.

A job id is a ULID: 48 bits of milliseconds and 80 bits that distinguish jobs of one millisecond,
in 26 characters that sort by time. The id alone gives the record's partition, so no lookup is
needed, and neither is an index for a listing newest first.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Final

from remotejob.names import SHARDS

Entropy = Callable[[int], bytes]
"""Returns that many random bytes: `os.urandom`, or a seeded source in tests."""

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUE: Final = {letter: value for value, letter in enumerate(_ALPHABET)}
_JOB_ID: Final = re.compile(f"[0-6][{_ALPHABET}]{{25}}")
"""A ULID up to the year 9774: Python has no dates for much later ones."""
_TIME_LETTERS: Final = 10


def new_job_id(now_ms: int, entropy: Entropy) -> str:
    """A new id for a job made at `now_ms`."""
    return _ulid(now_ms, entropy(10))


def upload_job_id(event_ms: int, *, bucket: str, key: str, version: str) -> str:
    """The job id for one uploaded object version, the same for every delivery of its event.

    Each part is prefixed with its length, so different triples never hash the same bytes.
    """
    digest = hashlib.sha256()
    for part in (bucket, key, version):
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(4, "big") + encoded)
    return _ulid(event_ms, digest.digest()[:10])


def new_run_id(entropy: Entropy) -> str:
    """A fencing token for one claim, 16 hexadecimal digits."""
    return entropy(8).hex()


def is_job_id(text: str) -> bool:
    return _JOB_ID.fullmatch(text) is not None


def created_ms(job_id: str) -> int:
    """The time within an id, milliseconds since the epoch."""
    value = 0
    for letter in job_id[:_TIME_LETTERS]:
        value = value << 5 | _VALUE[letter]
    return value


def shard_of(job_id: str) -> int:
    return _VALUE[job_id[-1]] % SHARDS


@lru_cache(maxsize=256)
def partition_of(job_id: str) -> str:
    """The partition key of a job's record, such as `20261122#5`.

    Cached, because a record is written a few times in a row and date arithmetic is slow.
    """
    return partition(
        datetime.fromtimestamp(created_ms(job_id) / 1000, UTC).date(), shard_of(job_id)
    )


def partition(day: date, shard: int) -> str:
    return f"{day:%Y%m%d}#{shard}"


def first_id_at(time_ms: int) -> str:
    """The smallest id of that millisecond: a bound for listings."""
    return _ulid(time_ms, bytes(10))


def _ulid(time_ms: int, tail: bytes) -> str:
    number = time_ms << 80 | int.from_bytes(tail, "big")
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))
