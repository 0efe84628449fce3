"""The log of a worker: one line of JSON per event, on standard output."""

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
"""Loggers whose lines below warning are left out, even when the worker logs at level debug."""


def log_as_json() -> None:
    """Log as JSON from now on, including warnings, and errors that end a thread or the process.

    A line has `time`, `level`, `logger`, `process` and `message`; `exc_info` if there is an error;
    the fields of `JobContext.fields` that are known; and the fields of its `extra`.

    Raises: SettingsError, when the environment asks for an unknown level; logging works by then.
    """
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(LineFormatter())
    handler.addFilter(JobFields())
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    # keep handlers that others have added, such as OpenTelemetry's
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
    """Writes a line for every event: values that JSON cannot write become text."""

    def __init__(self) -> None:
        super().__init__(
            "{asctime}{levelname}{name}{process}{message}",
            style="{",
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
            # NaN is not JSON: a reader of the log would reject the whole line
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
    """The same record, with renamed fields of `extra` that would replace those of every line."""
    values = record.__dict__
    return logging.makeLogRecord(
        {f"extra_{name}" if name in _FIXED else name: values[name] for name in values}
    )


def _as_text(record: logging.LogRecord) -> logging.LogRecord:
    """The same record, with all values in a form that JSON can write."""
    values = {
        name: value if name in _PLAIN or isinstance(value, str | int | None) else _safe_repr(value)
        for name, value in record.__dict__.items()
    }
    try:
        message = record.getMessage()
    except Exception:  # noqa: BLE001 (as above)
        text = record.msg if isinstance(record.msg, str) else _safe_repr(record.msg)
        message = f"{text} {_safe_repr(record.args)}" if record.args else text
    return logging.makeLogRecord({**values, "msg": message, "args": None})


_PLAIN: Final = frozenset({"args", "created", "exc_info", "msg", "msecs", "relativeCreated"})


def _safe_repr(value: Any) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 (a broken __repr__ must not lose the line)
        return f"<{type(value).__name__} that cannot be shown>"


def _thread_ends(args: threading.ExceptHookArgs) -> None:
    if args.exc_type is SystemExit or args.exc_value is None:
        return
    name = "a thread" if args.thread is None else f"thread {args.thread.name}"
    error = (args.exc_type, args.exc_value, args.exc_traceback)
    log.critical("%s ends: %s", name, args.exc_type.__name__, exc_info=error)


def _level(name: str) -> int:
    if name.lower() not in LOG_LEVELS:
        raise SettingsError(f"{Env.LOG_LEVEL}={name!r}: use one of {', '.join(LOG_LEVELS)}")
    return logging.getLevelNamesMapping()[name.upper()]
