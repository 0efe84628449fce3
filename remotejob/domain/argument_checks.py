"""Checks of the arguments of public calls. Each returns the value in the form we work with.

They ask for a value's type only through `is_a` and call no method of a value whose type is wrong,
so whatever is passed, the caller gets `InvalidInput` and never an error of the value's own code.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, Final, SupportsFloat, TypeGuard, TypeVar, cast, overload

from remotejob.domain.errors import InvalidData, InvalidInput, InvalidName, RemoteJobError
from remotejob.domain.text import cut, said_by, shown

C = TypeVar("C", bound=StrEnum)
T = TypeVar("T")
U = TypeVar("U")

MOST: Final = 1_000_000_000
"""The largest count that a policy takes; its JSON stays short."""


@overload
def is_a(value: object, kind: type[T], /) -> TypeGuard[T]: ...
@overload
def is_a(value: object, kind: type[T], other: type[U], /) -> TypeGuard[T | U]: ...
@overload
def is_a(value: object, *kinds: type) -> bool: ...
def is_a(value: object, *kinds: type) -> bool:
    """Whether a value is of one of these types, whatever its `__class__` says."""
    return issubclass(type(value), kinds)


def plain_text(value: object) -> str | None:
    """A text as an exact `str`; None if it is no text."""
    # not str(): a subclass may override it
    return str.__str__(value) if is_a(value, str) else None


def plain_whole(value: object) -> int | None:
    """A whole number as an exact `int`; None if it is none, as a bool."""
    if is_a(value, int) and not is_a(value, bool):
        return int.__int__(value)
    return None


def check_text(
    name: str, value: object, *, remedy: str, error: type[InvalidInput] = InvalidData
) -> str:
    """A text that UTF-8 can encode, as a plain `str`. Raises: `error`."""
    text = plain_text(value)
    if text is None:
        raise error(f"{name}={shown(value)}: not text; {remedy}")
    if not encodes(text):
        raise error(f"{name}={shown(text)}: not valid Unicode; {remedy}")
    return text


def encodes(text: str) -> bool:
    """Whether a text has a UTF-8 form; half a surrogate pair has none."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_whole(name: str, value: object, *, least: int, most: int = MOST, or_: str = "") -> int:
    """A whole number in a range; a bool is none. `or_` names another value that is allowed.

    Raises: InvalidData.
    """
    number = plain_whole(value)
    if number is None or not least <= number <= most:
        raise InvalidData(f"{name}={shown(value)}: use a whole number from {least} to {most}{or_}")
    return number


def check_number(name: str, value: object, *, remedy: str) -> float:
    """A number: whatever `float` takes, except text and bools; NaN and infinity too.

    Raises: InvalidData.
    """
    if is_a(value, int, float) and not is_a(value, bool):
        return value
    if is_a(value, SupportsFloat) and not is_a(value, bool):
        with reading(name):
            return float(cast("SupportsFloat", value))
    raise InvalidData(f"{name}={shown(value)}: not a number; {remedy}")


def check_flag(name: str, value: object) -> bool:
    """True or False. Raises: InvalidData, for values that are only true or false in an `if`."""
    if value is not True and value is not False:
        raise InvalidData(f"{name}={shown(value)}: use True or False")
    return value


def check_choice(
    lead: str, value: object, choices: type[C], *, error: type[RemoteJobError] = InvalidName
) -> C:
    """A member of an enumeration, given as such or by its value.

    `lead` stands before the value in the message, such as "state ". Raises: `error`.
    """
    return choices(check_word(lead, value, list(choices), error=error))


def check_word(
    lead: str, value: object, words: Collection[str], *, error: type[RemoteJobError] = InvalidName
) -> str:
    """One of these words, as a plain `str`. `lead` as in `check_choice`. Raises: `error`."""
    text = plain_text(value)
    if text is None or text not in words:
        raise error(f"{lead}{shown(value)}: use one of {', '.join(words)}")
    return text


def check_kind(name: str, value: object, kind: type[T], *, remedy: str) -> T:
    """A value of one type. Raises: InvalidData."""
    if is_a(value, kind):
        return value
    raise InvalidData(f"{name}={shown(value)}: {remedy}")


def check_callable(name: str, value: object, *, remedy: str) -> Callable[..., Any]:
    """Something that can be called. Raises: InvalidData."""
    if not callable(value):
        raise InvalidData(f"{name}={shown(value)}: {remedy}")
    return value


def check_items(name: str, values: object, *, remedy: str) -> list[Any]:
    """The items of any iterable but a text. Raises: InvalidData, also when iterating raises."""
    if not is_a(values, str, bytes) and is_a(values, Iterable):
        with reading(name):
            return list(cast("Iterable[Any]", values))
    raise InvalidData(f"{name}={shown(values)}: {remedy}")


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn what a caller's value raises while we read it into InvalidData; ours passes."""
    try:
        yield
    except RemoteJobError:
        raise
    except Exception as problem:
        raise InvalidData(
            f"{name} cannot be read: {type(problem).__name__}: {cut(said_by(problem), 200)}"
        ) from problem
