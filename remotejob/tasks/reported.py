"""What a task reports, made storable: an odd value is clamped or cut, and never fails the run."""

from __future__ import annotations

import math
import operator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from remotejob.domain.argument_checks import is_a, reading
from remotejob.domain.errors import InvalidData
from remotejob.domain.record import INLINE_LIMIT
from remotejob.domain.text import cut, shown
from remotejob.jobs.content import payloads

LONGEST_LINE: Final = 10_000
"""Characters of a log line that are stored."""

_DEEPEST: Final = 50
"""Levels of log data; deeper parts are left out."""

_MOST_PARTS: Final = 10_000
"""Of log data; the rest is left out, as it would be cut anyway."""

_LEFT_OUT: Final = "…"

_LARGEST: Final = 2**63
"""Larger whole numbers are stored as floats."""

_CUT_DATA: Final = INLINE_LIMIT // 4
"""Characters, which take four bytes each at most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reported:
    """A progress that can be stored: 0 <= done <= total, and total > 0."""

    done: float
    total: float
    remark: str | None
    """What was odd about it, if anything was."""


def progress_of(done: Any, total: Any) -> Reported | str:
    """A progress as it is stored; only the remark if it says nothing, because one is no number.

    Raises: InvalidData, when one is not of a number's type.
    """
    called = f"progress({shown(done)}, {shown(total)})"
    of, part = _number(total, called), _number(done, called)
    if math.isnan(part) or math.isnan(of):
        return f"{called}: ignored, because NaN says nothing about progress"
    if of == math.inf:
        return Reported(done=0, total=1, remark=f"{called}: stored as 0 of 1")
    stored_total = of if of > 0 else 1
    stored_done = min(max(part, 0), stored_total)
    if (stored_done, stored_total) == (part, of):
        return Reported(done=part, total=of, remark=None)
    return Reported(
        done=stored_done,
        total=stored_total,
        remark=f"{called}: stored as {stored_done:g} of {stored_total:g}",
    )


def message_of(message: Any) -> str:
    """A log line's message, cut and storable."""
    try:
        text = str(message)
    except Exception:  # noqa: BLE001 (a broken __str__ must not cost the work)
        text = f"an object of class {type(message).__name__} that cannot be shown"
    return cut(text, LONGEST_LINE)


def log_data_of(data: Any) -> tuple[Any, str | None]:
    """A log line's data as it is stored, and what was odd about it.

    Raises: InvalidData, when JSON has nothing like one of its parts.
    """
    with reading("log data"):
        kept = _Plain().of(data)
    text = payloads.encode(kept, what="log data")
    if payloads.fits_inline(text):
        return kept, None
    size = len(text.encode())
    return cut(text, _CUT_DATA), (
        f"log data of {size} bytes: cut, {INLINE_LIMIT} at most; keep more in an output"
    )


def encoded_state(state: Any) -> str:
    """A checkpoint's state as JSON, with the numbers of other libraries as JSON's.

    Raises: InvalidData, when JSON cannot write it.
    """
    try:
        return payloads.encode(state, what="the checkpoint")
    except InvalidData:
        with reading("the checkpoint"), suppress(RecursionError):
            return payloads.encode(_with_numbers(state), what="the checkpoint")
        raise


def _with_numbers(state: Any) -> Any:
    if isinstance(state, dict):
        return {key: _with_numbers(part) for key, part in state.items()}
    if isinstance(state, list | tuple):
        return [_with_numbers(part) for part in state]
    if state is None or isinstance(state, str | bytes | bool):
        return state
    found = _as_number(state)
    return state if found is None else found


class _Plain:
    """Makes log data of numbers, text, depth and size that JSON can hold."""

    def __init__(self) -> None:
        self._left = _MOST_PARTS

    def of(self, value: Any, levels: int = _DEEPEST) -> Any:
        self._left -= 1
        if isinstance(value, str):
            return cut(value, max(1, len(value)))
        if value is None or isinstance(value, bool | bytes):
            return value
        if isinstance(value, dict | list | tuple):
            if levels == 0:
                return _LEFT_OUT
            if isinstance(value, dict):
                parts = islice(value.items(), max(0, self._left))
                return {self._key(key): self.of(part, levels - 1) for key, part in parts}
            return [self.of(part, levels - 1) for part in islice(value, max(0, self._left))]
        found = _as_number(value)
        if found is None:
            return value
        return found if math.isfinite(found) else str(found)

    def _key(self, key: Any) -> Any:
        return self.of(key) if isinstance(key, str) else key


def _number(value: Any, called: str) -> float:
    found = None
    if not is_a(value, bool, str, bytes, bytearray):
        with reading(called):
            found = _as_number(value)
    if found is None:
        raise InvalidData(f"{called}: use numbers, 0 <= done <= total")
    return found


def _as_number(value: Any) -> float | None:
    """An int or a float, from whatever library it is; None if the value is no number."""
    kind = type(value)
    if not (hasattr(kind, "__index__") or hasattr(kind, "__float__")):
        return None
    try:
        with suppress(TypeError):
            # not an array of one fraction, which has an `__index__` that refuses
            whole = int(operator.index(value))
            return whole if abs(whole) <= _LARGEST else float(whole)
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
    except ValueError:
        # a signalling NaN of `decimal`
        return math.nan
    except TypeError:
        # an array of several numbers
        return None
