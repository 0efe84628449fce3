"""The lines of a job's log, and how they are stored."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, cast, get_args

from remotejob.domain.argument_checks import check_word
from remotejob.domain.errors import InvalidData
from remotejob.domain.text import dumps
from remotejob.domain.times import from_ms

Level = Literal["info", "success", "warning", "danger"]
"""Source: job-collection, `job.log`."""

LOG_LEVELS: Final[tuple[Level, ...]] = get_args(Level)
"""From the least to the most severe. Source: job-collection, `Job.jobLogLevels`."""


def check_level(level: object) -> Level:
    """A level of a line. Raises: InvalidData."""
    return cast("Level", check_word("log level ", level, LOG_LEVELS, error=InvalidData))


LOG_TAIL_LINES: Final = 5

LOG_TAIL_BYTES: Final = 512
"""How much of the log stays in the record; older lines are separate items."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LogLine:
    """One line of a job's log: the job logged it, or it says what was done to the job."""

    number: int
    """Counted from 0 over all the job's runs; -1 on lines that say what was done to the job."""
    at_ms: int
    level: Level
    message: str
    data: Any = None
    actor: str | None = None
    """On a line that says what was done to the job: who did it, if that is known."""

    @property
    def at(self) -> datetime:
        return from_ms(self.at_ms)


def log_to_json(lines: tuple[LogLine, ...]) -> str:
    return dumps(
        [
            [x.number, x.at_ms, x.level, x.message, *([] if x.data is None else [x.data])]
            for x in lines
        ]
    )


def log_lines(text: str) -> tuple[LogLine, ...]:
    return tuple(
        LogLine(
            number=number, at_ms=at, level=level, message=message, data=rest[0] if rest else None
        )
        for number, at, level, message, *rest in json.loads(text)
    )


def log_tail(lines: tuple[LogLine, ...]) -> tuple[LogLine, ...]:
    """The last lines, as many as fit in the record."""
    kept: list[LogLine] = []
    size = 0
    for line in reversed(lines[-LOG_TAIL_LINES:]):
        size += len(log_to_json((line,)).encode())
        if size > LOG_TAIL_BYTES:
            break
        kept.append(line)
    return tuple(reversed(kept))
