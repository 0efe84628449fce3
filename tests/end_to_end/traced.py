"""The tasks of the end-to-end tests in a worker that is traced: what they log is a span each.

Spans go into the file that the variable `TRACED` names, a line of JSON each.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

from tests.end_to_end import tasks
from tests.end_to_end.waiting import TRACED


class IntoFile(SpanExporter):
    """Appends what has ended to a file, which several processes do."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with Path(os.environ[TRACED]).open("a") as file:
            for span in spans:
                said = json.loads(span.to_json())
                file.write(
                    json.dumps(
                        {
                            "name": span.name,
                            "id": said["context"]["span_id"],
                            "trace": said["context"]["trace_id"],
                            "parent": said["parent_id"],
                            "process": os.getpid(),
                        }
                    )
                    + "\n"
                )
        return SpanExportResult.SUCCESS


class AsSpans(logging.Handler):
    """Makes of each line a span of its own."""

    def emit(self, record: logging.LogRecord) -> None:
        with trace.get_tracer("tests").start_as_current_span(record.getMessage()):
            pass


if os.environ.get(TRACED):
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(IntoFile()))
    trace.set_tracer_provider(provider)
    tasks.log.addHandler(AsSpans())
