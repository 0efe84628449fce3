"""When a repeating job is due again: cronsim reads schedules, zoneinfo reads time zones.

Both are imported only when a schedule is read, which most programs never do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from types import MappingProxyType
from typing import Final, NoReturn

from remotejob.domain.argument_checks import check_kind
from remotejob.domain.errors import InvalidData
from remotejob.domain.repeat import Repeat
from remotejob.domain.text import cut, shown

_CRON_FIELDS: Final = 5

_EVERY: Final = re.compile(r"every\b", re.IGNORECASE)
_EVERY_SPAN: Final = re.compile(r"every (?:([0-9]{1,4}) )?(minute|hour)s?", re.IGNORECASE)
_EVERY_DAY: Final = re.compile(
    r"every (day|weekday|monday|tuesday|wednesday|thursday|friday|saturday|sunday)"
    r"(?: at ([01]?[0-9]|2[0-3]):([0-5][0-9]))?",
    re.IGNORECASE,
)
_EVERY_SECONDS: Final = re.compile(r"every (?:[0-9.]+ )?seconds?\b.*", re.IGNORECASE)
_NO_SECONDS: Final = "schedules have no seconds; use `wait` for this, from one second"
_EXCEPT: Final = re.compile(r"\bexcept\b|\bbut not\b", re.IGNORECASE)
_WRONG_TIME: Final = re.compile(r"(every \w+) at ([0-9]+:[0-9]+)", re.IGNORECASE)
_DAYS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "day": "*",
        "weekday": "1-5",
        "monday": "1",
        "tuesday": "2",
        "wednesday": "3",
        "thursday": "4",
        "friday": "5",
        "saturday": "6",
        "sunday": "0",
    }
)
_SPANS: Final[Mapping[str, tuple[int, str, str]]] = MappingProxyType(
    {
        "minute": (60, "*/{} * * * *", "an hour"),
        "hour": (24, "0 */{} * * *", "a day"),
    }
)
"""What a number of minutes or hours must divide to keep its interval constant; its cron expression;
the name of that whole."""


def next_due(repeat: Repeat, *, after: datetime) -> datetime | None:
    """The first time after `after` that the job is due again, or None when repeating is over.

    When clocks go forward, a run due in the skipped hour is due right after it. When they go back,
    it is due once. Schedules of every minute or hour follow real time.

    Raises: InvalidData, when the schedule or its time zone cannot be read.
    Source: Debian's cron(8), as implemented by cronsim.
    """
    if after.tzinfo is None:
        raise InvalidData(f"after={shown(after)}: give it a time zone")
    if repeat.times == 0:
        return None
    if repeat.schedule is None:
        due = after + repeat.wait
    else:
        due = _next_scheduled(repeat.schedule, repeat.time_zone, after)
    return None if repeat.until is not None and due > repeat.until else due


def check(repeat: Repeat) -> None:
    """Refuse no `Repeat`, a schedule that cannot be read or never occurs, an unknown time zone.

    Raises: InvalidData, naming it and the remedy.
    """
    check_kind(
        "repeat",
        repeat,
        Repeat,
        remedy="use Repeat, such as Repeat(schedule='every day at 09:30')",
    )
    if repeat.schedule is not None:
        # any start day will do: cronsim looks 50 years ahead, and within 40 years leap days have
        # fallen on every weekday
        _next_scheduled(repeat.schedule, repeat.time_zone, datetime(2000, 1, 1, tzinfo=UTC))


def after_run(repeat: Repeat) -> Repeat:
    """The repeat with one run fewer left.

    Raises: InvalidData, when none was left.
    """
    return repeat if repeat.times is None else replace(repeat, times=repeat.times - 1)


def _next_scheduled(schedule: str, time_zone: str, after: datetime) -> datetime:
    cron = _as_cron(schedule)
    if len(cron.split()) == _CRON_FIELDS + 1:
        _refuse(schedule, f"it has six fields, and {_NO_SECONDS}")
    if len(cron.split()) != _CRON_FIELDS:
        _refuse(schedule, "it does not have five fields")
    moments = _moments(cron, after.astimezone(_zone(time_zone)), schedule)
    # for an hour that occurs twice cronsim gives the first one, which may be over
    found = next((moment for moment in moments if moment > after), None)
    return found or _refuse(schedule, "there is no such date")


def _moments(cron: str, local: datetime, schedule: str) -> Iterator[datetime]:
    """The times of a cron expression after a local time, in UTC."""
    from cronsim import CronSim, CronSimError

    try:
        dues = CronSim(cron, local)
    # ValueError: digits of other scripts
    except (CronSimError, ValueError) as problem:
        _refuse(schedule, cut(str(problem).lower(), 200))
    for due in dues:
        moment = due.astimezone(UTC)
        if moment.astimezone(local.tzinfo) != due:
            # the clocks went forward at midnight, so this day does not begin at 0:00, but cronsim
            # assumes it does; started one second earlier, it reads the clock right
            before = moment - timedelta(seconds=1)
            yield from _moments(cron, before.astimezone(local.tzinfo), schedule)
            return
        yield moment


def _as_cron(schedule: str) -> str:
    text = " ".join(schedule.split())
    if not _EVERY.match(text):
        return text
    if found := _EVERY_SPAN.fullmatch(text):
        number = int(found[1] or 1)
        whole, cron, name = _SPANS[found[2].lower()]
        if number == 0 or whole % number:
            _refuse(schedule, f"{number} {found[2]}s do not divide {name}; use `wait` for this")
        return cron.format(number)
    if found := _EVERY_DAY.fullmatch(text):
        return f"{int(found[3] or 0)} {int(found[2] or 0)} * * {_DAYS[found[1].lower()]}"
    if _EVERY_SECONDS.fullmatch(text):
        _refuse(schedule, _NO_SECONDS)
    if _EXCEPT.search(text):
        _refuse(
            schedule,
            "schedules have no exceptions; let the task return at once on days that are none, or "
            "submit a job for each schedule that together leave them out",
        )
    if (found := _WRONG_TIME.fullmatch(text)) and _EVERY_DAY.fullmatch(found[1]):
        return _refuse(
            schedule,
            f"{found[2]} is not a time of day: hours go from 0 to 23, minutes from 00 to 59",
        )
    return _refuse(schedule, "the words after 'every' are not understood")


def _zone(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    # OSError: the name may be that of a folder or another file in the time zone database
    except (KeyError, ValueError, OSError):
        raise InvalidData(
            f"time_zone={shown(name)}: there is no such time zone;"
            " use an IANA name such as 'Europe/Berlin' or 'UTC'"
        ) from None


def _refuse(schedule: str, reason: str) -> NoReturn:
    raise InvalidData(
        f"schedule={shown(schedule)}: {reason}; write it as cron does, minute, hour, day, month and"
        " weekday ('30 9 * * 1-5'), or as 'every 15 minutes', 'every 2 hours', 'every day at 09:30'"
        " or 'every monday at 09:30'"
    )
