"""Values that no caller should pass; some run code of their own when they are looked at."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Final


class Broken(Exception):
    """What the values here raise; it must reach no caller."""


def _raise(*_: object, **__: object) -> Any:
    raise Broken("from the value's own code")


class Unshowable:
    __repr__ = __str__ = __format__ = _raise


class Hostile(Unshowable):
    __eq__ = __ne__ = __hash__ = __bool__ = __len__ = __iter__ = __getattr__ = _raise
    __contains__ = __float__ = __index__ = __int__ = __lt__ = __call__ = _raise


class HostileText(str):
    __slots__ = ()
    __repr__ = __str__ = __eq__ = __ne__ = encode = startswith = strip = __len__ = _raise
    __hash__ = str.__hash__
    __format__ = _raise


class HostileDict(dict[str, Any]):
    __repr__ = __iter__ = items = keys = values = get = __contains__ = __len__ = _raise


class HostileList(list[Any]):
    __repr__ = __iter__ = __len__ = __getitem__ = _raise


class Array:
    """Like numpy's: compares by element, and has no truth."""

    def __init__(self) -> None:
        self.shape = (2,)

    def __eq__(self, other: object) -> Any:
        return self

    __hash__ = None  # type: ignore[assignment]
    __bool__ = _raise

    def __len__(self) -> int:
        return 2

    def __iter__(self) -> Iterator[float]:
        return iter((1.0, 2.0))


class BadStream:
    def read(self, size: int = -1) -> Any:
        raise Broken("the stream is broken")


class TextStream:
    def read(self, size: int = -1) -> Any:
        return ""


class Unspeakable(Exception):
    __repr__ = __str__ = _raise


def nested(levels: int) -> list[Any]:
    deep: list[Any] = []
    for _ in range(levels - 1):
        deep = [deep]
    return deep


CIRCLE: Final[list[Any]] = []
CIRCLE.append(CIRCLE)

ODD: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, -1, 7, 10**40, 10**5000, 1.5, -0.0, 1e308),
    *(
        float("nan"),
        float("inf"),
        float("-inf"),
        1j,
        Decimal("1.5"),
        Decimal("NaN"),
        Fraction(1, 3),
    ),
    *("", " ", "a", "\ud800", "\0", "a\r\nb: c", "s3://", "s3://memory-input/\ud800/", "é" * 300),
    *("x" * 5_000_000, "s3://" + "y" * 5_000_000, b"", b"x", b"y" * 1_000_000),
    *(bytearray(b"x"), memoryview(b"x")),
    *([], [None], [[]], ["\ud800"], (), {}, {1: 2}, {"a": object()}, {"key": 1, "body": 2}, set()),
    *({"filename": "\ud800"}, {"body": 5}, [{"body": "nowhere"}], {"X": "y"}, {"x": "\ud800"}),
    *(nested(101), nested(930), nested(100_000), CIRCLE, ["x" * 2_000_000]),
    *(object(), object, Ellipsis, NotImplemented, print, lambda: None),
    *(datetime(2026, 1, 1), datetime.max, datetime.min.replace(tzinfo=UTC)),  # noqa: DTZ001, DTZ901
    datetime.max.replace(tzinfo=timezone(-timedelta(hours=12))),
    *(timedelta(-1), timedelta.min, timedelta.max, Path("nowhere"), Path("\0"), Path("n" * 5000)),
    *(Hostile(), Unshowable(), HostileText("work"), HostileText("input"), HostileDict(a=1)),
    *(HostileList([1]), Array(), BadStream(), TextStream(), Broken("x"), Unspeakable()),
    *([Hostile()], {"a": Hostile()}, [HostileText("a")], [HostileDict(body=b"x")]),
)
