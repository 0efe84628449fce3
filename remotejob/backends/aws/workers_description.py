"""The description of a queue's workers, which the workers stack writes into SSM."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from remotejob.domain.errors import SettingsError
from remotejob.domain.fleet import CapacityShare, WorkersDescription
from remotejob.names import WORKERS_VERSION, WorkersKey


def read_workers(text: str, *, origin: str) -> WorkersDescription:
    """Read a description.

    Raises: SettingsError, naming `origin`, when it is not one this version understands.
    """
    try:
        return _parse(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise SettingsError(
            f"{origin} does not hold a description of workers this version understands "
            f"({type(problem).__name__}: {problem}); deploy again, or upgrade remotejob"
        ) from None


def _parse(described: Any) -> WorkersDescription:
    version = described[WorkersKey.VERSION]
    if version != WORKERS_VERSION:
        raise ValueError(f"version {version!r}, not {WORKERS_VERSION}")
    return WorkersDescription(
        cluster=described[WorkersKey.CLUSTER],
        service=described[WorkersKey.SERVICE],
        min_workers=int(described[WorkersKey.MIN]),
        max_workers=int(described[WorkersKey.MAX]),
        jobs_at_a_time=int(described[WorkersKey.JOBS]),
        idle=timedelta(minutes=described[WorkersKey.IDLE_MINUTES]),
        capacity=tuple(
            CapacityShare(provider=provider, weight=weight, base=base)
            for provider, weight, base in described[WorkersKey.CAPACITY]
        ),
    )
