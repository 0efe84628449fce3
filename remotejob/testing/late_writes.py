"""Lets one write take effect long after its client gave up on it, so that a test can try every one.

A request can be held up in a proxy, a load balancer or the service itself, while the client's
timeout passes. The client sends it again, or reports an error; the first request still arrives,
perhaps after the job has ended. Writes are numbered like the calls of `testing.crashes`.

Uploads of files are left out: a key belongs to one run, so writing it late changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeVar

from remotejob.domain.transactions import Check
from remotejob.ports import Installation
from remotejob.testing.crashes import Crash, Schedule, Unreachable, shown
from remotejob.testing.interception import intercepted

T = TypeVar("T")

_WRITES: Final = frozenset(
    {
        "store.put_new",
        "store.put_fresh",
        "store.update",
        "store.transact",
        "store.put_note",
        "messages.send",
        "messages.delete",
        "messages.hide",
    }
)


class Late(StrEnum):
    """What the client learns of a write that takes effect late."""

    RETRIED = "retried"
    """Its retry took effect at once, and was answered. The first attempt arrives later."""
    GIVEN_UP = "given up"
    """Nothing has happened yet, and the caller gets an error."""
    DIED = "died"
    """Nothing has happened yet, and the caller dies."""


@dataclass(slots=True)
class _OnItsWay:
    write: Callable[[], object]
    calls_left: int | None
    """How many calls of any process come first; None for no end."""


class LateWrites(Schedule):
    """Late writes, counted over all processes. Calls that only read are not counted."""

    def __init__(self, late: Late = Late.RETRIED, *, at: int = 0, delay: int | None = None) -> None:
        """`delay`: how many calls of any process come first; default: it arrives at `arrive`."""
        super().__init__(at=at)
        self.late = late
        self.delay = delay
        self.arrived = 0
        """How many writes arrived late."""
        self._on_their_way: list[_OnItsWay] = []

    def process(self, installation: Installation, name: str) -> Installation:
        """The ports for one process: once it has died, its calls fail."""
        return intercepted(installation, _Process(name, self))

    def arrive(self) -> None:
        """Let every write that is on its way take effect now."""
        self._arrive(self._on_their_way)

    def _arrive(self, due: list[_OnItsWay]) -> None:
        self._on_their_way = [one for one in self._on_their_way if one not in due]
        for one in due:
            self.arrived += 1
            one.write()

    def _carry_out(
        self, process: _Process, name: str, arguments: tuple[Any, ...], function: Callable[[], T]
    ) -> T:
        if process.dead:
            raise Crash(f"{process.name} is dead and cannot call {name}")
        self._pass()
        if name not in _WRITES or not self._strikes(process.name, name, shown(arguments)):
            return function()
        late = _OnItsWay(function, self.delay)
        if self.late is Late.RETRIED:
            answer = function()
            if not _has_token(name, arguments):
                self._on_their_way.append(late)
            return answer
        self._on_their_way.append(late)
        if self.late is Late.DIED:
            process.dead = True
            raise Crash(f"{process.name} died while it waited for {name}")
        raise Unreachable(f"{name}: timed out")

    def _pass(self) -> None:
        """One more call is made before the late writes arrive."""
        for one in self._on_their_way:
            if one.calls_left is not None:
                one.calls_left -= 1
        self._arrive([one for one in self._on_their_way if (one.calls_left or 0) < 0])


@dataclass(slots=True)
class _Process:
    name: str
    writes: LateWrites
    dead: bool = False

    def request(self, name: str, arguments: tuple[Any, ...], function: Callable[[], T]) -> T:
        return self.writes._carry_out(self, name, arguments, function)


def _has_token(name: str, arguments: tuple[Any, ...]) -> bool:
    """Whether the service recognizes the write's retry, and carries it out once.

    Source: Amazon DynamoDB, TransactWriteItems, ClientRequestToken. A single step is an ordinary
    write, which has no token.
    """
    return name == "store.transact" and (len(arguments) > 1 or isinstance(arguments[0], Check))
