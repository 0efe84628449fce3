"""Fire the EventBridge rules that have a schedule, in real time.

Source: EventBridge User Guide, "Setting a schedule pattern": a rate starts when the rule is
created, so it first fires one period later; a cron expression is in UTC, to the minute.

Limits: the special characters L, W and # of a cron expression are refused.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from datetime import UTC, datetime, timedelta

from moto.events.models import Rule, events_backends

from remotejob.local.gaps import eventbridge

_LOG = logging.getLogger(__name__)
_TICK_S = 0.5
_UNITS = {"minute": 60, "hour": 3600, "day": 86400}
_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]


class UnsupportedSchedule(ValueError):
    """The embedded AWS does not support this schedule expression."""


def next_firing(expression: str, after: datetime) -> datetime:
    """When a rule that was created or last fired at `after` fires next.

    Raises: UnsupportedSchedule, which quotes the expression.
    """
    rate = re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", expression)
    if rate:
        return after + timedelta(seconds=int(rate[1]) * _UNITS[rate[2]])
    cron = re.fullmatch(r"cron\((\S+) (\S+) (\S+) (\S+) (\S+) (\S+)\)", expression)
    if cron is None or re.search(r"[LW#]", re.sub(r"[A-Z]{3}", "", expression)):
        raise UnsupportedSchedule(
            f"{expression}: use rate(n minutes|hours|days) or a cron expression without L, W, #"
        )
    minutes, hours, dates, months, weekdays, years = cron.groups()
    moment = after.astimezone(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
    horizon = moment + timedelta(days=366 * 5)
    while moment < horizon:
        if not (
            _holds(months, moment.month, 1, 12, _MONTHS)
            and _holds(dates, moment.day, 1, 31)
            # EventBridge counts from 1 = Sunday.
            and _holds(weekdays, moment.isoweekday() % 7 + 1, 1, 7, _DAYS)
            and _holds(years, moment.year, 1970, 2199)
        ):
            moment = moment.replace(hour=0, minute=0) + timedelta(days=1)
        elif not _holds(hours, moment.hour, 0, 23):
            moment = moment.replace(minute=0) + timedelta(hours=1)
        elif not _holds(minutes, moment.minute, 0, 59):
            moment += timedelta(minutes=1)
        else:
            return moment
    raise UnsupportedSchedule(f"{expression} does not fire within five years")


def _holds(field: str, value: int, low: int, high: int, names: list[str] | None = None) -> bool:
    def number(text: str) -> int:
        if names is not None and text.upper() in names:
            return names.index(text.upper()) + 1
        return int(text)

    for part in field.split(","):
        span, _, step = part.partition("/")
        if span in ("*", "?"):
            first, last = low, high
        elif "-" in span:
            first, last = (number(n) for n in span.split("-"))
        else:
            first = number(span)
            last = high if step else first
        if first <= value <= last and (value - first) % int(step or 1) == 0:
            return True
    return False


class Schedules:
    """Checks the rules twice a second and fires those that are due."""

    def __init__(self, account: str) -> None:
        self._account = account
        self._due: dict[tuple[str, str], datetime | None] = {}

    def start(self) -> None:
        """Start checking in a background thread."""
        threading.Thread(target=self._run, name="schedules", daemon=True).start()

    def fire(self, name: str) -> bool:
        """Fire the rule with this name or ARN now; return whether it exists."""
        rule = next((r for r in self._rules() if name in (r.name, r.arn)), None)
        if rule is not None:
            eventbridge.fire(rule)
        return rule is not None

    def _run(self) -> None:
        while True:
            time.sleep(_TICK_S)
            for rule in self._rules():
                try:
                    self._fire_if_due(rule, datetime.now(UTC))
                except Exception:  # noqa: BLE001
                    _LOG.exception("could not fire rule %s", rule.name)

    def _fire_if_due(self, rule: Rule, now: datetime) -> None:
        key = (rule.arn, str(rule.scheduled_expression))
        if key not in self._due:
            self._due[key] = self._next(rule, now)
        due = self._due[key]
        if due is None or due > now:
            return
        self._due[key] = self._next(rule, due)
        if rule.state == "ENABLED":
            eventbridge.fire(rule)

    def _next(self, rule: Rule, after: datetime) -> datetime | None:
        try:
            return next_firing(str(rule.scheduled_expression), after)
        except UnsupportedSchedule as error:
            _LOG.error("rule %s never fires here: %s", rule.name, error)
            return None

    def _rules(self) -> list[Rule]:
        return [
            rule
            for backend in list(events_backends[self._account].values())
            for bus in list(backend.event_buses.values())
            for rule in list(bus.rules.values())
            if rule.scheduled_expression
        ]
