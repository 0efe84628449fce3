"""How far the sweep has come: a note, which counts only as far as the sweep itself could be."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any, Final

from remotejob.domain.errors import UnreadableItem
from remotejob.domain.ids import is_job_id
from remotejob.domain.text import dumps
from remotejob.domain.times import span_ms
from remotejob.domain.unreadable import reading_item
from remotejob.names import SHARDS, Partition
from remotejob.ports import Installation

LATE: Final = timedelta(days=2)
"""The scheduler gets the jobs of uploads whose event arrives later than this (see `ingest`)."""

PROGRESS: Final = "progress"

_EARLIEST: Final = date(2020, 1, 1)
"""Before any system was deployed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Walk:
    """How far the sweep has come."""

    watermark: str
    """The first day that may have something left to do."""
    day: str
    """The day being walked."""
    shard: int = 0
    after: str = ""
    closed: bool = True
    """Whether no job read so far on this day has anything left to do."""
    unbroken: bool = True
    """Whether every day since the watermark was closed."""


def load_walk(installation: Installation, today: date) -> Walk:
    """Where the sweep goes on: as it noted, or else with the first day that is retained.

    A note that says what the sweep cannot have written is taken as absent: it must not keep the
    sweep from any day.
    """
    first = today - installation.retention
    for name, text in installation.store.notes(Partition.SWEEP, PROGRESS):
        if name != PROGRESS:
            continue
        try:
            with reading_item(Partition.SWEEP, PROGRESS):
                # the watermark follows two days behind, unless less than that is retained
                return _walk(json.loads(text), latest=max(first, today - LATE), today=today)
        except UnreadableItem as problem:
            installation.skipped.add(problem)
    return Walk(watermark=first.isoformat(), day=first.isoformat())


def save_walk(installation: Installation, walk: Walk) -> None:
    expires_ms = installation.clock.now_ms() + 2 * span_ms(installation.retention)
    installation.store.put_note(
        Partition.SWEEP, PROGRESS, dumps(asdict(walk)), expires_s=expires_ms // 1000
    )


def _walk(noted: Any, *, latest: date, today: date) -> Walk:
    """Raises: ValueError, TypeError or others, when it cannot be how far the sweep has come."""
    walk = Walk(**{name: noted[name] for name in Walk.__dataclass_fields__ if name in noted})
    watermark, day = date.fromisoformat(walk.watermark), date.fromisoformat(walk.day)
    if not _EARLIEST <= watermark <= min(latest, day):
        raise ValueError(f"a watermark of {walk.watermark} on {today}")
    if day > today:
        raise ValueError(f"the day being walked is {walk.day}, on {today}")
    if type(walk.shard) is not int or not 0 <= walk.shard <= SHARDS:
        raise ValueError(f"there is no shard {walk.shard!r}")
    if walk.after and not is_job_id(walk.after):
        raise ValueError(f"{walk.after!r} is not the id of a job")
    if type(walk.closed) is not bool or type(walk.unbroken) is not bool:
        raise TypeError("closed and unbroken are true or false")
    return walk
