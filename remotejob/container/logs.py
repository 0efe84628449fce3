"""The log of a worker: one line of JSON per event, on standard output."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from pythonjsonlogger.json import JsonFormatter

from remotejob.container.metrics import METRICS
from remotejob.container.prints import log_prints
from remotejob.domain.errors import SettingsError
from remotejob.names import LOG_LEVELS, Env
from remotejob.worker.executors.processes.output_lines import MARK
from remotejob.worker.runs.log_context import JobFields

log = logging.getLogger("remotejob.container")

_LOUD: Final = ("botocore", "urllib3", "s3transfer", "asyncio", "PIL")
"""Loggers whose lines below warning are left out, even when the worker logs at level debug."""


_OF_RUNS: Final[Mapping[str, int]] = {
    "remotejob.worker.messages.handler": logging.DEBUG,
    "remotejob.job": logging.INFO,
}
"""Loggers whose lines someone who watches jobs wants, and the cloud's log does not need."""


def log_as_json() -> None:
    """Log as JSON from now on, including warnings, prints, and errors that end a thread or the
    process.

    A line has `time`, `level`, `logger`, `process` and `message`; `exc_info` if there is an error;
    the fields of `JobContext.fields` that are known; and the fields of its `extra`.

    Raises: SettingsError, when the environment asks for an unknown level; logging works by then.
    """
    _log_by(LineFormatter())
    log_prints()


def log_to_worker() -> None:
    """The same in a child process, whose worker reads its output and logs each line.

    Raises: SettingsError, as above.
    """
    _log_by(_ForWorker())


def _log_by(formatter: LineFormatter) -> None:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatter)
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
    runs = os.environ.get(Env.LOG_RUNS, "off")
    if runs not in ("on", "off"):
        raise SettingsError(f"{Env.LOG_RUNS}={runs!r}: use on or off")
    if runs == "on":
        for name, level in _OF_RUNS.items():
            logging.getLogger(name).setLevel(level)


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
        if record.name != METRICS:
            record = _harmless(record)
        try:
            return super().format(record)
        except Exception:  # noqa: BLE001 (a circle, a key that is no text, arguments that do not fit)
            return super().format(_as_text(record))


class _ForWorker(LineFormatter):
    """Marks the line as one that the child's logging wrote, and did not just print."""

    def format(self, record: logging.LogRecord) -> str:
        return MARK + super().format(record)


_FIXED: Final = frozenset({"time", "level", "logger", "_aws"})
"""Fields that no `extra` may set. A line with `_aws` is a metric, which is billed."""


def _harmless(record: logging.LogRecord) -> logging.LogRecord:
    """The same record, without fields from elsewhere that would replace those of every line.

    Fields of `extra` are renamed. A message that is a dict becomes text: its keys would be fields.
    """
    if _FIXED.isdisjoint(record.__dict__) and not isinstance(record.msg, dict):
        return record
    values = {
        f"extra_{name}" if name in _FIXED else name: value
        for name, value in record.__dict__.items()
    }
    if isinstance(record.msg, dict):
        values |= {"msg": _safe_repr(record.msg), "args": None}
    return logging.makeLogRecord(values)


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
