"""A deployed system, but with all writes kept in this process's memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO, Final

from remotejob.backends.memory import MemoryFiles, MemoryMessages, MemoryStore
from remotejob.domain.record import JobRecord
from remotejob.ports import NOBODY, Area, Installation, JobStore, ObjectStore, Stored

_FOR_EVER: Final = timedelta(days=3650)


def overlaid(installation: Installation) -> Installation:
    """The same system to read from, without hooks. What is written stays here."""
    return replace(
        installation,
        store=_OverlaidStore(installation.store),
        messages=MemoryMessages(installation.clock),
        files=OverlaidFiles(installation.files),
        hooks=NOBODY,
        # writing a checkpoint needs a valid lease, perhaps after hours at a breakpoint
        lease=_FOR_EVER,
    )


class _OverlaidStore(MemoryStore):
    """A `JobStore` of its own, which finds the jobs that its job depends on in another one."""

    def __init__(self, beneath: JobStore) -> None:
        super().__init__()
        self._beneath: Final = beneath

    def get_many(self, job_ids: Sequence[str]) -> list[JobRecord]:
        found = super().get_many(job_ids)
        here = {record.id for record in found}
        others = [one for one in job_ids if one not in here]
        return found + (self._beneath.get_many(others) if others else [])


class OverlaidFiles:
    """An `ObjectStore` that reads from another one, and keeps its own writes in memory."""

    def __init__(self, beneath: ObjectStore) -> None:
        self._beneath: Final = beneath
        self._written: Final = _SameBuckets(beneath)
        self._keys: set[tuple[str, str]] = set()

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
        stored = self._written.put(
            area, key, body, content_type=content_type, metadata=metadata, once=once
        )
        self._keys.add((stored.bucket, key))
        return stored

    def describe(self, area: Area, key: str) -> Stored:
        return self._store_of(self.bucket(area), key).describe(area, key)

    def open(self, bucket: str, key: str, *, version: str | None = None) -> BinaryIO:
        return self._store_of(bucket, key).open(bucket, key, version=version)

    def download(self, bucket: str, key: str, to: Path, *, version: str | None = None) -> None:
        self._store_of(bucket, key).download(bucket, key, to, version=version)

    def bucket(self, area: Area) -> str:
        return self._beneath.bucket(area)

    def keys(self, area: Area, prefix: str) -> Iterator[str]:
        written = set(self._written.keys(area, prefix))
        return iter(sorted(written.union(self._beneath.keys(area, prefix))))

    def delete(self, area: Area, keys: Iterable[str]) -> None:
        """Delete files that were written here; the store beneath is not changed."""
        deleted = list(keys)
        self._written.delete(area, deleted)
        self._keys -= {(self.bucket(area), key) for key in deleted}

    def _store_of(self, bucket: str, key: str) -> ObjectStore:
        return self._written if (bucket, key) in self._keys else self._beneath


class _SameBuckets(MemoryFiles):
    """Files in memory, in buckets named like those of another store."""

    def __init__(self, beneath: ObjectStore) -> None:
        super().__init__()
        self._beneath = beneath

    def bucket(self, area: Area) -> str:
        return self._beneath.bucket(area)
