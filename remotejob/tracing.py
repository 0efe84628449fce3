"""Traces: from the call that submits a job to what its task does, with OpenTelemetry.

Who wants traces imports OpenTelemetry and sets a tracer provider, as for any other library. A
process in which nobody has imported it is not traced: nothing here imports it first, and a run
costs a look into a dictionary.

Names and kinds of spans follow the "Semantic conventions for messaging spans", with the task where
they have the destination: a queue runs many tasks.
Source: OpenTelemetry, "Semantic conventions for messaging spans"; W3C, "Trace Context".
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from remotejob.domain.errors import JobCancelled, WorkerStopping

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_TRACESTATE: Final = re.compile(r"[ -~]{1,512}")
"""What the recommendation asks to be passed on at the least, and we pass on at the most."""

_SYSTEM: Final = "remotejob"


@dataclass(frozen=True, kw_only=True, slots=True)
class Trace:
    """A place in a trace, as messages carry it: the values of W3C's two headers."""

    parent: str
    state: str | None = None

    @property
    def fields(self) -> dict[str, str]:
        """By the headers' names."""
        fields = {"traceparent": self.parent}
        return fields if self.state is None else {**fields, "tracestate": self.state}

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Self | None:
        """The place that a message names; None where it names none that is well formed."""
        parent = fields.get("traceparent")
        if not isinstance(parent, str) or _TRACEPARENT.fullmatch(parent) is None:
            return None
        state = fields.get("tracestate")
        known = isinstance(state, str) and _TRACESTATE.fullmatch(state) is not None
        return cls(parent=parent, state=state if known else None)


@dataclass(kw_only=True, slots=True)
class Submitting:
    """A call that submits jobs, while it goes on."""

    trace: Trace | None = None
    """What its messages carry."""
    span: Span | None = None

    def made(self, job_id: str) -> None:
        """The one job it makes is known."""
        if self.span is not None:
            self.span.set_attribute("messaging.message.id", job_id)


@contextmanager
def submitting(*, queue: str, tasks: set[str], jobs: int | None = None) -> Iterator[Submitting]:
    """A producer's span around a call that submits one job, or with `jobs` so many.

    The messages of many carry its place all alike, and not one of their own each.
    """
    tracer = _tracer()
    if tracer is None:
        yield Submitting()
        return
    from opentelemetry.trace import SpanKind

    task = next(iter(tasks)) if len(tasks) == 1 else None
    attributes = _attributes("submit", "send", queue=queue, task=task)
    if jobs is not None:
        attributes["messaging.batch.message_count"] = jobs
    with tracer.start_as_current_span(
        f"submit {task or queue}", kind=SpanKind.PRODUCER, attributes=attributes
    ) as span:
        yield Submitting(trace=carried(), span=span)


@contextmanager
def running(
    *,
    job: str,
    queue: str,
    task: str,
    run: str | None,
    attempt: int | None,
    tenant: str | None,
    trace: Trace | None,
) -> Iterator[None]:
    """A consumer's span around a run, under the call that submitted the job and linked to it."""
    tracer = _tracer()
    if tracer is None:
        yield
        return
    from opentelemetry.trace import Link, SpanKind, get_current_span

    # a job that names no trace begins one, whatever goes on in this thread
    context = _context(trace)
    submitted = get_current_span(context).get_span_context()
    attributes = _attributes("run", "process", queue=queue, task=task)
    attributes["messaging.message.id"] = job
    attributes["remotejob.job"] = job
    if run is not None and attempt is not None:
        attributes["remotejob.run"] = run
        attributes["remotejob.attempt"] = attempt
    if tenant is not None:
        attributes["remotejob.tenant"] = tenant
    with tracer.start_as_current_span(
        f"run {task}",
        context=context,
        kind=SpanKind.CONSUMER,
        attributes=attributes,
        links=[Link(submitted)] if submitted.is_valid else None,
        # an error is told of once, by whoever decides what became of the run
        record_exception=False,
        set_status_on_exception=False,
    ):
        yield


def ended_with(error: BaseException) -> None:
    """The run whose span this is ends with an error, or was stopped."""
    span = _current_span()
    if span is None or not span.is_recording():
        return
    if isinstance(error, JobCancelled | WorkerStopping):
        # somebody wanted it so
        span.set_attribute("remotejob.stopped", type(error).__name__)
        return
    from opentelemetry.trace import StatusCode

    span.record_exception(error)
    span.set_attribute("error.type", type(error).__name__)
    span.set_status(StatusCode.ERROR, type(error).__name__)


def carried() -> Trace | None:
    """The place of what goes on here, for a message or another process."""
    if "opentelemetry.trace" not in sys.modules:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    fields: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(fields)
    return Trace.read(fields)


@contextmanager
def under(trace: Trace | None) -> Iterator[None]:
    """Let spans begun inside be children of a place in another process; None changes nothing."""
    if trace is None or "opentelemetry.trace" not in sys.modules:
        yield
        return
    from opentelemetry import context

    token = context.attach(_context(trace))
    try:
        yield
    finally:
        context.detach(token)


def _attributes(operation: str, kind: str, *, queue: str, task: str | None) -> dict[str, str | int]:
    attributes: dict[str, str | int] = {
        "messaging.system": _SYSTEM,
        "messaging.operation.name": operation,
        "messaging.operation.type": kind,
        "messaging.destination.name": queue,
    }
    if task is not None:
        attributes["remotejob.task"] = task
    return attributes


def _context(trace: Trace | None) -> Context:
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    fields = {} if trace is None else trace.fields
    return TraceContextTextMapPropagator().extract(fields, context=Context())


def _current_span() -> Span | None:
    trace = sys.modules.get("opentelemetry.trace")
    return None if trace is None else trace.get_current_span()


_known: Final[list[tuple[object, Tracer]]] = []
"""The provider that was met last, and its tracer."""


def _tracer() -> Tracer | None:
    # half imported by another thread, the module is there and its functions are not
    provider_now = getattr(sys.modules.get("opentelemetry.trace"), "get_tracer_provider", None)
    if provider_now is None:
        return None
    provider = provider_now()
    known = _known[0] if _known else None
    if known is None or known[0] is not provider:
        known = (provider, provider.get_tracer(_SYSTEM))
        _known[:] = [known]
    return known[1]
