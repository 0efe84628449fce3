"""The log of a worker: one line of JSON an event, on standard output."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from pythonjsonlogger.json import JsonFormatter

from remotejob.domain.errors import SettingsError
from remotejob.names import LOG_LEVELS, Env
from remotejob.worker.runs.log_context import JobFields

log = logging.getLogger("worker_container")

_LOUD: Final = ("botocore", "urllib3", "s3transfer", "asyncio", "PIL")
"""What these say below a warning, a reader of the worker's log does not want: also not those who
ask for the worker's own lines of level debug."""


def log_as_json() -> None:
    """Log as JSON from here on: also warnings, and errors that end a thread or the process.

    A line has `time`, `level`, `logger`, `process` and `message`; `exc_info` where there is an
    error; those of `JobContext.fields` that are known; and what its `extra` says.

    Raises: SettingsError, when the environment asks for no level there is; by then it is set up.
    """
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(LineFormatter())
    handler.addFilter(JobFields())
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    # beside those that others may have put there, such as OpenTelemetry's
    root.addHandler(handler)
    logging.captureWarnings(capture=True)
    sys.excepthook = lambda kind, error, trace: log.critical(
        "the process ends: %s", kind.__name__, exc_info=(kind, error, trace)
    )
    threading.excepthook = _thread_ends
    root.setLevel(_level(os.environ.get(Env.LOG_LEVEL, "info")))
    for name in _LOUD:
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))


class LineFormatter(JsonFormatter):
    """Writes a line whatever was logged: what JSON cannot write is written as text."""

    def __init__(self) -> None:
        super().__init__(
            "{asctime}{levelname}{name}{process}{message}",
            style="{",
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
            # NaN is no JSON, and whoever reads the log refuses the whole line
            json_serializer=partial(json.dumps, allow_nan=False),
        )

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802, ARG002 (its base's)
        """UTC, ISO 8601."""
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")

    def format(self, record: logging.LogRecord) -> str:
        if not _FIXED.isdisjoint(record.__dict__):
            record = _renamed(record)
        try:
            return super().format(record)
        except Exception:  # noqa: BLE001 (a circle, a key that is no text, arguments that do not fit)
            return super().format(_as_text(record))


_FIXED: Final = frozenset({"time", "level", "logger"})


def _renamed(record: logging.LogRecord) -> logging.LogRecord:
    """The same, where `extra` says what every line says: who filters by level must find it."""
    values = record.__dict__
    return logging.makeLogRecord(
        {f"extra_{name}" if name in _FIXED else name: values[name] for name in values}
    )


def _as_text(record: logging.LogRecord) -> logging.LogRecord:
    """The same, with each of its own values in a form that is surely writable."""
    values = {
        name: value if name in _PLAIN or isinstance(value, str | int | None) else _shown(value)
        for name, value in record.__dict__.items()
    }
    try:
        message = record.getMessage()
    except Exception:  # noqa: BLE001 (as above)
        said = record.msg if isinstance(record.msg, str) else _shown(record.msg)
        message = f"{said} {_shown(record.args)}" if record.args else said
    return logging.makeLogRecord({**values, "msg": message, "args": None})


_PLAIN: Final = frozenset({"args", "created", "exc_info", "msg", "msecs", "relativeCreated"})


def _shown(value: Any) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 (a broken __repr__ must not cost the line)
        return f"<{type(value).__name__} that cannot be shown>"


def _thread_ends(told: threading.ExceptHookArgs) -> None:
    if told.exc_type is SystemExit or told.exc_value is None:
        return
    name = "a thread" if told.thread is None else f"thread {told.thread.name}"
    error = (told.exc_type, told.exc_value, told.exc_traceback)
    log.critical("%s ends: %s", name, told.exc_type.__name__, exc_info=error)


def _level(said: str) -> int:
    if said.lower() not in LOG_LEVELS:
        raise SettingsError(f"{Env.LOG_LEVEL}={said!r}: use one of {', '.join(LOG_LEVELS)}")
    return logging.getLevelNamesMapping()[said.upper()]
