"""Items of the table that cannot be read: each is left out, counted, and logged once.

One odd item must stop nothing: readers of many items go on with the others.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from remotejob.domain.errors import RemoteJobError, UnreadableItem
from remotejob.domain.text import cut, said_by

log = logging.getLogger(__name__)

_MOST_NAMED: Final = 10_000
"""Items remembered as logged; beyond these, items are only counted."""


class SkippedItems:
    """The items that readers of one system left out. Safe across threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._named: set[tuple[str, str]] = set()
        self._collected: dict[tuple[str, str], UnreadableItem] | None = None
        self._count = 0

    @property
    def count(self) -> int:
        """How often an item was left out, the same item each time it was read."""
        with self._lock:
            return self._count

    def add(self, problem: UnreadableItem) -> bool:
        """Count an item that was left out; log it the first time, and return whether it was."""
        key = (problem.partition, problem.name)
        with self._lock:
            self._count += 1
            if self._collected is not None:
                self._collected.setdefault(key, problem)
                return False
            known = key in self._named or len(self._named) >= _MOST_NAMED
            if not known:
                self._named.add(key)
        if not known:
            log.warning(
                "item %s left out: %s",
                cut(problem.name, 200),
                problem,
                extra={"item": cut(problem.name, 200), "partition": cut(problem.partition, 200)},
            )
        return not known

    @contextmanager
    def collected(self) -> Iterator[Mapping[tuple[str, str], UnreadableItem]]:
        """Collect what is left out meanwhile instead of logging it: by partition and name."""
        found: dict[tuple[str, str], UnreadableItem] = {}
        with self._lock:
            self._collected = found
        try:
            yield found
        finally:
            with self._lock:
                self._collected = None


@contextmanager
def reading_item(partition: str, name: str) -> Iterator[None]:
    """Turn whatever an odd item raises while it is read into UnreadableItem."""
    try:
        yield
    except RemoteJobError as problem:
        if isinstance(problem, UnreadableItem):
            raise
        raise UnreadableItem(partition, name, str(problem)) from problem
    except Exception as problem:
        kind = type(problem).__name__
        raise UnreadableItem(partition, name, f"{kind}: {cut(said_by(problem), 200)}") from problem
