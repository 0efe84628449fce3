"""One line of a child process's output, as a record of the worker's log.

Fields that say whose line it is are the worker's; the child chooses only the text, the level, the
name of a logger that is none of ours, and fields with names of its own.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from typing import Any, Final

from remotejob.domain.text import cut, printable

MARK: Final = "\x1e"
"""Stands before a line of JSON that the child's logging wrote.
Source: RFC 7464, "JavaScript Object Notation (JSON) Text Sequences"."""

_OURS: Final = ("remotejob", "root", "task")
"""Loggers of the worker. A child's of the same names are put under `task`."""

_KNOWN: Final = frozenset({"time", "level", "logger", "process", "message", "exc_info"})
_RUN: Final = frozenset({"job", "queue", "task", "run", "attempt", "tenant"})
_OF_RECORDS: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"asctime"}
_TAKEN: Final = _KNOWN | _RUN | _OF_RECORDS
_LONGEST_NAME: Final = 100
_NUMBERS: Final[Mapping[str, int]] = {"stdout": 1, "stderr": 2}

_log: Final = logging.getLogger("task")


def log_line(
    line: bytes, *, is_cut: bool, stream: str, pid: int, fields: Mapping[str, Any]
) -> None:
    """Log what process `pid` wrote; `fields` are those of its run, if it has one.

    In a program that has set up no logging, there is no log whose lines it could forge: the text
    goes to the stream of the same name.
    """
    if not _log.hasHandlers():
        os.write(_NUMBERS[stream], line + b"\n")
        return
    text = line.decode("utf-8", "backslashreplace") + ("…" if is_cut else "")
    text, mark, told = text.partition(MARK)
    if text:
        _handle(_record(f"task.{stream}", logging.INFO, text), pid, fields)
    if mark:
        _handle(_told(told, stream), pid, fields)


def _handle(record: logging.LogRecord, pid: int, fields: Mapping[str, Any]) -> None:
    record.process = pid
    record.__dict__.update(fields)
    # by one logger, whatever its name: a child must not make loggers here, which stay for ever
    _log.handle(record)


def _told(text: str, stream: str) -> logging.LogRecord:
    """The record of a line that the child's logging wrote."""
    try:
        told = json.loads(text)
        name, level, message = (told[key] for key in ("logger", "level", "message"))
    except (ValueError, LookupError, TypeError, RecursionError):
        return _record(f"task.{stream}", logging.INFO, text)
    number = logging.getLevelNamesMapping().get(str(level), logging.INFO)
    record = _record(_name(str(name)), number, str(message))
    error = told.get("exc_info")
    if error is not None:
        record.exc_text = f"  {_visible(str(error))}"
    for key, value in told.items():
        if key not in _KNOWN and key not in _RUN:
            record.__dict__[_key(key)] = value
    return record


def _record(name: str, level: int, message: str) -> logging.LogRecord:
    return logging.LogRecord(name, level, "", 0, _visible(message), None, None)


def _name(logger: str) -> str:
    name = printable(cut(logger, _LONGEST_NAME))
    return f"task.{name}" if name.partition(".")[0] in _OURS or not name else name


def _key(key: str) -> str:
    """The name of a field, which replaces none of ours. With `_aws` a line would be a metric."""
    key = printable(cut(key, _LONGEST_NAME))
    return f"extra_{key}" if key in _TAKEN or key.startswith("_") else key


def _visible(text: str) -> str:
    """The text with controls as escapes. A line after the first is indented: it begins none of the
    log's, even in a log that is not JSON."""
    lines = text.split("\n")
    return "\n  ".join(printable(line) for line in lines)
