"""Text as it is stored or shown: compact JSON, messages cut to a length, values in messages."""

from __future__ import annotations

import json
import traceback
from typing import Any, Final

NESTED_AT_MOST: Final = 100
"""Levels of lists and dicts in a value. Python's JSON reader fails at about 1,000 frames of the
stack, and some of those belong to the reader's own callers."""

_SHOWN: Final = 200
"""Characters of a value in a message."""


def dumps(value: Any) -> str:
    """JSON as stored: compact, and unescaped where UTF-8 is shorter."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def nested_too_deep(value: object, *, levels: int = NESTED_AT_MOST) -> bool:
    """Whether lists and dicts lie within each other deeper than that many levels."""
    if not isinstance(value, dict | list | tuple):
        return False
    if not levels:
        return True
    parts = value.values() if isinstance(value, dict) else value
    return any(nested_too_deep(part, levels=levels - 1) for part in parts)


def cut(text: str, most: int) -> str:
    """The text, storable and at most `most` characters long."""
    # cut first: it may be many megabytes
    text = text if len(text) <= most else text[: most - 1] + "…"
    # a lone surrogate, from a file name that could not be decoded, has no UTF-8
    return text.encode(errors="replace").decode()


def counted(number: int, what: str) -> str:
    """How many there are, such as `1 job` and `2 jobs`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def shown(value: object) -> str:
    """Any value as an error message shows it: on one line, at most 200 characters.

    Never raises, even if the value's own `repr` does.
    """
    try:
        if issubclass(type(value), str | bytes):
            # the repr of the whole value may be many megabytes
            value = value[: _SHOWN + 1]  # type: ignore[index]
        text = cut(repr(value), _SHOWN)
        return text if text.isprintable() else _on_one_line(text)
    except Exception:  # noqa: BLE001 (the value's own code may raise anything)
        return f"<{type(value).__name__} that cannot be shown>"


def printable(text: str) -> str:
    """The text with each character that does not show itself as an escape, except tabs."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or letter == "\t" else repr(letter)[1:-1] for letter in text
    )


def said_by(error: BaseException) -> str:
    """An error's message, even if its `__str__` raises. Never raises itself."""
    try:
        # an exact str: a subclass may override what we call on it
        return str.__str__(str(error)) or str.__str__(repr(error))
    except BaseException:  # noqa: BLE001 (a broken __str__ must not hide the error)
        return f"an error of class {kind_of(error)} that cannot be shown"


def kind_of(error: BaseException) -> str:
    """The name of an error's class, even if its metaclass has another; at most 200 characters."""
    return cut(type.__dict__["__name__"].__get__(type(error)), _SHOWN)


def trace_of(error: BaseException) -> str:
    """An error's traceback, even if a part of it cannot be written.

    Raises: MemoryError.
    """
    try:
        return "".join(traceback.format_exception(error))
    except MemoryError:
        raise
    except BaseException as problem:  # noqa: BLE001 (as above)
        own = f"{kind_of(error)}: {said_by(error)}\n(its traceback cannot be written whole: "
        where = "".join(traceback.format_tb(error.__traceback__))
        return f"Traceback (most recent call last):\n{where}{own}{kind_of(problem)})\n"


def name_of(function: object) -> str:
    """The name of something that can be called, even if it has none or does not say."""
    try:
        return cut(str(getattr(function, "__qualname__", type(function).__name__)), _SHOWN)
    except Exception:  # noqa: BLE001 (its own __getattr__ may raise anything)
        return type(function).__name__


def _on_one_line(text: str) -> str:
    return cut(
        "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text), _SHOWN
    )
