"""OpenTelemetry traces, from the call that submits a job to the work of its task.

To get traces, import OpenTelemetry and set a tracer provider, as for any other library. Without
that import a process is not traced: this module never imports it first, so an untraced run costs
one dictionary lookup.

Span names and kinds follow the "Semantic conventions for messaging spans", but name the task
instead of the destination, because a queue runs many tasks.
Source: OpenTelemetry, "Semantic conventions for messaging spans"; W3C, "Trace Context".
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from remotejob.domain.argument_checks import is_a
from remotejob.domain.errors import JobCancelled, WorkerStopping
from remotejob.domain.text import kind_of

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

log = logging.getLogger(__name__)

_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_TRACESTATE: Final = re.compile(r"[ -~]{1,512}")
"""512 characters: the least that the recommendation says to pass on, and the most that we do."""

_SYSTEM: Final = "remotejob"


@dataclass(frozen=True, kw_only=True, slots=True)
class Trace:
    """A trace context, as messages carry it: the values of W3C's two headers."""

    parent: str
    state: str | None = None

    @property
    def fields(self) -> dict[str, str]:
        """The values by header name."""
        fields = {"traceparent": self.parent}
        return fields if self.state is None else {**fields, "tracestate": self.state}

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Self | None:
        """The trace context in a message; None if there is no well-formed one."""
        parent = fields.get("traceparent")
        if not isinstance(parent, str) or _TRACEPARENT.fullmatch(parent) is None:
            return None
        state = fields.get("tracestate")
        known = isinstance(state, str) and _TRACESTATE.fullmatch(state) is not None
        return cls(parent=parent, state=state if known else None)


@dataclass(kw_only=True, slots=True)
class Submitting:
    """A call that submits jobs, while it is under way."""

    trace: Trace | None = None
    """The trace context that its messages carry."""
    span: Span | None = None

    def made(self, job_id: str) -> None:
        """Note the id of the one job that it makes."""
        if self.span is not None:
            self.span.set_attribute("messaging.message.id", job_id)


@contextmanager
def submitting(*, queue: str, tasks: set[str], jobs: int | None = None) -> Iterator[Submitting]:
    """A producer span around a call that submits one job, or `jobs` of them.

    All messages of a call carry the context of this one span.
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
    """A consumer span around a run, a child of the submit's span and linked to it."""
    tracer = _tracer()
    if tracer is None:
        yield
        return
    from opentelemetry.trace import Link, SpanKind, get_current_span

    # a job without a trace context starts a new trace, even if this thread is in one
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
        # `ended_with` records an error, once the outcome of the run is decided
        record_exception=False,
        set_status_on_exception=False,
    ):
        yield


def ended_with(error: BaseException) -> None:
    """Record on the current span that its run ended with an error or was stopped. Never raises."""
    span = _current_span()
    if span is None:
        return
    try:
        if span.is_recording():
            _record(span, error)
    except Exception:
        # the error may be one that cannot be shown; it counts, and not its trace
        log.exception("the error is not in the trace")


def _record(span: Span, error: BaseException) -> None:
    kind = kind_of(error)
    if is_a(error, JobCancelled, WorkerStopping):
        # stopped on purpose: not an error
        span.set_attribute("remotejob.stopped", kind)
        return
    from opentelemetry.trace import StatusCode

    span.set_attribute("error.type", kind)
    span.set_status(StatusCode.ERROR, kind)
    # last: it runs the error's own code
    span.record_exception(error)


def carried() -> Trace | None:
    """The current trace context, for a message or another process."""
    if "opentelemetry.trace" not in sys.modules:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    fields: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(fields)
    return Trace.read(fields)


@contextmanager
def under(trace: Trace | None) -> Iterator[None]:
    """Make spans started inside children of a trace from another process; None changes nothing."""
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
"""The last provider seen, and its tracer."""


def _tracer() -> Tracer | None:
    # while another thread imports it, the module exists but its functions do not yet
    provider_now = getattr(sys.modules.get("opentelemetry.trace"), "get_tracer_provider", None)
    if provider_now is None:
        return None
    provider = provider_now()
    known = _known[0] if _known else None
    if known is None or known[0] is not provider:
        known = (provider, provider.get_tracer(_SYSTEM))
        _known[:] = [known]
    return known[1]
