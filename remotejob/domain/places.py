"""Places in time: spreads what comes too fast, so many in each minute and the rest in later ones.

Places are numbered from the epoch, as many a minute as the rate says. Whoever comes takes the next
place: the first of the current minute, or the one after the last that was taken. Those of the
current minute may all be used at once; those of a later minute lie evenly within it.
"""

from __future__ import annotations

from typing import Final

MINUTE_MS: Final = 60_000


def next_place(last: int | None, *, now_ms: int, per_minute: int) -> int:
    """The place after the last one taken, or the first of this minute."""
    first = now_ms // MINUTE_MS * per_minute
    return first if last is None else max(first, last + 1)


def place_ms(place: int, *, now_ms: int, per_minute: int) -> int:
    """When it is the turn of a place: now, if its minute has begun."""
    minute, number = divmod(place, per_minute)
    if minute <= now_ms // MINUTE_MS:
        return now_ms
    return minute * MINUTE_MS + number * MINUTE_MS // per_minute
