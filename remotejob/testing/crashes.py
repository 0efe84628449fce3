"""Crashes and faults at a chosen request, for tests that try them all.

Every call of a port is numbered. A test runs its scenario with a fault at call 1, then at call 2,
and so on until the scenario ends before the fault is reached:

    for number in itertools.count(1):
        faults = Faults(Fault.CRASH_AFTER, at=number)
        play(faults.process(installation, "worker"))
        if faults.struck is None:
            break

`HttpFaults` does the same to the HTTP attempts of AWS clients, so that botocore's own retries take
part.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from io import BytesIO
from typing import Any, Final, TypeVar

from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ConnectionClosedError

from remotejob.domain.changes import Change
from remotejob.domain.record import JobRecord
from remotejob.ports import Address, Installation
from remotejob.testing.interception import intercepted
from remotejob.worker.messages.handler import ProcessDeath

T = TypeVar("T")


class Crash(ProcessDeath):
    """The process ends here. Not an `Exception`: nothing may catch it and go on."""


class Unreachable(ConnectionError):
    """A request failed; whether it had its effect the caller cannot know."""


class Fault(StrEnum):
    """What befalls a call of a port."""

    CRASH_BEFORE = "crash before"
    CRASH_AFTER = "crash after"
    """It had its effect, and nobody is left to learn of it."""
    ERROR_BEFORE = "error before"
    ERROR_AFTER = "error after"
    """It had its effect, and the caller is told that it failed."""
    STALL_BEFORE = "stall before"
    STALL_AFTER = "stall after"
    """The caller stands still while others act; the answer it then sees is old."""


CRASHES: Final = (Fault.CRASH_BEFORE, Fault.CRASH_AFTER)
ERRORS: Final = (Fault.ERROR_BEFORE, Fault.ERROR_AFTER)
STALLS: Final = (Fault.STALL_BEFORE, Fault.STALL_AFTER)


@dataclass(frozen=True, slots=True)
class Call:
    """One request a process made."""

    number: int
    process: str
    name: str
    """Such as `store.update`."""
    arguments: str

    def __str__(self) -> str:
        return f"{self.number:4} {self.process}: {self.name}({self.arguments})"


def _nothing() -> None:
    pass


class Schedule:
    """The calls made so far, and at which one the fault strikes, once."""

    def __init__(self, *, at: int = 0) -> None:
        self._lock = threading.Lock()
        self._at = at
        self.calls: list[Call] = []
        self.struck: Call | None = None
        """The call that met the fault."""
        self._disarmed_after: int | None = None

    @property
    def exposed(self) -> int:
        """How many calls the fault could have struck: those before `disarm`."""
        return len(self.calls) if self._disarmed_after is None else self._disarmed_after

    def disarm(self) -> None:
        """From now on nothing goes wrong."""
        self._at = 0
        if self._disarmed_after is None:
            self._disarmed_after = len(self.calls)

    def strike_in(self, calls: int) -> None:
        """Let the fault strike at that call from now, the next one being 1."""
        self._at = len(self.calls) + calls

    def report(self) -> str:
        """The calls, one a line, with the one that met the fault."""
        marked = (f"{call}   <-- here" if call == self.struck else str(call) for call in self.calls)
        return "\n".join(marked)

    def _numbered(self, process: str, name: str, arguments: str) -> bool:
        """Note a call; whether the fault strikes it."""
        with self._lock:
            call = Call(len(self.calls) + 1, process, name, arguments)
            self.calls.append(call)
            if call.number != self._at:
                return False
            self.struck = call
            return True


class Faults(Schedule):
    """One fault at one call of the ports, counted over all processes."""

    def __init__(
        self,
        fault: Fault = Fault.CRASH_BEFORE,
        *,
        at: int = 0,
        meanwhile: Callable[[], None] = _nothing,
    ) -> None:
        """`at` 0 is never; `meanwhile` is what others do while the process stalls."""
        super().__init__(at=at)
        self.fault = fault
        self.meanwhile = meanwhile

    def process(self, installation: Installation, name: str) -> Installation:
        """The ports as one process sees them: once it has crashed it reaches nothing."""
        return intercepted(installation, _Process(name=name, faults=self))

    def _carry_out(
        self,
        process: _Process,
        name: str,
        arguments: tuple[object, ...],
        function: Callable[[], T],
    ) -> T:
        if process.dead:
            raise Crash(f"{process.name} is dead and cannot call {name}")
        if not self._numbered(process.name, name, _shown(arguments)):
            return function()
        if self.fault is Fault.STALL_BEFORE:
            self.meanwhile()
        elif self.fault is Fault.ERROR_BEFORE:
            raise Unreachable(f"{name}: connection refused")
        elif self.fault is Fault.CRASH_BEFORE:
            process.die(name)
        answer = function()
        if self.fault is Fault.STALL_AFTER:
            self.meanwhile()
        elif self.fault is Fault.ERROR_AFTER:
            raise Unreachable(f"{name}: connection closed")
        elif self.fault is Fault.CRASH_AFTER:
            process.die(name)
        return answer


@dataclass(kw_only=True, slots=True)
class _Process:
    name: str
    faults: Faults
    dead: bool = False

    def request(self, name: str, arguments: tuple[object, ...], function: Callable[[], T]) -> T:
        return self.faults._carry_out(self, name, arguments, function)

    def die(self, name: str) -> None:
        self.dead = True
        raise Crash(f"{self.name} crashed at {name}")


def _shown(arguments: tuple[object, ...]) -> str:
    return ", ".join(_brief(argument) for argument in arguments)


def _brief(argument: object) -> str:
    if isinstance(argument, Change):
        return f"{argument.condition.name} of {argument.job_id}"
    if isinstance(argument, JobRecord):
        return f"{argument.state} {argument.id}"
    if isinstance(argument, Address):
        return f"{argument.queue}/{argument.channel}"
    text = str(argument)
    return text if len(text) <= 60 else f"{text[:57]}..."


class HttpFault(StrEnum):
    """What befalls one HTTP attempt."""

    CRASH_BEFORE = "crash before"
    CRASH_AFTER = "crash after"
    REFUSE = "answer 500"
    """The server does nothing and says so; botocore tries again."""
    DROP = "drop the answer"
    """The server does its work and the answer is lost; botocore tries again, and meets its own
    first attempt."""


@dataclass(kw_only=True)
class HttpFaults(Schedule):
    """One fault at one HTTP attempt of whatever it is attached to."""

    handle: Callable[..., Any]
    """How an attempt is answered: the `before-send` hook of the AWS that is embedded here."""
    fault: HttpFault = HttpFault.CRASH_BEFORE
    at: int = 0
    name: str = field(default="", init=False)
    dead: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        super().__init__(at=self.at)

    def attach(self, *emitters: Any) -> None:
        """Stand between AWS and those whose events these are: a session, or a client's `meta`."""
        for emitter in emitters:
            # botocore calls every hook, also after one has answered: the faults must be alone
            emitter.unregister("before-send", self.handle)
            emitter.register_first("before-send", self, unique_id="faults")

    def detach(self, *emitters: Any) -> None:
        for emitter in emitters:
            emitter.unregister("before-send", self, unique_id="faults")
            emitter.register("before-send", self.handle)

    def process(self, installation: Installation, name: str) -> Installation:
        """A new process on the same clients; the one before is gone."""
        self.name, self.dead = name, False
        return installation

    def __call__(self, event_name: str, request: Any, **_: Any) -> Any:
        if self.dead:
            raise Crash(f"{self.name} is dead and cannot send {event_name}")
        if not self._numbered(self.name, event_name.removeprefix("before-send."), request.url):
            return self.handle(event_name=event_name, request=request)
        if self.fault is HttpFault.CRASH_BEFORE:
            self._die(event_name)
        if self.fault is HttpFault.REFUSE:
            return AWSResponse(request.url, 500, HTTPHeaders(), _Body(b""))
        answer = self.handle(event_name=event_name, request=request)
        if self.fault is HttpFault.CRASH_AFTER:
            self._die(event_name)
        if self.fault is HttpFault.DROP:
            raise ConnectionClosedError(endpoint_url=request.url)
        return answer

    def _die(self, event_name: str) -> None:
        self.dead = True
        raise Crash(f"{self.name} crashed at {event_name}")


class _Body(BytesIO):
    """The raw body of an answer, as botocore reads it."""

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self.read()
