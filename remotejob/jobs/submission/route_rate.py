"""The rate of a route: jobs of uploads that come too fast run later, and none is dropped."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Final

from remotejob.domain.changes import Condition
from remotejob.domain.conditions import Absent, Is, Value
from remotejob.domain.errors import StoreUnavailable
from remotejob.domain.places import MINUTE_MS, next_place, place_ms
from remotejob.domain.text import dumps
from remotejob.domain.times import span_ms
from remotejob.domain.transactions import Key, Put
from remotejob.names import Field, Partition
from remotejob.ports import Installation
from remotejob.settings import Route

_TRIES: Final = 30
_KEPT: Final = timedelta(days=1)
"""How long the item is kept after the last place that it names."""

_NO_PLACE: Final = Condition(name="no_place", expression=Absent(Field.PLACE))
"""Nobody has taken a place yet."""

_SAME_PLACE: Final = Condition(
    name="same_place",
    # Two uploads at the same time:
    #     A  reads 7 ── takes 8 ✓
    #     B  reads 7 ──────────── takes 8 ✗ (finds 8) ── takes 9 ✓
    expression=Is(Field.PLACE, "place"),
)


def due_by_rate(
    route: Route, tenant: str | None, installation: Installation, *, now_ms: int
) -> int:
    """When an upload's job may run, in ms: now, or in a later minute if this one is full.

    Each tenant of a route has a rate of its own. The same upload may take a place at each delivery
    of its event; then one stays empty.

    Raises: StoreUnavailable, when others were faster on every try.
    """
    rate = route.max_per_minute
    if rate is None:
        return now_ms
    key, store = _key(route, tenant), installation.store
    # a place further away makes no sense: the file may be gone by then
    latest = (now_ms + span_ms(installation.retention)) // MINUTE_MS * rate
    found = store.item(key)
    for _ in range(_TRIES):
        last = None if found is None else found.get(Field.PLACE)
        usable = last if isinstance(last, int) and last < latest else None
        place = next_place(usable, now_ms=now_ms, per_minute=rate)
        due_ms = place_ms(place, now_ms=now_ms, per_minute=rate)
        conflict = store.transact([_taken(key, place, due_ms, instead_of=last)])
        if conflict is None:
            return due_ms
        found = conflict.item
    raise StoreUnavailable(
        f"the rate of route {route.prefix!r} changed on each of {_TRIES} tries; try again"
    )


def _taken(key: Key, place: int, due_ms: int, *, instead_of: Value | None) -> Put:
    return Put(
        key=key,
        content={Field.PLACE: place, Field.EXPIRES: (due_ms + span_ms(_KEPT)) // 1000},
        condition=_NO_PLACE if instead_of is None else _SAME_PLACE,
        values={} if instead_of is None else {"place": instead_of},
    )


def _key(route: Route, tenant: str | None) -> Key:
    """Of this route at this rate, wherever it stands among the others."""
    said = [route.task, route.prefix, route.suffixes, route.max_per_minute, tenant]
    name = hashlib.sha256(dumps(said).encode(errors="replace")).hexdigest()[:32]
    return Key(f"{Partition.RATE}{route.queue}", name)
