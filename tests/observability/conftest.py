"""A system on both backends, and what it tells of itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from remotejob import Queue, RemoteJob
from remotejob.ports import Installation
from remotejob.tasks import Registry
from remotejob.testing import FakeClock, Simulation
from tests.systems import BACKENDS, installation_on


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=BACKENDS)
def installation(request: pytest.FixtureRequest, clock: FakeClock) -> Iterator[Installation]:
    with installation_on(request.param, clock) as made:
        yield made


@pytest.fixture
def queue(installation: Installation) -> Queue:
    return RemoteJob(installation).queue()


@pytest.fixture
def tasks() -> Registry:
    return Registry()


@pytest.fixture
def worker(installation: Installation, tasks: Registry) -> Simulation:
    return Simulation(installation=installation, tasks=tasks)


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """What is traced in this test's process: the spans that have ended."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    # a process sets its provider once; the next test is to have none
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    return exporter
