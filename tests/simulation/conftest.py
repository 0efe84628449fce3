"""What all simulations share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest


class _OneThread:
    """In the place of a thread pool, so that requests come in the same order each time."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __enter__(self) -> _OneThread:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def map(self, function: Callable[..., Any], *of: Iterable[Any]) -> Iterator[Any]:
        return map(function, *of)


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("remotejob.jobs.scheduler.tick.ThreadPoolExecutor", _OneThread)
