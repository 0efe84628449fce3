"""Poll queues and invoke the functions they are mapped to.

Source: Lambda Developer Guide, "Using Lambda with Amazon SQS" and "Implementing partial batch
responses": when the function succeeds, the messages of the batch are deleted, except those it
reports as failed. When it fails, all become visible again after the visibility timeout.

Limits: two pollers per mapping; no filter criteria.
"""

from __future__ import annotations

import base64
import json
import logging
import threading
import time
from typing import Any, Final

from moto.awslambda.models import EventSourceMapping, LambdaBackend
from moto.sqs.exceptions import QueueDoesNotExist, SQSException
from moto.sqs.models import Message, Queue, SQSBackend, sqs_backends

from remotejob.local import functions
from remotejob.local.access import identity
from remotejob.local.access.policies import Access, allowed

_LOG = logging.getLogger(__name__)
_POLLERS: Final = 2
_LONG_POLL_S: Final = 1
#: Permissions a function's role needs on the queue of a mapping.
ROLE_ACTIONS: Final = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")


def poll(backend: LambdaBackend, mapping: EventSourceMapping) -> None:
    """Start polling for a mapping, until it is deleted."""
    for number in range(_POLLERS):
        name = f"poller {number} of {mapping.function_name}"
        threading.Thread(target=_run, args=(backend, mapping), name=name, daemon=True).start()


def problems(backend: LambdaBackend, mapping: EventSourceMapping) -> list[str]:
    """Why AWS would refuse the mapping; empty if it would accept it."""
    function = backend.get_function(mapping.function_arn)
    queue = _queue(backend, mapping)
    documents = identity.policies_of_role(backend.account_id, function.role)
    found = [
        f"the role of {function.function_name} lacks {action} on {mapping.event_source_arn}"
        for action in ROLE_ACTIONS
        if not allowed(documents, Access(action=action, resource=mapping.event_source_arn))
    ]
    visibility = int(queue.visibility_timeout)  # type: ignore[attr-defined]
    if visibility < int(function.timeout):
        found.append(
            f"the visibility timeout of {queue.name} ({visibility} s) is less than the timeout of "
            f"{function.function_name} ({function.timeout} s)"
        )
    return found


def _run(backend: LambdaBackend, mapping: EventSourceMapping) -> None:
    while backend.get_event_source_mapping(mapping.uuid) is mapping:
        try:
            if not mapping.enabled:
                time.sleep(0.1)
                continue
            queue = _queue(backend, mapping)
            messages = _gather(
                sqs_backends[backend.account_id][backend.region_name], queue, mapping
            )
            if messages:
                _handle(backend, mapping, queue, messages)
        except QueueDoesNotExist:
            return
        except Exception:  # noqa: BLE001  (one bad batch must not end a poller)
            _LOG.exception("poller of %s", mapping.function_name)
            time.sleep(1)


def _queue(backend: LambdaBackend, mapping: EventSourceMapping) -> Queue:
    name = mapping.event_source_arn.rpartition(":")[2]
    return sqs_backends[backend.account_id][backend.region_name].get_queue(name)


def _gather(sqs: SQSBackend, queue: Queue, mapping: EventSourceMapping) -> list[Message]:
    """Messages for one invocation: those available, plus arrivals within the batching window."""
    size = int(mapping.batch_size)
    visibility = int(queue.visibility_timeout)  # type: ignore[attr-defined]

    def receive(count: int, wait_s: int) -> list[Message]:
        return sqs.receive_message(queue.name, min(count, 10), wait_s, visibility, ["All"])

    gathered = receive(size, _LONG_POLL_S)
    end = time.monotonic() + float(mapping.max_batch_window or 0)
    while gathered and len(gathered) < size:
        more = receive(size - len(gathered), 1 if time.monotonic() < end else 0)
        gathered += more
        if not more and time.monotonic() >= end:
            break
    return gathered


def _handle(
    backend: LambdaBackend, mapping: EventSourceMapping, queue: Queue, messages: list[Message]
) -> None:
    found = problems(backend, mapping)
    if found:
        _LOG.error("%s is not invoked: %s", mapping.function_name, "; ".join(found))
        return
    function = backend.get_function(mapping.function_arn)
    event = {"Records": [_record(backend.region_name, queue, m) for m in messages]}
    outcome = functions.current().invoke(function, event)
    if outcome.failed:
        _LOG.error("%s failed: %s", function.function_name, outcome.payload.decode())
        return
    failed = _failed(mapping, outcome.payload, {m.id for m in messages})
    for message in messages:
        if message.id in failed:
            continue
        try:
            queue.delete_message(str(message.receipt_handle))
        except SQSException:
            _LOG.warning("message %s was gone before it was deleted", message.id)


def _failed(mapping: EventSourceMapping, payload: bytes, sent: set[str]) -> set[str]:
    """The messages the function reports as failed; all of them if its report is malformed."""
    if "ReportBatchItemFailures" not in (mapping.function_response_types or []):
        return set()
    try:
        answer = json.loads(payload)
    except ValueError:
        return sent
    failures = answer.get("batchItemFailures") if isinstance(answer, dict) else None
    if answer is None or (isinstance(answer, dict) and not failures):
        return set()
    try:
        failed = {failure["itemIdentifier"] for failure in failures or ()}
    except (TypeError, KeyError):
        return sent
    # An identifier that was not sent, or an empty one, fails the whole batch.
    return failed if failed and failed <= sent else sent


def _record(region: str, queue: Queue, message: Message) -> dict[str, Any]:
    attributes = {
        "ApproximateReceiveCount": str(message.approximate_receive_count),
        "SentTimestamp": str(message.sent_timestamp),
        "SenderId": message.sender_id,
        "ApproximateFirstReceiveTimestamp": str(message.approximate_first_receive_timestamp),
    }
    optional = {
        "MessageGroupId": message.group_id,
        "MessageDeduplicationId": message.deduplication_id,
        "SequenceNumber": message.sequence_number,
        "AWSTraceHeader": (message.system_attributes.get("AWSTraceHeader") or {}).get(
            "StringValue"
        ),
    }
    return {
        "messageId": message.id,
        "receiptHandle": message.receipt_handle,
        "body": message.body,
        "attributes": attributes | {k: v for k, v in optional.items() if v is not None},
        "messageAttributes": {k: _attribute(v) for k, v in message.message_attributes.items()},
        "md5OfBody": message.body_md5,
        "eventSource": "aws:sqs",
        "eventSourceARN": queue.queue_arn,
        "awsRegion": region,
    }


def _attribute(value: dict[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "stringListValues": [],
        "binaryListValues": [],
        "dataType": value["DataType"],
    }
    if value.get("StringValue") is not None:
        described["stringValue"] = value["StringValue"]
    if value.get("BinaryValue") is not None:
        raw = value["BinaryValue"]
        described["binaryValue"] = (
            base64.b64encode(raw).decode() if isinstance(raw, bytes) else str(raw)
        )
    return described
