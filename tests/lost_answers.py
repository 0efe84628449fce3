"""Requests whose answers are lost, after they took effect or instead."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any, TypeVar

from remotejob.testing.crashes import Unreachable

T = TypeVar("T")


class Lost(StrEnum):
    """Who learns of it."""

    SENT_AGAIN = "the client sends the request again, and its answer is the second one's"
    ERROR = "the caller gets an error, and cannot know what became of the request"
    REFUSED = "the caller gets an error, and the request took no effect"


def _nothing() -> None:
    pass


class LostAnswer:
    """An interceptor that loses the answer to the first request of a kind.

    `kind` is a method of a port, such as "store.put_new", or the condition that one of the
    request's changes has, such as "claim". `meanwhile` happens before anybody tries again.
    """

    def __init__(
        self, kind: str, lost: Lost = Lost.SENT_AGAIN, *, meanwhile: Callable[[], object] = _nothing
    ) -> None:
        self._kind, self._lost, self._meanwhile = kind, lost, meanwhile
        self.happened = False

    def request(self, name: str, arguments: tuple[Any, ...], function: Callable[[], T]) -> T:
        if self.happened or self._kind not in (name, *map(_condition, arguments)):
            return function()
        self.happened = True
        if self._lost is not Lost.REFUSED:
            function()
        self._meanwhile()
        if self._lost is not Lost.SENT_AGAIN:
            raise Unreachable(f"{name}: connection closed")
        return function()


def _condition(argument: Any) -> str | None:
    """The name of the condition of a change or a step."""
    return getattr(getattr(argument, "condition", None), "name", None)
