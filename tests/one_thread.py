"""One thread in the place of many, so that requests come in the same order each time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any


class OneThread:
    """In the place of a thread pool."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __enter__(self) -> OneThread:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def map(self, function: Callable[..., Any], *of: Iterable[Any]) -> Iterator[Any]:
        return map(function, *of)
