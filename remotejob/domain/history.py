"""What was done to a job, by whom and when: lines in its record, next to what it logged itself.

The update that does something to a job also writes the line, so that it costs no request. The lines
are members of a set: adding one needs no earlier read, and two that are added at the same moment
both stay. A repeated request adds the same line once.

Source: job-collection, `job._logMessage`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Final

from remotejob.domain.argument_checks import check_text
from remotejob.domain.changes import Change
from remotejob.domain.errors import InvalidName
from remotejob.domain.job_log import Level, LogLine
from remotejob.domain.record import JobRecord
from remotejob.domain.text import cut, dumps, shown
from remotejob.domain.transactions import number
from remotejob.names import Field

LINES_KEPT: Final = 12
"""The last lines stay. An ordinary job has none, and each write pays for those of the others."""

LONGEST_ACTOR: Final = 64
_LONGEST_DETAIL: Final = 120


class Action(StrEnum):
    """What was done to a job, as its record says it."""

    PAUSED = "paused"
    RESUMED = "resumed"
    MADE_READY = "ready"
    CANCELLED = "cancelled"
    RESTARTED = "restarted"
    RERUN = "rerun"
    REPLAYED = "replayed"
    RESOLVED = "resolved"
    GIVEN_BACK = "given back"
    CRASHED = "crashed"
    LOST = "lost"
    EXPIRED = "expired"
    NO_CRASH = "no crash"
    SENT_AGAIN = "sent again"


_SAID: Final[Mapping[str, tuple[Level, str]]] = {
    Action.PAUSED: ("info", "paused"),
    Action.RESUMED: ("info", "resumed"),
    Action.MADE_READY: ("info", "made ready"),
    Action.CANCELLED: ("warning", "cancelled"),
    Action.RESTARTED: ("info", "restarted"),
    Action.RERUN: ("info", "submitted as a rerun of job"),
    Action.REPLAYED: ("info", "submitted as a replay of job"),
    Action.RESOLVED: ("info", "dependency resolved"),
    Action.GIVEN_BACK: ("warning", "given back"),
    Action.CRASHED: ("danger", "crashed"),
    Action.EXPIRED: ("danger", "expired: its last time to begin was over"),
    Action.LOST: ("warning", "lease lost"),
    Action.NO_CRASH: ("warning", "it was no crash: the worker lives, and lost the lease"),
    Action.SENT_AGAIN: ("warning", "its message was given up, and another was sent"),
}
"""The level and the message of each line."""


def entered(
    change: Change,
    record: JobRecord,
    action: Action,
    *,
    actor: str,
    detail: str = "",
    at_ms: int | None = None,
) -> Change:
    """The change, which now also writes a line into the history of the record as read.

    `at_ms` is by default the time of the change. Once the history is full, its oldest line makes
    room. Only then is the set written as a whole, and a line that somebody else adds between the
    read and the write is lost.
    """
    if at_ms is None:
        at_ms = number(change.set[Field.UPDATED])
    known = (record.history or frozenset()) | _lines_of(change)
    if len(known) < LINES_KEPT:
        return appended(change, action, at_ms=at_ms, actor=actor, detail=detail)
    kept = frozenset(sorted(known)[-(LINES_KEPT - 1) :])
    line = first_line(action, at_ms=at_ms, actor=actor, detail=detail)
    # one update may not both set an attribute and add to it
    included = dict(change.include)
    included.pop(Field.HISTORY, None)
    return replace(change, set={**change.set, Field.HISTORY: kept | line}, include=included)


def appended(change: Change, action: Action, *, at_ms: int, actor: str, detail: str = "") -> Change:
    """As `entered`, for a record that was not read: too few are written for one to make room."""
    lines = _lines_of(change) | first_line(action, at_ms=at_ms, actor=actor, detail=detail)
    if Field.HISTORY in change.set:
        return replace(change, set={**change.set, Field.HISTORY: lines})
    return replace(change, include={**change.include, Field.HISTORY: lines})


def _lines_of(change: Change) -> frozenset[str]:
    """The lines that a change writes already."""
    whole = change.set.get(Field.HISTORY)
    if isinstance(whole, frozenset):
        return whole
    return change.include.get(Field.HISTORY, frozenset())


def first_line(action: Action, *, at_ms: int, actor: str, detail: str = "") -> frozenset[str]:
    """The history of a job that is made with this line."""
    return frozenset({_text(action, at_ms=at_ms, actor=actor, detail=detail)})


def _text(action: Action, *, at_ms: int, actor: str, detail: str) -> str:
    """A line as stored. The texts of a job's lines sort by time."""
    more = [cut(detail, _LONGEST_DETAIL)] if detail else []
    return dumps([at_ms, action, cut(actor, LONGEST_ACTOR), *more])


def lapsed(change: Change, record: JobRecord, *, actor: str) -> Change:
    """The change that counts the run of a record whose lease ended, with its line."""
    worker = f"worker {record.worker}"
    if record.lost:
        return entered(change, record, Action.LOST, actor=actor, detail=f"{worker} lives")
    detail = f"{worker} died, or fell silent until its lease ended"
    return entered(change, record, Action.CRASHED, actor=actor, detail=detail)


def history_lines(history: Collection[str] | None) -> list[LogLine]:
    """The lines of a record's history, oldest first."""
    return [_line(*json.loads(text)) for text in sorted(history or ())]


def _line(at_ms: int, action: str, actor: str, detail: str = "", *_: object) -> LogLine:
    # a later version may know more actions
    level, said = _SAID.get(action, ("info", action))
    message = f"{said}: {detail}" if detail else said
    return LogLine(number=-1, at_ms=at_ms, level=level, message=message, actor=actor or None)


def check_actor(actor: object, *, name: str = "actor") -> str:
    """The name of who gives commands: 1 to 64 characters. Raises: InvalidName."""
    remedy = f"give 1 to {LONGEST_ACTOR} characters, such as ana@laptop"
    text = check_text(name, actor, remedy=remedy, error=InvalidName)
    if not 0 < len(text) <= LONGEST_ACTOR or not text.isprintable():
        raise InvalidName(f"{name}={shown(text)}: {remedy}, and no control characters")
    return text
