"""Checks of what a record's texts say: JSON in our form, ids that are ids, names that are names.

A store's readers check them before they hand a record out, and a worker checks the record that it
has claimed. The opaque texts (data, result, checkpoint) are read only by whoever asks for them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final, cast

from remotejob.domain.errors import UnreadableItem
from remotejob.domain.ids import is_job_id, partition_of
from remotejob.domain.record import InputFile, JobRecord, outputs_from_json
from remotejob.domain.repeat import PreviousRun, Repeat
from remotejob.domain.retry import Retry
from remotejob.domain.text import cut, said_by, shown
from remotejob.domain.times import from_ms
from remotejob.domain.usage import Usage

_LONGEST_RESOURCE: Final = 255
_MOST: Final = 10**18
_MOST_PROGRESS: Final = 1e308
_BATCH: Final = "b-"
_QUEUE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}")
"""Wider than the settings' rule, but always one part of a path."""
_RUN: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_TENANT: Final = re.compile(r"[!-~]{1,128}")
"""Source: Amazon SQS API Reference, SendMessage, MessageGroupId."""
_CHECKPOINT: Final = re.compile(r"-?([A-Za-z0-9_.-]{1,64}/[0-9]{1,9})?")


def check_texts(record: JobRecord) -> None:
    """Raises: UnreadableItem, naming the first text that is not ours."""
    check = None
    try:
        for value, check in zip(_values(record), _checks, strict=True):
            if value is not None:
                check(value)
    except Exception as problem:
        attribute = next(name for name, one in _CHECKS if one is check)
        value = getattr(record, attribute)
        raise UnreadableItem(
            partition_of(record.id),
            record.id,
            f"{attribute}={shown(cut(str(value), 60))}: {cut(said_by(problem), 150)}",
        ) from problem


def load_json(text: str, *, partition: str, name: str, what: str) -> Any:
    """What a stored text of JSON says. Raises: UnreadableItem."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise UnreadableItem(
            partition, name, f"{what} is not JSON: {cut(said_by(problem), 150)}"
        ) from problem


def _matches(pattern: re.Pattern[str], what: str) -> Callable[[str], None]:
    # cached: a worker reads the name of its queue with every job
    @lru_cache(maxsize=64)
    def check(text: str) -> None:
        if not pattern.fullmatch(text):
            raise ValueError(f"not {what}")

    return check


check_queue_name: Final = _matches(_QUEUE, "the name of a queue")
"""Raises: ValueError."""


def _job_id(text: str) -> None:
    if not is_job_id(text):
        raise ValueError("not the id of a job")


def _batch_id(text: str) -> None:
    if not (text.startswith(_BATCH) and is_job_id(text.removeprefix(_BATCH))):
        raise ValueError("not the id of a batch")


def _resource(text: str) -> None:
    if not 0 < len(text.encode()) <= _LONGEST_RESOURCE:
        raise ValueError(f"not 1 to {_LONGEST_RESOURCE} bytes")


def _input(text: str) -> None:
    file = InputFile.from_json(text)
    for needed in (file.bucket, file.key, file.name):
        _is(needed, str)
    for optional in (file.version, file.etag, file.content_type):
        _is(optional, str, type(None))
    _is_count(file.size)


def _progress(text: str) -> None:
    done, total = json.loads(text)
    for value in (done, total):
        _is(value, int, float)
        if not 0 <= value <= _MOST_PROGRESS:
            raise ValueError(f"{shown(value)} is out of range")
    if not total:
        raise ValueError("the total is 0")


def _errors(text: str) -> None:
    for run, attempt, at, kind, message in json.loads(text):
        for value in (run, kind, message):
            _is(value, str)
        _is_count(attempt)
        _is_time(at)


def _depends(text: str) -> None:
    ids = json.loads(text)
    _is(ids, list)
    for job_id in ids:
        _is(job_id, str)


def _outputs(text: str) -> None:
    for output in outputs_from_json(text, prefix=""):
        _is(output.name, str)
        _is(output.etag, str)
        _is_count(output.size)
        _is(output.content_type, str, type(None))


def check_log(text: str) -> None:
    """Raises: ValueError or TypeError, when a text is not lines of a job's log."""
    for number, at, level, message, *rest in json.loads(text):
        _is_count(number)
        _is_time(at)
        _is(level, str)
        _is(message, str)
        if len(rest) > 1:
            raise ValueError("a line of the log has too many parts")


def _history(texts: frozenset[str]) -> None:
    for line in texts:
        at, action, actor, *rest = json.loads(line)
        _is_time(at)
        for said in (action, actor, *rest[:1]):
            _is(said, str)


def _usage(text: str) -> None:
    usage = Usage.from_json(text)
    for count in (*usage.calls.values(), usage.runs, usage.note_units, usage.index_units):
        _is(count, int, float)
        if not 0 <= count <= _MOST:
            raise ValueError("a count is out of range")
    if usage.running_ms is not None:
        _is_time(usage.running_ms)


def _is(value: object, *kinds: type) -> None:
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise TypeError(f"{shown(value)} has the wrong type")


def _is_count(value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MOST:
        raise ValueError(f"{shown(value)} is no count")


def _is_time(value: object) -> None:
    _is_count(value)
    from_ms(cast("int", value))


_CHECKS: Final[tuple[tuple[str, Callable[[Any], object]], ...]] = (
    ("queue", check_queue_name),
    ("run_id", _matches(_RUN, "the id of a run")),
    ("resource", _resource),
    ("tenant", _matches(_TENANT, "the name of a tenant")),
    ("next_id", _job_id),
    ("origin_id", _job_id),
    ("batch", _batch_id),
    ("depends_json", _depends),
    ("retry_json", Retry.from_json),
    ("repeat_json", Repeat.from_json),
    ("previous_json", PreviousRun.from_json),
    ("input_json", _input),
    ("progress_json", _progress),
    ("log_json", check_log),
    ("history", _history),
    ("errors_json", _errors),
    ("outputs_json", _outputs),
    ("calls_json", _usage),
    ("checkpoint_ref", _matches(_CHECKPOINT, "a checkpoint")),
)

_values: Final = attrgetter(*(attribute for attribute, _ in _CHECKS))
_checks: Final = tuple(check for _, check in _CHECKS)
