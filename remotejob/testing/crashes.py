"""Injects a crash or fault at a chosen request, so that a test can try every request.

Every call of a port is numbered. A test runs its scenario with a fault at call 1, then at call 2,
and so on, until the scenario ends before the fault strikes:

    for number in itertools.count(1):
        faults = Faults(Fault.CRASH_AFTER, at=number)
        play(faults.process(installation, "worker"))
        if faults.struck is None:
            break

`HttpFaults` does the same to the HTTP attempts of AWS clients, so it also covers botocore's
retries.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass, field
from enum import StrEnum
from io import BytesIO
from typing import Any, Final, TypeVar

from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError

from remotejob.domain.changes import Change
from remotejob.domain.record import JobRecord
from remotejob.ports import Address, Installation
from remotejob.testing.interception import intercepted
from remotejob.worker.messages.handler import ProcessDeath

T = TypeVar("T")


class Crash(ProcessDeath):
    """The process dies here. Not an `Exception`, so that no handler can catch it and go on."""


class Unreachable(ConnectionError):
    """A request failed, and the caller cannot know whether it took effect."""


class Fault(StrEnum):
    """What happens to a call of a port."""

    CRASH_BEFORE = "crash before"
    CRASH_AFTER = "crash after"
    """The call takes effect, and the caller dies before it learns of that."""
    ERROR_BEFORE = "error before"
    ERROR_AFTER = "error after"
    """The call takes effect, and the caller gets an error."""
    STALL_BEFORE = "stall before"
    STALL_AFTER = "stall after"
    """The call takes effect, and the caller stalls while others act: its answer is stale."""


CRASHES: Final = (Fault.CRASH_BEFORE, Fault.CRASH_AFTER)
ERRORS: Final = (Fault.ERROR_BEFORE, Fault.ERROR_AFTER)
STALLS: Final = (Fault.STALL_BEFORE, Fault.STALL_AFTER)


@dataclass(frozen=True, slots=True)
class Call:
    """One request of a process."""

    number: int
    process: str
    name: str
    """The port's method, such as `store.update`."""
    arguments: str

    def __str__(self) -> str:
        return f"{self.number:4} {self.process}: {self.name}({self.arguments})"


def _nothing() -> None:
    pass


class Schedule:
    """Numbers the calls and picks the one that the fault strikes, once."""

    def __init__(self, *, at: int = 0) -> None:
        self._lock = threading.Lock()
        self._at = at
        self.calls: list[Call] = []
        self.struck: Call | None = None
        """The call that met the fault."""
        self._disarmed_after: int | None = None

    @property
    def exposed(self) -> int:
        """How many calls the fault could have struck: all before `disarm`."""
        return len(self.calls) if self._disarmed_after is None else self._disarmed_after

    def disarm(self) -> None:
        """Inject no fault from now on."""
        self._at = 0
        if self._disarmed_after is None:
            self._disarmed_after = len(self.calls)

    def strike_in(self, calls: int) -> None:
        """Let the fault strike after this many more calls; 1 is the next one."""
        self._at = len(self.calls) + calls

    def report(self) -> str:
        """The calls, one per line, marking the one that met the fault."""
        marked = (f"{call}   <-- here" if call == self.struck else str(call) for call in self.calls)
        return "\n".join(marked)

    def _strikes(self, process: str, name: str, arguments: str) -> bool:
        """Record a call, and return whether the fault strikes it."""
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
        """With `at=0` no fault strikes. While the process stalls, `meanwhile` runs."""
        super().__init__(at=at)
        self.fault = fault
        self.meanwhile = meanwhile

    def process(self, installation: Installation, name: str) -> Installation:
        """The ports for one process: once it has crashed, its calls fail."""
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
        if not self._strikes(process.name, name, shown(arguments)):
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


def shown(arguments: tuple[object, ...]) -> str:
    """The arguments of a call, for a report."""
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
    """What happens to one HTTP attempt."""

    CRASH_BEFORE = "crash before"
    CRASH_AFTER = "crash after"
    REFUSE = "answer 500"
    """The server does nothing and answers 500; botocore retries."""
    DROP = "drop the answer"
    """The request takes effect and the response is lost, so botocore's retry finds its effect."""
    HOLD_UP = "hold up the request"
    """No response comes, and botocore retries. The request takes effect long after its retry."""


@dataclass(kw_only=True)
class HttpFaults(Schedule):
    """One fault at one HTTP attempt of the clients it is attached to."""

    handle: Callable[..., Any]
    """Answers an attempt: the `before-send` handler of the embedded AWS."""
    fault: HttpFault = HttpFault.CRASH_BEFORE
    at: int = 0
    delay: int | None = None
    """How many attempts come before one that was held up; default: it arrives at `arrive`."""
    name: str = field(default="", init=False)
    dead: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        super().__init__(at=self.at)
        self._held_up: tuple[str, Any] | None = None
        self._attempts_left = 0

    def arrive(self) -> None:
        """Let the request that was held up, if any, take effect now."""
        held_up, self._held_up = self._held_up, None
        if held_up is not None:
            event_name, request = held_up
            self.handle(event_name=event_name, request=request)

    def attach(self, *emitters: Any) -> None:
        """Intercept the requests of sessions, or of clients given by their `meta.events`."""
        for emitter in emitters:
            # botocore calls every handler even after one has answered, so replace the other
            emitter.unregister("before-send", self.handle)
            emitter.register_first("before-send", self, unique_id="faults")

    def detach(self, *emitters: Any) -> None:
        for emitter in emitters:
            emitter.unregister("before-send", self, unique_id="faults")
            emitter.register("before-send", self.handle)

    def process(self, installation: Installation, name: str) -> Installation:
        """Start a new process on the same clients, in place of the previous one."""
        self.name, self.dead = name, False
        return installation

    def __call__(self, event_name: str, request: Any, **_: Any) -> Any:
        if self.dead:
            raise Crash(f"{self.name} is dead and cannot send {event_name}")
        self._attempts_left -= 1
        if self._held_up is not None and self.delay is not None and self._attempts_left < 0:
            self.arrive()
        if not self._strikes(self.name, event_name.removeprefix("before-send."), request.url):
            return self.handle(event_name=event_name, request=request)
        if self.fault is HttpFault.CRASH_BEFORE:
            self._die(event_name)
        if self.fault is HttpFault.REFUSE:
            return AWSResponse(request.url, 500, HTTPHeaders(), _Body(b""))
        if self.fault is HttpFault.HOLD_UP:
            self._held_up, self._attempts_left = (event_name, _copied(request)), self.delay or 0
            raise ReadTimeoutError(endpoint_url=request.url)
        answer = self.handle(event_name=event_name, request=request)
        if self.fault is HttpFault.CRASH_AFTER:
            self._die(event_name)
        if self.fault is HttpFault.DROP:
            raise ConnectionClosedError(endpoint_url=request.url)
        return answer

    def _die(self, event_name: str) -> None:
        self.dead = True
        raise Crash(f"{self.name} crashed at {event_name}")


def _copied(request: Any) -> Any:
    """The request with bytes of its own: the client's retry reads the same stream again."""
    held = copy(request)
    if hasattr(request.body, "read"):
        held.body = request.body.read()
        request.reset_stream()
    return held


class _Body(BytesIO):
    """A raw response body with the interface botocore reads."""

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self.read()
