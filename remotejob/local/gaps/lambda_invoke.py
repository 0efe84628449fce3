"""Lambda: run the deployed code, and leave queues to pollers.

What moto does: it needs Docker, reports every failure as "Handled", takes any payload, and calls a
mapped function inside SendMessage, with one message at a time and without its attributes.
What AWS does: Lambda API Reference, "Invoke". The pollers are in `event_sources`.
"""

from __future__ import annotations

import json
from typing import Any

from moto.awslambda.exceptions import LambdaClientError
from moto.awslambda.models import EventSourceMapping, LambdaBackend, LambdaFunction

from remotejob.domain.text import cut
from remotejob.local import event_sources, functions


def close_gap() -> None:
    """Invoke through `functions`, and start pollers for each mapping of a queue."""
    stock_create = LambdaBackend.create_event_source_mapping

    def invoke(
        self: LambdaFunction, body: Any, request_headers: Any, response_headers: Any
    ) -> bytes:
        kind = request_headers.get("x-amz-invocation-type", "RequestResponse")
        event = _event(body)
        if kind == "DryRun":
            return b""
        if kind == "Event":
            functions.invoke_later(self.function_arn, event)
            return b""
        outcome = functions.current().invoke(self, event)
        response_headers["x-amz-executed-version"] = "$LATEST"
        if outcome.failed:
            response_headers["x-amz-function-error"] = "Unhandled"
        return outcome.payload

    def create_event_source_mapping(
        self: LambdaBackend, spec: dict[str, Any]
    ) -> EventSourceMapping:
        # CloudFormation passes "false" and "10" as text.
        if "Enabled" in spec:
            spec["Enabled"] = str(spec["Enabled"]).lower() == "true"
        if "BatchSize" in spec:
            spec["BatchSize"] = int(spec["BatchSize"])
        mapping = stock_create(self, spec)
        if ":sqs:" in mapping.event_source_arn:
            event_sources.poll(self, mapping)
        return mapping

    LambdaFunction.invoke = invoke  # type: ignore[method-assign]
    LambdaBackend.create_event_source_mapping = create_event_source_mapping  # type: ignore[method-assign]


def _event(body: Any) -> Any:
    """Raises: LambdaClientError, as AWS refuses a payload that is no JSON, with status 400."""
    try:
        return json.loads(body) if body else {}
    except ValueError as problem:
        raise LambdaClientError(
            "InvalidRequestContentException",
            f"Could not parse request body into json: {cut(str(problem), 200)}",
        ) from None
