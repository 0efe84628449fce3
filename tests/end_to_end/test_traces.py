"""Traces through a real worker: from this process through the message into the task's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from remotejob import Queue, State
from remotejob.local.embedded import EmbeddedAws
from remotejob.names import Env
from tests.end_to_end.waiting import PATIENCE, TRACED, until

PLACES = {
    "say": "said in a thread",
    "say_later": "said in a coroutine",
    "say_apart": "said in a process",
}


def test_the_spans_of_a_task_are_in_the_trace_of_its_submit_wherever_it_runs(
    aws: EmbeddedAws, queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", TracerProvider())
    traced = tmp_path / "spans"
    worker = aws.start_worker(
        environment={Env.TASKS.value: "tests.end_to_end.traced", TRACED: str(traced)}
    )
    try:
        with trace.get_tracer("tests").start_as_current_span("request") as request:
            jobs = [queue.submit(task) for task in PLACES]
        assert {job.wait(PATIENCE).state for job in jobs} == {State.COMPLETED}
        spans: dict[str, dict[str, Any]] = until(
            lambda: found if len(found := by_name(traced)) == 6 else None, what="all spans"
        )
    finally:
        worker.kill()
        worker.wait()

    here = f"0x{request.get_span_context().trace_id:032x}"
    assert {span["trace"] for span in spans.values()} == {here}
    for task, place in PLACES.items():
        run = spans[f"run {task}"]
        assert spans[place]["parent"] == run["id"]
        assert run["parent"] not in (None, f"0x{request.get_span_context().span_id:016x}")
        assert (spans[place]["process"] == run["process"]) is (task != "say_apart")


def by_name(spans: Path) -> dict[str, dict[str, Any]]:
    if not spans.exists():
        return {}
    found = [json.loads(line) for line in spans.read_text().splitlines()]
    return {span["name"]: span for span in found}
