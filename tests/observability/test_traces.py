"""Traces: one from the submit to what the task does, carried by the message."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import textwrap
from datetime import timedelta
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from remotejob import Fatal, Job, Queue, Retry, RunningJob, State, Submission
from remotejob.jobs.messaging.messages import Pending
from remotejob.ports import Address, Channel, Installation, Outgoing
from remotejob.tasks import Registry
from remotejob.testing import FakeClock, Simulation
from remotejob.testing.conformance import samples
from remotejob.worker.runs.log_context import JobContext, job_context, running

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
LANE = Address("default", Channel.NORMAL)


def by_name(spans: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    found = {span.name: span for span in spans.get_finished_spans()}
    assert len(found) == len(spans.get_finished_spans()), "a name twice"
    return found


def place(span: ReadableSpan) -> tuple[int, int]:
    context = span.get_span_context()
    assert context is not None
    return context.trace_id, context.span_id


def parent_of(span: ReadableSpan) -> tuple[int, int] | None:
    return None if span.parent is None else (span.parent.trace_id, span.parent.span_id)


def waiting(installation: Installation) -> list[dict[str, Any]]:
    """The bodies of all visible messages, which are hidden by being looked at."""
    received = installation.messages.receive(
        LANE, limit=10, wait=timedelta(0), hidden=timedelta(seconds=0)
    )
    return [json.loads(message.body) for message in received]


def test_a_job_is_one_trace_from_its_submit_to_what_its_task_does(
    queue: Queue, worker: Simulation, tasks: Registry, spans: InMemorySpanExporter
) -> None:
    tracer = trace.get_tracer("the user's")

    @tasks.task("work")
    def work(job: RunningJob) -> None:
        with tracer.start_as_current_span("inside"):
            job.log("working")

    with tracer.start_as_current_span("request"):
        job = queue.submit("work", tenant="acme")
    worker.step()

    found = by_name(spans)
    request, submit, run = found["request"], found["submit work"], found["run work"]
    assert parent_of(request) is None
    assert parent_of(submit) == place(request)
    assert parent_of(run) == place(submit)
    assert parent_of(found["inside"]) == place(run)
    assert (submit.kind, run.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    assert [(link.context.trace_id, link.context.span_id) for link in run.links] == [place(submit)]
    assert dict(submit.attributes or {}) == {
        "messaging.system": "remotejob",
        "messaging.operation.name": "submit",
        "messaging.operation.type": "send",
        "messaging.destination.name": "default",
        "messaging.message.id": job.id,
        "remotejob.task": "work",
    }
    assert dict(run.attributes or {}) == {
        "messaging.system": "remotejob",
        "messaging.operation.name": "run",
        "messaging.operation.type": "process",
        "messaging.destination.name": "default",
        "messaging.message.id": job.id,
        "remotejob.task": "work",
        "remotejob.job": job.id,
        "remotejob.run": job.refresh().record.run_id,
        "remotejob.attempt": 1,
        "remotejob.tenant": "acme",
    }
    assert run.status.status_code is StatusCode.UNSET


def test_an_async_tasks_spans_are_under_its_run(
    queue: Queue, worker: Simulation, tasks: Registry, spans: InMemorySpanExporter
) -> None:
    async def inner() -> None:
        with trace.get_tracer("the user's").start_as_current_span("inside"):
            await asyncio.sleep(0)

    @tasks.task("work")
    def work(job: RunningJob) -> None:
        async def both() -> None:
            await asyncio.gather(inner(), asyncio.create_task(asyncio.sleep(0)))

        asyncio.run(both())

    queue.submit("work")
    worker.step()

    found = by_name(spans)
    assert parent_of(found["inside"]) == place(found["run work"])


def test_a_run_in_another_process_goes_on_with_the_trace(spans: InMemorySpanExporter) -> None:
    context = JobContext(job="1", queue="default", task="work", run="2", attempt=1)
    with running(context, None):
        told = json.loads(json.dumps(context.packed()))

    unpacked, there = JobContext.unpacked(told)
    with job_context(unpacked, there), trace.get_tracer("there").start_as_current_span("inside"):
        pass

    found = by_name(spans)
    assert unpacked == context
    assert parent_of(found["inside"]) == place(found["run work"])


def test_each_attempt_is_a_run_of_the_same_trace(
    queue: Queue,
    worker: Simulation,
    tasks: Registry,
    clock: FakeClock,
    spans: InMemorySpanExporter,
) -> None:
    @tasks.task("work", retry=Retry(max_attempts=3, wait=timedelta(minutes=1)))
    def work(job: RunningJob) -> None:
        if job.attempt == 1:
            raise ValueError("not yet")

    queue.submit("work")
    worker.step()
    clock.advance(timedelta(minutes=2))
    worker.step()

    submit, first, second = spans.get_finished_spans()
    assert [span.name for span in (submit, first, second)] == ["submit work", *["run work"] * 2]
    assert parent_of(first) == parent_of(second) == place(submit)
    assert [dict(span.attributes or {})["remotejob.attempt"] for span in (first, second)] == [1, 2]
    assert first.status.status_code is StatusCode.ERROR
    assert second.status.status_code is StatusCode.UNSET


def test_an_error_is_recorded_once_and_marks_the_run(
    queue: Queue, worker: Simulation, tasks: Registry, spans: InMemorySpanExporter
) -> None:
    @tasks.task("work")
    def work(job: RunningJob) -> None:
        raise Fatal("the page is blank")

    queue.submit("work")
    worker.step()

    run = by_name(spans)["run work"]
    assert run.status.status_code is StatusCode.ERROR
    assert dict(run.attributes or {})["error.type"] == "Fatal"
    (event,) = run.events
    assert event.name == "exception"
    assert dict(event.attributes or {})["exception.message"] == "the page is blank"


def test_a_result_that_cannot_be_kept_marks_the_run(
    queue: Queue, worker: Simulation, tasks: Registry, spans: InMemorySpanExporter
) -> None:
    @tasks.task("work")
    def work(job: RunningJob) -> object:
        return object()

    job = queue.submit("work")
    worker.step()

    assert job.refresh().state is State.FAILED
    assert by_name(spans)["run work"].status.status_code is StatusCode.ERROR


def test_a_cancelled_run_is_marked_and_is_no_error(
    queue: Queue, worker: Simulation, tasks: Registry, clock: FakeClock, spans: InMemorySpanExporter
) -> None:
    @tasks.task("work")
    def work(job: RunningJob) -> None:
        queue_job.cancel()
        clock.advance(timedelta(seconds=30))
        worker.beat()
        job.check()

    queue_job: Job = queue.submit("work")
    worker.step()

    run = by_name(spans)["run work"]
    assert run.status.status_code is StatusCode.UNSET
    assert dict(run.attributes or {})["remotejob.stopped"] == "JobCancelled"


def test_many_jobs_share_the_span_of_the_call_that_submits_them(
    queue: Queue,
    worker: Simulation,
    tasks: Registry,
    installation: Installation,
    spans: InMemorySpanExporter,
) -> None:
    tasks.task("work")(lambda job: None)

    queue.submit_many([Submission(task="work") for _ in range(12)])
    bodies = waiting(installation)
    worker.step()
    worker.step()

    submits = [span for span in spans.get_finished_spans() if span.name == "submit work"]
    runs = [span for span in spans.get_finished_spans() if span.name == "run work"]
    assert len(submits) == 1
    assert dict(submits[0].attributes or {})["messaging.batch.message_count"] == 12
    assert len(runs) == 12
    assert {parent_of(run) for run in runs} == {place(submits[0])}
    assert len({body["traceparent"] for body in bodies}) == 1


def test_messages_say_nothing_of_traces_where_nobody_traces(
    queue: Queue, installation: Installation
) -> None:
    job = queue.submit("work")

    assert waiting(installation) == [{"v": 1, "id": job.id, "task": "work"}]


def test_a_job_that_is_passed_on_keeps_its_trace(
    queue: Queue,
    worker: Simulation,
    tasks: Registry,
    clock: FakeClock,
    spans: InMemorySpanExporter,
) -> None:
    queue.submit("work")
    worker.step()
    clock.advance(timedelta(minutes=20))
    tasks.task("work")(lambda job: None)
    worker.step()

    found = by_name(spans)
    assert parent_of(found["run work"]) == place(found["submit work"])


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"traceparent": None},
        {"traceparent": 7},
        {"traceparent": "00-abc-def-01"},
        {"traceparent": f"ff{PARENT[2:]}"},
        {"traceparent": PARENT.upper()},
        {"traceparent": "00-" + "0" * 32 + "-" + "0" * 16 + "-01"},
        {"traceparent": PARENT + "-" + "x" * 100_000},
        {"traceparent": [PARENT]},
        {"tracestate": "a=b"},
    ],
    ids=str,
)
def test_a_trace_that_is_not_understood_costs_no_job(
    queue: Queue,
    installation: Installation,
    worker: Simulation,
    tasks: Registry,
    spans: InMemorySpanExporter,
    said: dict[str, Any],
) -> None:
    tasks.task("work")(lambda job: None)
    job = queue.submit("work")
    (sent,) = installation.messages.receive(
        LANE, limit=10, wait=timedelta(0), hidden=timedelta(minutes=1)
    )
    installation.messages.delete(LANE, [sent.receipt])
    body = {"v": 1, "id": job.id, "task": "work", **said}
    installation.messages.send(LANE, [Outgoing(body=json.dumps(body))])
    spans.clear()

    worker.step()

    assert job.refresh().state is State.COMPLETED
    run = by_name(spans)["run work"]
    assert run.parent is None
    assert not run.links


def test_what_the_vendor_adds_to_a_trace_is_carried_and_its_nonsense_is_not() -> None:
    record = {"v": 1, "id": samples.job_id(), "task": "work", "traceparent": PARENT}
    carried = Pending.read(json.dumps({**record, "tracestate": "vendor=1"}))
    without = Pending.read(json.dumps({**record, "tracestate": "a" * 513}))
    nothing = Pending.read(json.dumps({**record, "traceparent": "00-" + "x" * 100_000}))

    assert Pending.read(carried.body()) == carried
    assert json.loads(carried.body())["tracestate"] == "vendor=1"
    assert "tracestate" not in json.loads(without.body())
    assert json.loads(without.body())["traceparent"] == PARENT
    assert "traceparent" not in json.loads(nothing.body())


PROGRAM = textwrap.dedent("""
    import sys

    class Refused:
        def find_spec(self, name, path=None, target=None):
            if BLOCKED and name.partition(".")[0] == "opentelemetry":
                raise ModuleNotFoundError(name)

    sys.meta_path.insert(0, Refused())
    from remotejob import RemoteJob, State
    from remotejob.testing import Simulation, memory_installation
    from remotejob.worker.runs.log_context import JobContext

    installation = memory_installation()
    worker = Simulation(installation=installation)
    worker.tasks.task("work")(lambda job: None)
    job = RemoteJob(installation).queue().submit("work")
    worker.step()
    assert job.refresh().state is State.COMPLETED
    assert "traceparent" not in JobContext.of(job.record).packed()
    print([name for name in sys.modules if name.startswith("opentelemetry")])
""")


@pytest.mark.parametrize("blocked", ["True", "False"], ids=["not installed", "not used"])
def test_nothing_of_opentelemetry_is_imported_for_those_who_do_not_use_it(blocked: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", f"BLOCKED = {blocked}\n{PROGRAM}"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ran.returncode, ran.stdout.strip()) == (0, "[]"), ran.stderr
