"""The daily budget of a queue: how many runs it may begin, or dollars it may cost, a day in UTC.

Its workers add what they spend to one item for each day. A queue
without a budget has no such item.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from remotejob.domain.conditions import Item
from remotejob.domain.times import from_ms
from remotejob.domain.transactions import Key
from remotejob.names import Field, Partition

KEPT: Final = timedelta(days=8)
"""How long the item of a day is kept: the days of a week can be compared."""

MICRODOLLARS: Final = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class DailyBudget:
    """The limits of a queue; None for no limit."""

    runs: int | None = None
    dollars: float | None = None

    @property
    def limited(self) -> bool:
        return self.runs is not None or self.dollars is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Spent:
    """What a queue has spent since 00:00 UTC."""

    runs: int = 0
    microdollars: int = 0

    def plus(self, other: Spent) -> Spent:
        return Spent(
            runs=self.runs + other.runs, microdollars=self.microdollars + other.microdollars
        )

    @classmethod
    def of(cls, item: Item | None) -> Spent:
        """What a day's item says; nothing where it makes no sense."""
        return cls(runs=_count(item, Field.RUNS), microdollars=_count(item, Field.MICRODOLLARS))


def overspent(queue: str, budget: DailyBudget, spent: Spent) -> str | None:
    """Why a queue is paused for the day, in words; None while there is something left."""
    if budget.runs is not None and spent.runs >= budget.runs:
        what = f"{budget.runs:,} runs is spent ({spent.runs:,} so far)"
        key = "daily_jobs"
    elif budget.dollars is not None and spent.microdollars >= budget.dollars * MICRODOLLARS:
        what = f"${budget.dollars:,.2f} is spent (${spent.microdollars / MICRODOLLARS:,.2f} so far)"
        key = "daily_dollars"
    else:
        return None
    return (
        f"queue {queue!r} is paused: its daily budget of {what}; its jobs wait, and it resumes at "
        f"00:00 UTC. To go on now, raise {key} under [queues.{queue}] in remotejob.toml and deploy"
    )


def day_of(now_ms: int) -> date:
    """The day in UTC."""
    return from_ms(now_ms).date()


def spent_key(queue: str, day: date) -> Key:
    """The item of a day."""
    return Key(f"{Partition.SPENT}{queue}", day.isoformat())


def _count(item: Item | None, field: Field) -> int:
    value = None if item is None else item.get(field)
    return max(0, value) if isinstance(value, int) else 0
